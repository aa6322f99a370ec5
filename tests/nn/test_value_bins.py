"""Bins of values: worked by hand, and the same on every call."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from omicsmlm import _types
from omicsmlm._types import TokenSet, obs_of
from omicsmlm.nn import ValueBins, _value_bins

KINDS = {"rna": "counts", "atac": "accessibility", "prot": "protein"}


def part_of(rows, covered=1.0) -> TokenSet:
    """Rows of values; which features they belong to does not matter here."""
    lengths = [0, *np.cumsum([len(row) for row in rows])]
    n = len(rows)
    return TokenSet(
        ids=torch.cat([torch.arange(len(row)) for row in rows]),
        values=torch.tensor([value for row in rows for value in row]).float(),
        offsets=torch.tensor(lengths),
        fraction=torch.ones(n),
        covered=torch.as_tensor(covered) * torch.ones(n),
        measured=torch.ones(max(map(len, rows)), dtype=torch.bool),
        present=torch.ones(n, dtype=torch.bool),
    )


def counts(n=50, seed=0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [(1 + rng.poisson(rng.gamma(1, 2), rng.integers(5, 20))).tolist() for _ in range(n)]


def fitted(n_bins=5, rows=None) -> tuple[ValueBins, TokenSet]:
    bins, part = ValueBins({"rna": "counts"}, {"rna": n_bins}), part_of(counts() if rows is None else rows)
    bins.fit("rna", [part])
    return bins, part


def binned(bins: ValueBins, part: TokenSet, name: str = "rna") -> list[int]:
    return bins(name, part, obs_of(part)).tolist()


def test_counts_are_binned_at_their_depth():
    """log1p(10⁴ · 2 / 100) = 5.303; at a depth of 1000 the same count gives 3.045."""
    bins = ValueBins(KINDS, {"rna": 3, "atac": 2, "prot": 3})
    bins.get_buffer("edge_0").copy_(torch.tensor([4.0, 5.5]))
    values, depth = torch.tensor([1.0, 2, 10, 1, 2, 10]), torch.tensor([100.0, 100, 100, 1000, 1000, 1000])
    assert bins.digitize("rna", values, depth).tolist() == [2, 2, 3, 1, 1, 2]
    part = part_of([[1, 2, 10, 87], [2, 98]])
    assert binned(bins, part) == [2, 2, 3, 3, 2, 3]
    half = part_of([[1, 2, 10, 37]], covered=0.5)
    assert binned(bins, half) == [2, 2, 3, 3], "50 counts of half of a row tell a depth of 100"


def test_open_regions_are_binned_by_their_counts():
    values = torch.tensor([0.0, 1, 2, 3, 4, 100])
    for n_bins, expected in ((1, [0, 1, 1, 1, 1, 1]), (3, [0, 1, 2, 3, 3, 3])):
        bins = ValueBins({"atac": "accessibility"}, {"atac": n_bins})
        before = bins.get_buffer("edge_0").clone()
        for depth in (1.0, 5000.0):
            assert bins.digitize("atac", values, torch.full((6,), depth)).tolist() == expected
        bins.fit("atac", [part_of([[1, 4, 2], [2, 9]])])
        assert torch.equal(bins.get_buffer("edge_0"), before), "nothing of them is learned"


def test_a_zero_has_the_first_bin_and_what_is_hidden_the_last_one_of_all_modalities():
    bins = ValueBins(KINDS, {"rna": 3, "atac": 1, "prot": 6})
    assert len(bins) == 8
    values, depth = torch.tensor([0.0, float("nan"), 1e6]), torch.tensor([10.0, 10.0, 10.0])
    for name, largest in (("rna", 3), ("atac", 1), ("prot", 6)):
        assert bins.hidden == 7
        if name != "atac":
            bins.get_buffer(f"edge_{list(KINDS).index(name)}").copy_(torch.arange(largest - 1))
        assert bins.digitize(name, values, depth).tolist() == [0, 7, largest]


def test_equal_values_share_a_bin_and_larger_ones_never_have_a_smaller_one():
    bins, part = fitted()
    found, obs_t = bins("rna", part, obs_of(part)), obs_of(part)
    assert set(found.tolist()) == {1, 2, 3, 4, 5}
    for i in range(50):
        values, own = part.values[obs_t == i], found[obs_t == i]
        for a, b in zip(values, own, strict=True):
            assert (own[values == a] == b).all()
            assert (own[values > a] >= b).all()
    deeper = part._replace(values=part.values * 3)
    assert torch.equal(bins("rna", deeper, obs_t), found), "a deeper measurement of the same cell"


def test_a_cell_has_the_same_bins_on_every_call_and_in_any_company():
    bins, part = fitted()
    whole = binned(bins, part)
    assert binned(bins, part) == whole
    for i, row in enumerate(counts()):
        place = slice(int(part.offsets[i]), int(part.offsets[i + 1]))
        assert binned(bins, part_of([row])) == whole[place]
        assert binned(bins, part_of([[5, 5, 1000], row, row]))[3:] == 2 * whole[place]


def test_the_edges_are_quantiles_of_the_training_rows():
    rows = counts()
    bins, _ = fitted(4, rows)
    x = [np.log1p(1e4 * value / sum(row)) for row in rows for value in row]
    np.testing.assert_allclose(bins.get_buffer("edge_0"), np.quantile(x, [0.25, 0.5, 0.75]), rtol=1e-5)
    again = ValueBins({"rna": "counts"}, {"rna": 4})
    again.fit("rna", [part_of(rows[:20]), part_of(rows[20:])])
    torch.testing.assert_close(again.get_buffer("edge_0"), bins.get_buffer("edge_0"))
    assert torch.equal(again.level("rna"), bins.level("rna"))


def test_the_levels_are_the_means_of_the_bins():
    rows = counts()
    bins, part = fitted(4, rows)
    x = np.array([np.log1p(1e4 * value / sum(row)) for row in rows for value in row])
    found, level = np.array(binned(bins, part)), bins.level("rna").numpy()
    assert len(level) == 6
    assert level[0] == 0
    for b in range(1, 5):
        assert level[b] == pytest.approx(x[found == b].mean(), rel=1e-4)
    assert level[5] == pytest.approx(x.mean(), rel=1e-4), "what is hidden counts as the usual value"


def test_hidden_values_do_not_count_among_the_levels():
    rows = counts()
    bins, part = fitted(4, rows)
    hidden = part._replace(values=torch.where(torch.arange(len(part.values)) % 3 == 0, torch.nan, part.values))
    found = bins("rna", hidden, obs_of(hidden))
    assert torch.equal(found == bins.hidden, hidden.values.isnan())


@pytest.mark.parametrize("rows", [[[1, 1, 1, 1]] * 5, [[1, 2, 1], [2, 1, 1]], [[3]], [[1, 1, 1, 1, 1, 1, 1, 9]] * 4])
def test_few_distinct_values_fill_few_bins(rows):
    bins, part = fitted(8, rows)
    found = binned(bins, part)
    n_values = len({(value, sum(row)) for row in rows for value in row})
    assert len(set(found)) == n_values <= 2
    assert all(1 <= b <= 8 for b in found)
    assert torch.isfinite(bins.level("rna")).all()
    for b in set(range(1, 9)) - set(found):
        assert bins.level("rna")[b] == 0, "a bin that nothing is in"
    edges = bins.get_buffer("edge_0")
    assert torch.equal(edges, edges.sort().values)
    assert (edges == torch.inf).any(), "an edge that nothing is above"
    assert int(bins.digitize("rna", torch.tensor([1e9]), torch.tensor([1.0]))) <= 8


def test_rows_without_a_token_leave_bins_that_work():
    bins = ValueBins({"rna": "counts"}, {"rna": 3})
    none = part_of([[1]])._replace(ids=torch.zeros(0).long(), values=torch.zeros(0), offsets=torch.tensor([0, 0]))
    bins.fit("rna", [none])
    assert binned(bins, none) == []
    assert torch.isfinite(bins.level("rna")).all()
    assert binned(bins, part_of([[1, 5]])) == sorted(binned(bins, part_of([[1, 5]])))


# ---- bins of each cell by its own values -----------------------------------------------------------------------------


def slow_bins(row: list[float], values: list[float], n_bins: int) -> list[int]:
    """1 + the number of quantiles of the positive values of a row that are below each value, in exact fractions."""
    known, edges = sorted(Fraction(value) for value in row if value > 0), []
    for b in range(1, n_bins):
        at = Fraction(b * (len(known) - 1), n_bins)
        low = known[math.floor(at)]
        edges.append(low + (known[math.ceil(at)] - low) * (at - math.floor(at)))
    return [1 + sum(edge < value for edge in edges) for value in values]


@pytest.mark.parametrize("n_bins", [1, 2, 5, 16])
def test_each_cell_is_binned_by_its_own_quantiles(n_bins):
    rows = [*counts(), [7], [3, 3, 3], [1, 1, 1, 1, 2], [5, 1, 9, 9, 2, 200]]
    bins = ValueBins({"rna": "counts"}, {"rna": n_bins}, per_cell=True)
    expected = [b for row in rows for b in slow_bins(row, row, n_bins)]
    assert binned(bins, part_of(rows)) == expected
    assert set(expected) == set(range(1, n_bins + 1))


def test_quantiles_are_those_of_numpy():
    row = [float(value) for value in np.random.default_rng(0).gamma(1, 5, 200).astype(np.float32)]
    edges = np.quantile(row, np.arange(1, 7) / 7)
    bins = ValueBins({"rna": "counts"}, {"rna": 7}, per_cell=True)
    assert binned(bins, part_of([row])) == (1 + np.searchsorted(edges, row)).tolist()


def test_neither_depth_nor_company_nor_what_is_masked_moves_the_bins_of_a_cell():
    rows, bins = counts(), ValueBins({"rna": "counts"}, {"rna": 5}, per_cell=True)
    part = part_of(rows)
    whole, obs_t = bins("rna", part, obs_of(part)), obs_of(part)
    assert torch.equal(bins("rna", part._replace(values=3 * part.values, covered=part.covered / 2), obs_t), whole)
    for i, row in enumerate(rows):
        assert binned(bins, part_of([[9, 9, 1], row])) == [3, 3, 1, *whole[obs_t == i].tolist()]
    is_masked_t = torch.arange(len(part.values)) % 3 == 0
    masked = part._replace(values=torch.where(is_masked_t, torch.nan, part.values))
    found = bins("rna", masked, obs_t)
    assert (found[is_masked_t] == bins.hidden).all()
    for i, row in enumerate(rows):
        own = [value for value, hides in zip(row, is_masked_t[obs_t == i], strict=True) if not hides]
        assert found[(obs_t == i) & ~is_masked_t].tolist() == slow_bins(own, own, 5)


def test_masked_values_are_binned_among_all_of_their_cell(monkeypatch):
    """Of 1 to 5 and four times 1 the middle values are the edges, 3 and 1; zeros, and tokens of no cell, do not count.

    On a device some may stand behind those of the last cell.
    """
    bins = ValueBins({"rna": "counts"}, {"rna": 2}, per_cell=True)
    part = part_of([[1, 2, 3, 4, 5, 0], [1, 1, 1, 1]])
    values, obs_t = torch.tensor([3.0, 4, 2, 1, 0, torch.nan]), torch.tensor([0, 0, 1, 1, 0, 1])
    totals = torch.tensor([15.0, 4])
    assert bins.bins_within("rna", values, obs_t, totals, part).tolist() == [1, 2, 2, 1, 0, 3]
    monkeypatch.setattr(_types, "is_on_host", lambda tensor: False)
    behind = part._replace(ids=torch.arange(12), values=torch.cat([part.values, torch.tensor([90.0, 80])]))
    assert bins.bins_within("rna", values, obs_t, totals, behind).tolist() == [1, 2, 2, 1, 0, 3]
    shared = ValueBins({"rna": "counts"}, {"rna": 2})
    shared.get_buffer("edge_0").fill_(8.0)
    found = shared.bins_within("rna", values, obs_t, totals, part)
    assert torch.equal(found, shared.digitize("rna", values, totals[obs_t]))


def test_levels_are_means_over_the_bins_of_cells_and_open_regions_stay_as_they_are():
    rows = counts()
    bins = ValueBins({"rna": "counts", "atac": "accessibility"}, {"rna": 4, "atac": 2}, per_cell=True)
    bins.fit("rna", [part_of(rows[:20]), part_of(rows[20:])])
    found = np.array([b for row in rows for b in slow_bins(row, row, 4)])
    x = np.array([np.log1p(1e4 * value / sum(row)) for row in rows for value in row])
    for b in range(1, 5):
        assert bins.level("rna")[b] == pytest.approx(x[found == b].mean(), rel=1e-4)
    assert binned(bins, part_of([[1, 1, 2, 7]]), "atac") == [1, 1, 2, 2]
    cell = torch.zeros(3, dtype=torch.int64)
    part = part_of([[1, 2, 3]])
    assert bins.bins_within("atac", part.values, cell, torch.ones(1), part).tolist() == [1, 2, 2]


def test_a_cell_without_a_token_has_no_bins():
    bins = ValueBins({"rna": "counts"}, {"rna": 3}, per_cell=True)
    none = part_of([[1]])._replace(ids=torch.zeros(0).long(), values=torch.zeros(0), offsets=torch.tensor([0, 0]))
    assert binned(bins, none) == []
    between = part_of([[1, 5], [2]])._replace(offsets=torch.tensor([0, 2, 2, 3]), covered=torch.ones(3))
    assert binned(bins, between) == [1, 3, 1]


def test_edges_and_levels_are_saved():
    bins, part = fitted()
    other = ValueBins({"rna": "counts"}, {"rna": 5})
    assert binned(other, part) != binned(bins, part)
    other.load_state_dict(bins.state_dict())
    assert binned(other, part) == binned(bins, part)
    assert torch.equal(other.level("rna"), bins.level("rna"))


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _value_bins.DEPTH == 10000.0
