"""Scaled values against plain formulas; what is hidden neither counts nor leaks."""

import numpy as np
import pytest
import scanpy as sc
import torch
from anndata import AnnData
from scipy import sparse

from omicsmlm._stored import StoredGrid, StoredValues, UnmaskedGrid
from omicsmlm._types import Grid
from omicsmlm.masking import keep_visible
from omicsmlm.nn import Scalings, _scaling
from omicsmlm.nn._scaling import CountScaling, ScaledTokens
from omicsmlm.nn._set_encoder import summed

G = 12


@pytest.fixture
def whole(rng):
    """Sixty rows, all seen; the rows also have counts in features that the grid does not hold."""
    values = torch.from_numpy(rng.poisson(rng.gamma(2, 2, G), (60, G)).astype(np.float32))
    return Grid(values, torch.ones(60, G, dtype=torch.bool), values.sum(1) + 7)


@pytest.fixture
def part(whole, rng):
    """The same rows, of which each sees a share of its own."""
    share_n1 = rng.uniform(0.2, 0.9, (60, 1))
    return keep_visible(whole, torch.from_numpy(rng.random((60, G)) < share_n1))


def fitted(kind, grid):
    scalings = Scalings({"m": kind}, {"m": G})
    scaled = scalings.fit("m", [Grid(*(x[:25] for x in grid)), Grid(*(x[25:] for x in grid))])
    return scalings, scaled


def scaled_by(scalings, grid):
    return scalings({"m": grid})["m"].numpy()


def standardised(y, visible, reference, reference_seen):
    """What the class says, feature by feature: (y - mean) / sd over the seen, clipped, over the root of what is seen."""
    out = np.zeros_like(y)
    for j in range(y.shape[1]):
        own = reference[reference_seen[:, j], j]
        z = (y[:, j] - own.mean()) / (own.std() + 1e-4)
        out[:, j] = np.clip(z, -10, 10) * visible[:, j]
    return out / np.sqrt(np.clip(visible.mean(1, keepdims=True), 1e-3, None))


def test_counts_are_those_of_scanpy_where_all_is_seen(whole):
    whole = whole._replace(total=whole.values.sum(1))
    adata = AnnData(whole.values.numpy().copy())
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    visible = np.ones((60, G), bool)
    np.testing.assert_allclose(fitted("counts", whole)[1], standardised(adata.X, visible, adata.X, visible), atol=2e-4)


def test_the_depth_of_a_row_is_estimated_from_what_is_seen(whole, part):
    scalings, _ = fitted("counts", whole)
    values, total = whole.values.numpy().astype(float), whole.total.numpy()
    fraction_g = (values / total[:, None]).mean(0)
    log = np.log1p(1e4 * values / total[:, None])
    expected = np.zeros((60, G))
    for i in range(60):
        hidden = sum(fraction_g[j] for j in range(G) if not part.visible[i, j])
        seen_total = total[i] - sum(values[i, j] for j in range(G) if not part.visible[i, j])
        for j in range(G):
            expected[i, j] = np.log1p(1e4 * float(part.values[i, j]) / (seen_total / (1 - hidden)))
    expected = standardised(expected, part.visible.numpy(), log, np.ones((60, G), bool))
    np.testing.assert_allclose(scaled_by(scalings, part), expected, rtol=1e-3, atol=1e-3)


def test_the_depth_is_right_where_rows_are_as_expected():
    """If every row has the same shares, hiding changes no estimate of its depth."""
    values = torch.arange(1.0, G + 1) * torch.tensor([[1.0], [3.0], [10.0]])
    whole = Grid(values, torch.ones(3, G, dtype=torch.bool), values.sum(1) * 2)
    scaling = fitted("counts", Grid(*(x.repeat(20, *[1] * (x.ndim - 1)) for x in whole)))[0].in_order[0]
    visible = torch.ones(3, G, dtype=torch.bool)
    visible[:, ::3] = False
    shown = scaling.transformed(keep_visible(whole, visible))
    torch.testing.assert_close(shown[visible], scaling.transformed(whole)[visible])


def test_proteins_are_centred_over_those_that_are_seen(whole, part):
    scalings, scaled = fitted("protein", whole)
    log = np.log1p(whole.values.numpy())
    reference = log - log.mean(1, keepdims=True)
    everything = np.ones((60, G), bool)
    np.testing.assert_allclose(scaled, standardised(reference, everything, reference, everything), atol=1e-4)
    expected = np.zeros((60, G))
    for i in range(60):
        own = part.visible[i].numpy()
        expected[i, own] = log[i, own] - (log[i, own].mean() if own.any() else 0)
    expected = standardised(expected, part.visible.numpy(), reference, everything)
    np.testing.assert_allclose(scaled_by(scalings, part), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["fraction", "real"])
