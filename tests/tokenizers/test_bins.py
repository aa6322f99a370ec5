"""Bins on a shared axis, against numpy and loops over rows and features."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm._types import Tokens
from omicsmlm.tokenizers import AxisBins, Scale, fit_scale
from tests.objects import manager_of

AXIS = ["a", "b", "c", "d", "e"]
UNIT = Scale([0.0, 1.0], [0.0, 1.0])


def tokens_of(x: np.ndarray) -> Tokens:
    """Packed rows of a dense matrix; NaN are not stored."""
    visible = ~np.isnan(x)
    ids = np.nonzero(visible)[1].astype(np.int32)
    values = torch.tensor(x[visible], dtype=torch.float32)
    return Tokens(torch.from_numpy(ids), values, torch.tensor([0, *visible.sum(1).cumsum()]))


def bins_of(manager, scales, n_bins=64, profiles=None):
    states = manager.modalities
    kinds = {name: state["kind"] for name, state in states.items()}
    columns = {
        name: torch.from_numpy(pd.Index(AXIS).get_indexer(state["vocabulary"])) for name, state in states.items()
    }
    return AxisBins(kinds, n_bins, len(AXIS), columns, scales, profiles or {})


def bulk(seed: int = 0) -> MuData:
    """Log values of four genes in an order of their own, fractions of four others; some rows lack one of the two."""
    rng = np.random.default_rng(seed)
    rna, fraction = rng.uniform(0, 5, (6, 4)).astype(np.float32), rng.uniform(0, 1, (6, 4)).astype(np.float32)
    rna[0, :2], fraction[0, :3] = [0.0, 5.0], [0.0, 1.0, 1e-7]
    rna[2, 1] = fraction[3, 2] = np.nan
    names = [f"s{i}" for i in range(8)]
    return MuData(
        {
            "rna": AnnData(rna, pd.DataFrame(index=names[:6]), pd.DataFrame(index=["d", "b", "a", "c"])),
            "meth": AnnData(fraction, pd.DataFrame(index=names[2:]), pd.DataFrame(index=["e", "b", "z", "d"])),
        }
    )


@pytest.mark.parametrize("n_bins", [64, 5])
def test_the_bins_are_those_of_numpy_at_the_places_of_the_names(n_bins):
    mdata = bulk()
    manager = manager_of(mdata, kinds={"rna": "real"})
    scales = {"rna": Scale([0.0, 4.0], [0.0, 1.0]), "meth": UNIT}
    rows = [7, 0, 3, 2, 1, 5]
    grids = bins_of(manager, scales, n_bins)(manager.create_torch_dataset()[rows])
    for name, largest in (("rna", 4.0), ("meth", 1.0)):
        frame = mdata[name].to_df()
        assert grids[name].values.shape == grids[name].visible.shape == (6, 5)
        for i, row in enumerate(mdata.obs_names[rows]):
            for j, gene in enumerate(AXIS):
                value = frame.loc[row, gene] if row in frame.index and gene in frame.columns else np.nan
                assert bool(grids[name].visible[i, j]) == (not np.isnan(value))
                edges = np.linspace(0, 1, n_bins, dtype=np.float32)
                expected = min(np.digitize(np.float32(value) / np.float32(largest), edges), n_bins - 1)
                expected = 0 if np.isnan(value) or value == 0 else expected
                assert grids[name].values[i, j] == expected, (row, gene, value)
        np.testing.assert_array_equal(grids[name].total, grids[name].values.sum(1))


def test_zero_has_a_bin_to_itself_and_the_maximum_never_leaves_the_last():
    x = np.array([[0.0, 1e-9, 1 / 63 + 1e-6, 1.0, 7.0]], dtype=np.float32)
    manager = manager_of(AnnData(x, var=pd.DataFrame(index=AXIS)), kinds={"rna": "real"})
    found = bins_of(manager, {"rna": UNIT})(manager.create_torch_dataset()[[0]])["rna"].values
    assert found.tolist() == [[0, 1, 2, 63, 63]], "64 would be the padding, 65 the mask"


def test_the_callers_array_stays_as_it_is():
    mdata = bulk()
    before = {name: part.X.copy() for name, part in mdata.mod.items()}
    manager = manager_of(mdata, kinds={"rna": "real"})
    dataset = manager.create_torch_dataset()
    batch = dataset[[2, 3]]
    values = {name: tokens.values.clone() for name, tokens in batch.tokens.items()}
    tokenizer = bins_of(manager, {"rna": Scale([0.0, 4.0], [0.0, 1.0]), "meth": UNIT})
    tokenizer(batch)
    for name, part in mdata.mod.items():
        np.testing.assert_array_equal(part.X, before[name])
        assert torch.equal(batch.tokens[name].values, values[name])


def test_a_row_does_not_know_its_neighbours():
    manager = manager_of(bulk(), kinds={"rna": "real"})
    tokenizer, dataset = bins_of(manager, {"rna": UNIT, "meth": UNIT}), manager.create_torch_dataset()
    together = tokenizer(dataset[[4, 7, 0]])
    for i, row in enumerate([4, 7, 0]):
        for name, alone in tokenizer(dataset[[row]]).items():
            for a, b in zip(together[name], alone, strict=True):
                assert torch.equal(a[i], b[0])


# ---- counts ---------------------------------------------------------------------------------------------------------


def counts() -> AnnData:
    x = np.array([[10, 0, 30, 40, 20], [5, 5, 0, 0, 0]], dtype=np.float32)
    return AnnData(sparse.csr_matrix(x), var=pd.DataFrame(index=["e", "b", "z", "a", "c"]))


def test_counts_are_logs_per_million():
    profile = {"rna": torch.full((5,), 0.2)}
    manager = manager_of(counts())
    tokenizer = bins_of(manager, {"rna": Scale([0.0, 6.0], [0.0, 1.0])}, profiles=profile)
    batch = manager.create_torch_dataset()[[0, 1]]
    assert tokenizer.depth("rna", batch).tolist() == pytest.approx([100, 10])
    grid = tokenizer(batch)["rna"]
    assert grid.visible.tolist() == [[True, True, True, False, True]] * 2, "what is not stored is a measured zero"
    per_million = np.array([[0.4, 0.0, 0.2, np.nan, 0.1], [0, 0.5, 0, np.nan, 0.5]]) * 1e6
    expected = np.digitize(np.log10(1 + np.nan_to_num(per_million)) / 6, np.linspace(0, 1, 64))
    np.testing.assert_array_equal(grid.values, np.where(np.nan_to_num(per_million) > 0, expected, 0))
    log_ng = torch.log10(1 + torch.from_numpy(np.nan_to_num(per_million)).float()) / 6
    back = tokenizer.unscaled("rna", log_ng, torch.tensor([100.0, 10.0]))
    np.testing.assert_allclose(back[0], [40, 0, 20, 0, 10], atol=1e-3)


def test_the_depth_of_a_query_without_some_genes_is_as_if_it_had_them():
    manager = manager_of(counts())
    shares = torch.tensor([0.1, 0.2, 0.3, 0.3, 0.1])
    tokenizer = bins_of(manager, {"rna": UNIT}, profiles={"rna": shares})
    query = AnnData(np.full((1, 3), 6.0, dtype=np.float32), var=pd.DataFrame(index=["b", "z", "c"]))
    batch = manager.transfer_fields(query).create_torch_dataset()[[0]]
    assert tokenizer.depth("rna", batch).tolist() == pytest.approx([18 / 0.6])
    assert tokenizer(batch)["rna"].visible.tolist() == [[False, True, True, False, False]]


# ---- scales ---------------------------------------------------------------------------------------------------------

VALUES = np.random.default_rng(0).normal(0, 2, (50, 40))


def test_fractions_stay_as_they_are():
    assert fit_scale("fraction", "quantiles", [tokens_of(np.abs(VALUES) / 20)], None) == UNIT


def test_logs_are_divided_by_the_largest_of_all():
    batches = [tokens_of(np.abs(VALUES[:20])), tokens_of(np.abs(VALUES[20:]))]
    for method in ("maximum", "auto"):
        scale = fit_scale("real", method, batches, None)
        assert scale == Scale([0.0, float(np.float32(np.abs(VALUES).max()))], [0.0, 1.0])


def test_a_range_goes_from_the_smallest_to_the_largest():
    scale = fit_scale("real", "range", [tokens_of(VALUES)], None)
    assert scale.knots == pytest.approx([VALUES.min(), VALUES.max()])


def test_quantiles_fill_all_bins_alike():
    scale = fit_scale("real", "auto", [tokens_of(VALUES)], None)
    assert len(scale.knots) == len(scale.levels) == 65
    manager = manager_of(AnnData(VALUES[:, :5].astype(np.float32), var=pd.DataFrame(index=AXIS)))
    bins = bins_of(manager, {"rna": scale}, 11)
    batch = manager.create_torch_dataset()[range(50)]._replace(tokens={"rna": tokens_of(VALUES)})
    bins.column_0 = torch.arange(40)
    bins.n_features = 40
    fraction = np.bincount(bins(batch)["rna"].values.long().numpy().ravel(), minlength=11) / VALUES.size
    assert fraction[0] == pytest.approx(1 / VALUES.size), "the smallest value alone is at 0"
    np.testing.assert_allclose(fraction[1:], 0.1, atol=0.01)


def test_ties_have_the_lowest_of_their_quantiles():
    x = np.concatenate([np.zeros(60), np.linspace(1, 2, 40)])[None] - 0.5
    scale = fit_scale("real", "quantiles", [tokens_of(x)], None)
    assert (np.diff(scale.knots) > 0).all()
    assert (scale.knots[0], scale.levels[0], scale.knots[-1], scale.levels[-1]) == (-0.5, 0.0, 1.5, 1.0)
    assert scale.levels[1] > 0.58


@pytest.mark.parametrize("value", [0.0, -1.5, 3.0])
@pytest.mark.parametrize("method", ["maximum", "range", "quantiles"])
def test_one_value_alone_still_has_a_scale(method, value):
    scale = fit_scale("real", method, [tokens_of(np.full((2, 3), value))], None)
    assert (np.diff(scale.knots) > 0).all()
    assert np.isfinite(scale.knots).all()


def test_the_largest_of_counts_is_that_after_the_logarithm():
    x = np.array([[1.0, 99.0], [50.0, 50.0]])
    found = fit_scale("counts", "auto", [tokens_of(x)], [torch.tensor([1e6, 1e2])])
    assert found.knots == pytest.approx([0.0, np.log10(1 + 5e5)])


def test_back_and_forth():
    scale = fit_scale("real", "quantiles", [tokens_of(VALUES)], None)
    manager = manager_of(AnnData(VALUES[:, :5].astype(np.float32), var=pd.DataFrame(index=AXIS)))
    bins = bins_of(manager, {"rna": scale})
    grid = bins(manager.create_torch_dataset()[range(50)])["rna"]
    back = bins.unscaled("rna", bins.centres()[grid.values.long()], None)
    off = np.abs(back.numpy() - VALUES[:, :5])
    assert np.quantile(off, 0.9) < 0.1
    assert bins.centres()[0] == 0
    assert bins.centres()[1:].tolist() == pytest.approx([(k - 0.5) / 63 for k in range(1, 64)])
