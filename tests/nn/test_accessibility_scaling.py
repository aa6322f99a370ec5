"""Open regions against plain formulas: from grids, from sparse values, and from stored ones alone."""

import numpy as np
import pytest
import torch
from scipy import sparse

from omicsmlm._stored import StoredValues, UnmaskedGrid
from omicsmlm._types import Grid
from omicsmlm.masking import keep_visible
from omicsmlm.nn import Scalings
from omicsmlm.nn._accessibility_scaling import LEAST_LENGTH, AccessibilityScaling

G = 12


@pytest.fixture
def whole(rng):
    """Sixty observations of regions, the last of which is never open."""
    values = torch.from_numpy(rng.poisson(rng.gamma(2, 2, G), (60, G)).astype(np.float32))
    values = (values - 4).clamp(min=0)
    values[:, -1] = 0
    return Grid(values, torch.ones(60, G, dtype=torch.bool), values.sum(1))


@pytest.fixture
def part(whole, rng):
    """The same observations, each with some of its regions."""
    return keep_visible(whole, torch.from_numpy(rng.random((60, G)) < rng.uniform(0.2, 0.9, (60, 1))))


def fitted(grid):
    scalings = Scalings({"m": "accessibility"}, {"m": G})
    scaled = scalings.fit("m", [Grid(*(x[:25] for x in grid)), Grid(*(x[25:] for x in grid))])
    return scalings, scaled


def scaled_by(scalings, grid):
    return scalings({"m": grid})["m"].numpy()


def stored_of(grid):
    obs_t, column_t = grid.values.nonzero(as_tuple=True)
    offsets = torch.cat(
        [torch.zeros(1, dtype=torch.int64), torch.bincount(obs_t, minlength=len(grid.values)).cumsum(0)]
    )
    stored = StoredValues(obs_t * G + column_t, obs_t, column_t, grid.values[obs_t, column_t], offsets)
    panel_n = torch.zeros(len(grid.values), dtype=torch.int64)
    return UnmaskedGrid.from_stored(stored, grid.total, torch.ones(1, G, dtype=torch.bool), panel_n)


def test_open_regions_are_weighted_by_rarity_and_have_length_one(whole, part):
    scalings, scaled = fitted(whole)
    assert sparse.issparse(scaled)
    opened = whole.values.numpy() > 0
    weight_g = np.log1p(60 / np.maximum(opened.sum(0), 1))
    for grid, result in ((whole, scaled.toarray()), (part, scaled_by(scalings, part))):
        for i in range(60):
            row = weight_g * (grid.values[i].numpy() > 0)
            np.testing.assert_allclose(result[i], row / max(np.linalg.norm(row), 1e-6), atol=1e-6)


def test_sparse_values_set_the_same_statistics(whole):
    """And every second observation has nothing open."""
    values = whole.values * (torch.arange(60) % 2)[:, None]
    grid = whole._replace(values=values, total=values.sum(1))
    scalings, scaled = fitted(grid)
    again = Scalings({"m": "accessibility"}, {"m": G})
    found = again.fit("m", sparse.csr_matrix(values.numpy()))
    assert sparse.issparse(found)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), scaled.toarray(), atol=1e-6)
    for name, value in scalings.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)
    assert float(again.in_order[0].rarity[-1]) == pytest.approx(np.log1p(60)), (
        "a region that is never open counts as once"
    )


@pytest.mark.parametrize(("n_open", "usual"), [(0, 1.0), (1, 1.0), (2, 2.0)])
def test_the_usual_number_of_open_regions_is_at_least_one(n_open, usual):
    values = torch.zeros(5, G)
    values[:, :n_open] = 1
    for given in ([Grid(values, torch.ones(5, G, dtype=torch.bool), values.sum(1))], sparse.csr_matrix(values.numpy())):
        scalings = Scalings({"m": "accessibility"}, {"m": G})
        scalings.fit("m", given)
        assert float(scalings.in_order[0].usual) == usual


def test_a_region_that_all_have_has_the_least_weight_and_short_rows_keep_length_one():
    """Its weight is log 2; alone in an observation it has length 1 all the same."""
    values = torch.ones(4, G)
    scalings, scaled = fitted_on(values)
    assert float(scalings.in_order[0].rarity[0]) == pytest.approx(np.log(2))
    one = torch.zeros(1, G)
    one[0, 3] = 5
    found = scaled_by(scalings, Grid(one, torch.ones(1, G, dtype=torch.bool), one.sum(1)))
    assert found[0].tolist() == pytest.approx([0, 0, 0, 1] + [0] * 8)
    assert scaled.toarray() == pytest.approx(np.full((4, G), G**-0.5))
    assert LEAST_LENGTH == 1e-6


def fitted_on(values):
    grid = Grid(values, torch.ones_like(values, dtype=torch.bool), values.sum(1))
    scalings = Scalings({"m": "accessibility"}, {"m": G})
    return scalings, scalings.fit("m", [grid])


def test_stored_values_have_the_same_amount_scaled_values_and_tokens(whole):
    scalings, _ = fitted(whole)
    scaling, unmasked = scalings.in_order[0], stored_of(whole)
    assert isinstance(scaling, AccessibilityScaling)
    assert torch.equal(scaling.amount(unmasked), (whole.values > 0).float().sum(1))
    assert torch.equal(scaling.amount(whole), (whole.values > 0).float().sum(1))
    expected = scaled_by(scalings, whole)
    np.testing.assert_allclose(scaled_by(scalings, unmasked), expected, atol=1e-6)
    tokens = scaling.tokens(unmasked)
    assert tokens.zero_sg.dtype == torch.float32
    assert not tokens.zero_sg.any()
    dense = torch.zeros(60, G).index_put_(
        (unmasked.stored.obs_t, tokens.column_t), tokens.above_t * tokens.factor_n[unmasked.stored.obs_t]
    )
    np.testing.assert_allclose(dense, expected, atol=1e-6)
