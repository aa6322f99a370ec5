"""Counts at a library size, against a loop over rows and features; and shares from data sets of different features."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData
from scipy import sparse

from omicsmlm.tokenizers import LogCounts, expected_fractions
from tests.objects import manager_of, modality, rna

SHARE = torch.arange(1.0, 31) / sum(range(1, 31))


def grid_of(manager, rows, library="profiled", size=1e5):
    return LogCounts("rna", SHARE, library, size)(manager.create_torch_dataset()[rows])["rna"]


def of_two_sets():
    """``a`` lacks features 0 and 20, ``b`` none; a count that ``a`` has all the same was not profiled."""
    adata = rna(8)
    adata.obs["dataset"] = ["a", "b"] * 4
    table = {"a": ~np.isin(np.arange(30), [0, 20]), "b": np.ones(30, dtype=bool)}
    adata.varm["profiled"] = pd.DataFrame(table, index=adata.var_names)
    adata.X = adata.X.toarray()
    adata.X[0, 20] = 9
    return adata


@pytest.mark.parametrize("library", ["profiled", "expected", "none"])
def test_the_grid_is_that_of_a_loop(library):
    adata = of_two_sets()
    found = grid_of(manager_of(adata), [0, 1, 2, 7], library, 1e4)
    for i, row in enumerate([0, 1, 2, 7]):
        lacks = (0, 20) if row % 2 == 0 else ()
        total = sum(float(adata.X[row, j]) for j in range(30) if j not in lacks)
        fraction = sum(float(SHARE[j]) for j in range(30) if j not in lacks)
        depth = {"profiled": total, "expected": total / fraction, "none": 1e4}[library]
        for j in range(30):
            assert bool(found.visible[i, j]) == (j not in lacks)
            expected = 0 if j in lacks else math.log1p(1e4 * float(adata.X[row, j]) / depth)
            assert float(found.values[i, j]) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(found.total, found.values.sum(1))


def test_a_row_sums_to_the_library():
    values = grid_of(manager_of(rna(5)), [0, 1, 2, 3, 4]).values
    np.testing.assert_allclose(torch.expm1(values.double()).sum(1), 1e5, rtol=1e-5)


def test_rows_of_nothing_are_zeros():
    adata = rna(4)
    adata.X = sparse.csr_matrix(adata.X.toarray() * np.array([[0], [1], [1], [1]]))
    found = grid_of(manager_of(adata), [0, 1])
    assert not found.values[0].any()
    assert found.visible[0].all(), "measured zeros"
    mdata = MuData({"rna": adata, "prot": modality("protein", 3, 5, first=50)})
    found = grid_of(manager_of(mdata), [5])
    assert not found.visible.any()
    assert not found.values.any()


def test_expected_values_do_not_depend_on_what_was_left_out():
    """Rows whose shares are the profile: with the expected library, features that are left out change no other's value."""
    whole = rna(2)
    whole.X = np.tile(np.arange(1.0, 31), (2, 1)).astype(np.float32)
    manager, part = manager_of(whole), whole[:, 10:].copy()
    for library, atol in (("expected", 1e-5), ("profiled", None)):
        one = grid_of(manager, [0, 1], library).values[:, 10:]
        other = grid_of(manager.transfer_fields(part), [0, 1], library).values[:, 10:]
        if atol is None:
            assert (other > one).all(), "of fewer features, each has more of the library"
        else:
            torch.testing.assert_close(one, other, atol=atol, rtol=0)


def test_the_depth_is_that_of_the_values():
    manager = manager_of(of_two_sets())
    tokenizer = LogCounts("rna", SHARE, "profiled", 1e5)
    batch = manager.create_torch_dataset()[[0, 1, 3]]
    grid, depth_n = tokenizer(batch)["rna"], tokenizer.depth(batch)
    counts = torch.expm1(grid.values) * depth_n[:, None] / 1e5
    expected = torch.from_numpy(manager.adata.X[[0, 1, 3]]) * grid.visible
    torch.testing.assert_close(counts, expected.float(), atol=1e-3, rtol=1e-4)


def test_an_unknown_library_is_refused():
    with pytest.raises(
        ValueError, match="library: expected one of 'profiled', 'expected', 'none', got 'median'; leave"
    ):
        LogCounts("rna", SHARE, "median", 1e5)


def test_shares_are_found_from_data_sets_that_overlap():
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(np.ones(40))
    profiled = [np.arange(40) < 25, np.arange(40) >= 15, np.arange(40) % 3 == 0]
    panel = rng.integers(0, 3, 300)
    depth = rng.uniform(1e5, 3e5, 300)
    counts = rng.poisson(truth * depth[:, None]) * np.array(profiled)[panel]
    found = expected_fractions(sparse.csr_matrix(counts), profiled, panel)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, truth, rtol=0.02, atol=1e-5)
    naive = counts.sum(0) / counts.sum()
    assert np.abs(naive - truth).sum() > 10 * np.abs(found - truth).sum(), "plain sums do not find them"


def test_shares_of_one_data_set_are_its_sums():
    counts = sparse.csr_matrix([[1.0, 3, 0], [0, 4, 0], [100, 0, 0]])
    found = expected_fractions(counts, [np.ones(3, dtype=bool)], np.array([0, 0, -1]))
    np.testing.assert_allclose(found, [1 / 8, 7 / 8, 0])