def test_other_values_are_standardised_over_what_is_measured(whole, kind, rng):
    measured = torch.from_numpy(rng.random((60, G)) < 0.7)
    grid = keep_visible(whole, measured)
    expected = standardised(whole.values.numpy(), measured.numpy(), whole.values.numpy(), measured.numpy())
    np.testing.assert_allclose(fitted(kind, grid)[1], expected, atol=1e-4)


KINDS = ["counts", "protein", "accessibility", "fraction", "real"]


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_values_are_zero_and_do_not_leak(whole, part, kind):
    scalings, _ = fitted(kind, whole)
    scaled = scaled_by(scalings, part)
    assert not scaled[~part.visible.numpy()].any()
    changed = whole.values + torch.where(part.visible, 0.0, 5.0)
    other = keep_visible(Grid(changed, whole.visible, whole.total + (changed - whole.values).sum(1)), part.visible)
    np.testing.assert_allclose(scaled_by(scalings, other), scaled, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_zeros_and_rows_of_nothing_are_finite(whole, kind):
    scalings, _ = fitted(kind, whole)
    nothing = Grid(torch.zeros(2, G), torch.tensor([[True], [False]]).expand(2, G), torch.zeros(2))
    scaled = scaled_by(scalings, nothing)
    assert np.isfinite(scaled).all()
    assert not scaled[1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_never_vary_are_finite(kind):
    constant = Grid(torch.ones(5, G), torch.ones(5, G, dtype=torch.bool), torch.full((5,), float(G)))
    scaled = fitted(kind, Grid(*(x.repeat(6, *[1] * (x.ndim - 1)) for x in constant)))[1]
    assert np.isfinite(scaled.toarray() if sparse.issparse(scaled) else scaled).all()


def stored_of(grid):
    """The same grid with its stored values, laid out later, one feature unmeasured in every second row."""
    measured = torch.ones(3, G, dtype=torch.bool)
    measured[0], measured[2, 4] = False, False
    panel_n = torch.arange(60) % 2 + 1
    values = grid.values * measured[panel_n]
    obs_t, column_t = values.nonzero(as_tuple=True)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(obs_t, minlength=60).cumsum(0)])
    stored = StoredValues(obs_t * G + column_t, obs_t, column_t, values[obs_t, column_t], offsets)
    return UnmaskedGrid.from_stored(stored, grid.total, measured, panel_n)


@pytest.mark.parametrize("kind", ["counts", "accessibility"])
def test_stored_values_alone_give_the_same(whole, part, kind):
    whole = whole._replace(values=(whole.values - 4).clamp(min=0))
    scalings, _ = fitted(kind, whole)
    unmasked = stored_of(whole)
    masked = keep_visible(unmasked, unmasked.visible & part.visible)
    assert isinstance(masked, StoredGrid)
    for grid in (unmasked, masked):
        np.testing.assert_allclose(scaled_by(scalings, grid), scaled_by(scalings, Grid(*grid)), atol=2e-6)
        np.testing.assert_allclose(
            scalings.relative_depth({"m": grid})["m"], scalings.relative_depth({"m": Grid(*grid)})["m"]
        )


