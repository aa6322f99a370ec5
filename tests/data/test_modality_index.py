"""The rows of a modality are those of the right cells, or a sentence says why not."""

import numpy as np
import pytest
from mudata import MuData

from omicsmlm.data import _modality_index
from omicsmlm.data._modality_index import indices_in
from tests.objects import multiome, rna


def test_rows_follow_names_whatever_the_order():
    mdata = multiome()
    for name, part in mdata.mod.items():
        row_n = indices_in(mdata, name)
        for cell, row in zip(mdata.obs_names, row_n, strict=True):
            assert (cell in part.obs_names) == (row >= 0)
            assert row < 0 or part.obs_names[row] == cell
    assert (indices_in(mdata, "rna") < 0).sum() == 12
    assert not np.array_equal(indices_in(mdata, "atac"), np.sort(indices_in(mdata, "atac")))


def test_an_anndata_is_its_own_modality():
    assert indices_in(rna(5), "rna").tolist() == [0, 1, 2, 3, 4]


def drop_rows(mdata):
    mdata.mod["rna"]._inplace_subset_obs(np.arange(5, mdata.mod["rna"].n_obs))


def reorder_rows(mdata):
    mdata.mod["rna"] = mdata.mod["rna"][::-1].copy()


def rename_rows(mdata):
    mdata.mod["rna"].obs_names = [f"other{i}" for i in range(mdata.mod["rna"].n_obs)]


def add_rows(mdata):
    mdata.mod["rna"] = rna(100, 30)


def add_modality(mdata):
    mdata.mod["late"] = rna(10)


@pytest.mark.parametrize("change", [drop_rows, reorder_rows, rename_rows, add_rows, add_modality])
def test_a_modality_that_was_changed_behind_the_mudata_is_refused(change):
    mdata = multiome()
    change(mdata)
    name = "late" if change is add_modality else "rna"
    with pytest.raises(
        ValueError, match=rf"^{name}: expected the observations that the MuData lists.*mdata.update\(\) first\.$"
    ):
        indices_in(mdata, name)
    mdata.update()
    indices_in(mdata, name)


def test_one_modality_may_hold_all_rows_in_another_order():
    parts = rna(), rna()[::-1].copy()
    mdata = MuData({"rna": parts[0], "other": parts[1]})
    assert indices_in(mdata, "other").tolist() == list(range(71, -1, -1))


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _modality_index.NAMES_AT_ONCE == 65536
