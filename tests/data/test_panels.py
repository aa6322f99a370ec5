"""Rows of several data sets come with what each of them profiled, at its place in the vocabulary."""

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData

from omicsmlm._types import measured_in
from tests.objects import manager_of, rna


def of_two_sets(n=12, g=6):
    """Rows of ``a`` and ``b`` in turn; ``a`` lacks the first feature, ``b`` the last two."""
    adata = rna(n, g)
    adata.obs["dataset"] = pd.Categorical(["a", "b"] * (n // 2))
    lacks = {"a": [0], "b": [g - 2, g - 1]}
    table = {name: ~np.isin(np.arange(g), missing) for name, missing in lacks.items()}
    adata.varm["profiled"] = pd.DataFrame(table, index=adata.var_names)
    return adata


def measured(manager, rows):
    return measured_in(manager.create_torch_dataset()[rows], manager_names(manager)[0])


def manager_names(manager):
    return list(manager.modalities)


def test_each_row_knows_what_its_data_set_profiled():
    found = measured(manager_of(of_two_sets()), [0, 3, 4])
    a, b = [False, True, True, True, True, True], [True, True, True, True, False, False]
    assert found.tolist() == [a, b, a]


def test_an_object_without_data_sets_is_the_same_for_all_rows():
    manager = manager_of(rna(12, 6))
    batch = manager.create_torch_dataset()[[0, 1, 2]]
    assert batch.panels == {}
    assert measured_in(batch, "rna").tolist() == [[True] * 6]


def test_a_query_is_matched_by_name_and_brings_data_sets_of_its_own():
    reference = manager_of(rna(12, 6))
    query = of_two_sets()[:, [5, 2, 0]].copy()
    query.obs["dataset"] = query.obs["dataset"].cat.rename_categories({"a": "new"})
    query.varm["profiled"] = query.varm["profiled"].rename(columns={"a": "new"})
    found = measured(reference.transfer_fields(query), [0, 1])
    assert found.tolist() == [[False, False, True, False, False, True], [True, False, True, False, False, False]]


def test_the_table_goes_through_a_file_and_into_a_mudata(tmp_path):
    of_two_sets().write(tmp_path / "x.h5ad")
    import anndata

    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    assert torch.equal(measured(manager_of(backed), [0, 3]), measured(manager_of(of_two_sets()), [0, 3]))
    part = of_two_sets()
    mdata = MuData({"rna": part[::-1][:8].copy(), "other": rna(12, 4, seed=3)})
    rows = mdata.obs_names.get_indexer(["cell000", "cell011", "cell010"])
    expected = [[False] * 6, [True] * 4 + [False] * 2, [False] + [True] * 5]
    assert measured_in(manager_of(mdata).create_torch_dataset()[rows], "rna").tolist() == expected


def no_column(adata):
    del adata.obs["dataset"]


def unknown_set(adata):
    adata.obs["dataset"] = adata.obs["dataset"].cat.rename_categories({"b": "c"})


def no_table(adata):
    adata.varm["profiled"] = np.ones((adata.n_vars, 2), dtype=bool)


def numbers(adata):
    adata.varm["profiled"] = adata.varm["profiled"].astype(float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            no_column,
            r"rna: .obs: expected a column 'dataset' with the data set of each observation, got columns 'type', 'batch'; ",
        ),
        (
            unknown_set,
            r"rna: column 'dataset': expected data sets among 'a', 'b', got 'c'; add the features that they ",
        ),
        (
            no_table,
            r'rna: .varm\["profiled"\]: expected a boolean column per data set, got something else; make it with ',
        ),
        (
            numbers,
            r'rna: .varm\["profiled"\]: expected a boolean column per data set, got something else; make it with ',
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused(change, message):
    adata = of_two_sets()
    change(adata)
    with pytest.raises(ValueError, match=message):
        manager_of(adata)


def test_a_table_by_which_nothing_was_measured_is_refused():
    adata = of_two_sets()
    adata.varm["profiled"] = adata.varm["profiled"] & False
    with pytest.raises(
        ValueError, match=r'^rna: .varm\["profiled"\]: expected measured features, got none in any data set'
    ):
        manager_of(adata)
