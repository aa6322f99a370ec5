"""The scalings of several modalities: each by its kind, fitted apart, saved together."""

import numpy as np
import pytest
import torch
from scipy import sparse

from omicsmlm._stored import StoredValues, UnmaskedGrid
from omicsmlm._types import Grid
from omicsmlm.masking import keep_visible
from omicsmlm.nn import Scalings
from omicsmlm.nn._accessibility_scaling import AccessibilityScaling
from omicsmlm.nn._scaling import CountScaling, ProteinScaling, ScaledTokens, Standardised

G = 12
KINDS = ["counts", "protein", "accessibility", "fraction", "real"]


@pytest.fixture
def whole(rng):
    values = torch.from_numpy(rng.poisson(rng.gamma(2, 2, G), (60, G)).astype(np.float32))
    return Grid(values, torch.ones(60, G, dtype=torch.bool), values.sum(1) + 7)


@pytest.fixture
def part(whole, rng):
    return keep_visible(whole, torch.from_numpy(rng.random((60, G)) < 0.5))


def fitted(kind, grid):
    scalings = Scalings({"m": kind}, {"m": G})
    scaled = scalings.fit("m", [Grid(*(x[:25] for x in grid)), Grid(*(x[25:] for x in grid))])
    return scalings, scaled


def scaled_by(scalings, grid):
    return scalings({"m": grid})["m"].numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_are_saved_with_the_weights(whole, part, kind):
    scalings, _ = fitted(kind, whole)
    again = Scalings({"m": kind}, {"m": G})
    again.load_state_dict(scalings.state_dict())
    assert np.array_equal(scaled_by(again, part), scaled_by(scalings, part))
    assert not list(scalings.parameters())


def test_scaling_stays_in_float32_under_autocast(whole):
    scalings, scaled = fitted("counts", whole)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_allclose(scaled_by(scalings, whole), scaled, atol=1e-6)


def test_each_modality_has_the_scaling_of_its_kind():
    scalings = Scalings({kind: kind for kind in KINDS}, {kind: i + 3 for i, kind in enumerate(KINDS)})
    classes = [CountScaling, ProteinScaling, AccessibilityScaling, Standardised, Standardised]
    assert [type(scaling) for scaling in scalings.in_order] == classes
    assert [len(next(iter(s for n, s in scaling.named_buffers() if s.ndim))) for scaling in scalings.in_order] == [
        3,
        4,
        5,
        6,
        7,
    ]


def test_modalities_are_fitted_apart(whole):
    scalings = Scalings({"a": "real", "b": "counts"}, {"a": G, "b": G})
    before = {name: value.clone() for name, value in scalings.state_dict().items()}
    scaled = scalings.fit("b", [whole])
    changed = {name for name, value in scalings.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"in_order.1.usual", "in_order.1.mean", "in_order.1.deviation", "in_order.1.fraction"}
    found = scalings({"b": whole, "a": whole._replace(values=whole.values * 0)})
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["b"], scaled)
    assert not found["a"].any()
    depths = scalings.relative_depth({"a": whole, "b": whole})
    assert depths["a"].tolist() == [2] * 60, "of a modality that was not fitted the usual amount is 1"
    assert float(depths["b"].median()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_scaled_values_of_open_regions_are_sparse_and_of_all_others_dense(whole, kind):
    _, scaled = fitted(kind, whole)
    assert scaled.shape == (60, G)
    assert sparse.issparse(scaled) == (kind == "accessibility")
    assert scaled.dtype == np.float32
    if kind == "accessibility":
        assert scaled.format == "csr"


def test_the_usual_amount_is_the_median_and_at_least_one():
    for amounts, expected in (([0, 0, 0], 1.0), ([1, 1, 1], 1.0), ([1, 2, 9], 2.0)):
        visible = torch.arange(G) < torch.tensor(amounts)[:, None]
        scalings = Scalings({"m": "real"}, {"m": G})
        scalings.fit("m", [Grid(visible * 2.0, visible, visible.sum(1) * 2.0)])
        assert float(scalings.in_order[0].usual) == expected


def test_tokens_are_returned_where_that_is_quicker_and_values_elsewhere(whole):
    values = torch.zeros(60, G)
    values[:, 3] = whole.values[:, 3] + 1
    obs_t, column_t = values.nonzero(as_tuple=True)
    stored = StoredValues(obs_t * G + column_t, obs_t, column_t, values[obs_t, column_t], torch.arange(61))
    panel_n = torch.zeros(60, dtype=torch.int64)
    few = UnmaskedGrid.from_stored(stored, values.sum(1), torch.ones(1, G, dtype=torch.bool), panel_n)
    scalings = Scalings({"a": "counts", "b": "real", "c": "counts"}, dict.fromkeys("abc", G))
    found = scalings.tokens({"a": few, "b": few, "c": whole})
    assert isinstance(found["a"], ScaledTokens)
    assert torch.equal(found["b"], scalings({"a": few, "b": few, "c": whole})["b"])
    assert torch.equal(found["c"], scalings({"a": few, "b": few, "c": whole})["c"])