@pytest.mark.parametrize("kind", ["counts", "accessibility"])
def test_sums_of_tokens_are_those_of_the_grid(whole, kind):
    whole = whole._replace(values=(whole.values - 7).clamp(min=0))
    scalings, _ = fitted(kind, whole)
    unmasked, features = stored_of(whole), torch.nn.Linear(G, 5, bias=False)
    tokens = scalings.tokens({"m": unmasked})["m"]
    assert isinstance(tokens, ScaledTokens)
    torch.testing.assert_close(summed(features, tokens), features(scalings({"m": unmasked})["m"]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["counts", "accessibility", "protein", "real"])
def test_the_relative_depth_is_that_of_the_median_observation_and_at_most_two(kind):
    """Five observations in which 1, 2, 4, 8 and 16 features are visible, all with the value 3."""
    visible = torch.zeros(5, G, dtype=torch.bool)
    for i, n in enumerate((1, 2, 4, 8, 16)):
        visible[i, :n] = True
    grid = Grid(3.0 * visible, visible, 3.0 * visible.sum(1))
    scalings, _ = fitted_whole(kind, grid)
    assert scalings.relative_depth({"m": grid})["m"].tolist() == [0.25, 0.5, 1.0, 2.0, 2.0]
    assert float(scalings.in_order[0].usual) == {"counts": 12}.get(kind, 4)


def fitted_whole(kind, grid):
    scalings = Scalings({"m": kind}, {"m": G})
    return scalings, scalings.fit("m", [grid])


@pytest.mark.parametrize("kind", ["counts", "protein", "real", "fraction"])
def test_a_feature_that_is_constant_but_for_rounding_is_not_divided_by_it(kind):
    depth_n1 = torch.arange(1.0, 41)[:, None]  # the same composition at each depth: equal but for rounding
    values_ng = (
        depth_n1 * torch.tensor([3.0, 5, 11, 0])
        if kind == "counts"
        else torch.tensor([[0.3, 0.3, 0.3, 0.0]]).expand(40, 4)
    )
    values_ng = values_ng.clone()
    visible_ng = torch.ones_like(values_ng, dtype=torch.bool)
    scalings = Scalings({"m": kind}, {"m": 4})
    parts = [Grid(part, visible_ng[: len(part)], part.sum(1)) for part in (values_ng, values_ng[:0])]
    assert np.abs(scalings.fit("m", parts)).max() < 1e-5


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _scaling.DEPTH == 10000.0
    assert _scaling.LIMIT == 10.0
    assert _scaling.LEAST_DEVIATION == 1e-06


@pytest.mark.parametrize("fraction", [0.0, 1e-4, 0.25, 1.0])
def test_the_sum_is_rescaled_by_the_root_of_the_visible_fraction_from_a_thousandth_on(fraction):
    visible = (torch.arange(10_000) < 10_000 * fraction).float()[None]
    expected = max(fraction, 1e-3) ** -0.5
    torch.testing.assert_close(_scaling._rescaling(visible), torch.tensor([[expected]]))


def test_a_deviation_is_never_nothing_and_clipped_values_end_at_ten():
    """Of features with a deviation of 0 (all zeros) what departs is divided by 10⁻⁴, and clipped."""
    grid = Grid(torch.zeros(30, 2), torch.ones(30, 2, dtype=torch.bool), torch.zeros(30))
    scalings = Scalings({"m": "real"}, {"m": 2})
    scalings.fit("m", [grid])
    new = torch.tensor([[5e-4, -5e-4], [0.5, -0.5]])
    found = scalings({"m": Grid(new, torch.ones(2, 2, dtype=torch.bool), new.sum(1))})["m"]
    torch.testing.assert_close(found, torch.tensor([[5.0, -5], [10, -10]]), rtol=1e-4, atol=0)


def test_a_depth_is_at_least_one_and_that_of_next_to_nothing_bounded():
    scaling = CountScaling(4)
    scaling.fraction.copy_(torch.tensor([0.9997, 1e-4, 1e-4, 1e-4]))
    visible = torch.tensor([[True] * 4, [False, True, True, True], [True] * 4])
    values = torch.tensor([[0.2, 0, 0, 0.2], [0, 3.0, 0, 0], [4.0, 0, 0, 4.0]])
    factor_n = scaling._factor(Grid(values, visible, values.sum(1)), visible.float())
    torch.testing.assert_close(factor_n, torch.tensor([1e4 / 1, 1e4 / (3 / 1e-3), 1e4 / 8]), rtol=1e-3, atol=0)


def test_fractions_of_a_depth_of_nothing_count_as_zeros():
    values = torch.tensor([[0.0, 0.0], [1.0, 3.0]])
    scalings = Scalings({"m": "counts"}, {"m": 2})
    scalings.fit("m", [Grid(values, torch.ones(2, 2, dtype=torch.bool), values.sum(1))])
    torch.testing.assert_close(scalings.in_order[0].fraction, torch.tensor([0.125, 0.375]))


@pytest.mark.parametrize(("n_stored", "as_tokens"), [(19, True), (20, True), (21, False)])
def test_counts_are_tokens_where_at_most_a_third_is_stored(n_stored, as_tokens):
    """Of 5 observations × 12 features."""
    values = torch.zeros(5 * G)
    values[torch.arange(n_stored) * 2] = 2.0
    values = values.view(5, G)
    obs_t, column_t = values.nonzero(as_tuple=True)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(obs_t, minlength=5).cumsum(0)])
    stored = StoredValues(obs_t * G + column_t, obs_t, column_t, values[obs_t, column_t], offsets)
    measured = torch.ones(1, G, dtype=torch.bool)
    grid = UnmaskedGrid.from_stored(stored, values.sum(1), measured, torch.zeros(5, dtype=torch.int64))
    assert (CountScaling(G).tokens(grid) is not None) == as_tokens


@pytest.mark.parametrize("kind", ["protein", "real", "fraction"])
def test_values_whose_zeros_differ_are_no_tokens(whole, kind):
    scalings, _ = fitted(kind, whole)
    assert scalings.in_order[0].tokens(stored_of(whole)) is None
