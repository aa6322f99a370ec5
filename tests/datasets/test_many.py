"""Data sets put together hold the counts of each, at their place, and say what each of them profiled."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from scipy import sparse

from omicsmlm import datasets
from tests.objects import rna, state_of


@pytest.fixture
def sets():
    """Three sets: genes 0-19, genes 10-29 in reverse, genes 5-24 under a layer; some cell names in common."""
    a, b, c = rna(9)[:, :20].copy(), rna(7, seed=1, first=4)[:, :9:-1].copy(), rna(5, seed=2, first=50)[:, 5:25].copy()
    c.layers["raw"], c.X = c.X, c.X * 0.5
    b.obs["donor"] = ["x", "y"] * 3 + ["x"]
    c.obs["age"] = np.arange(5.0)
    del c.obs["batch"]
    return {"a": a, "b": b, "c": c}


def expected(sets, min_rows=0, min_features=0):
    """Counts and what was profiled, cell by cell and gene by gene."""
    genes, rows, profiled = {}, [], {}
    for name, part in sets.items():
        x = pd.DataFrame(
            (part.layers["raw"] if "raw" in part.layers else part.X).toarray(), part.obs_names, part.var_names
        )
        x = x[(x > 0).sum(axis=1) >= min_features]
        x = x.loc[:, (x > 0).sum(axis=0) >= min_rows]
        profiled[name] = set(x.columns)
        genes |= dict.fromkeys(x.columns)
        rows += [(name, cell, dict(values)) for cell, values in x.iterrows()]
    counts = [[values.get(gene, 0.0) for gene in genes] for _, _, values in rows]
    return list(genes), rows, np.array(counts), profiled


@pytest.mark.parametrize("filters", [{}, {"min_rows": 3, "min_features": 10}])
@pytest.mark.parametrize("to_file", [False, True])
def test_counts_and_panels_are_those_of_each_set(sets, tmp_path, filters, to_file):
    path = tmp_path / "whole.h5ad" if to_file else None
    before = [state_of(part) for part in sets.values()]
    whole = datasets.read_many(sets, layers={"c": "raw"}, path=path, **filters)
    genes, rows, counts, profiled = expected(sets, **filters)
    assert 3 < len(rows) < 21 or not filters
    assert whole.isbacked == to_file
    x = whole.to_memory().X if to_file else whole.X
    assert isinstance(x, sparse.csr_matrix)
    assert x.dtype == np.float32
    assert list(whole.var_names) == genes
    np.testing.assert_array_equal(x.toarray(), counts)
    assert list(whole.obs_names) == [f"{name}:{cell}" for name, cell, _ in rows], "two sets share names"
    assert list(whole.obs["dataset"]) == [name for name, _, _ in rows]
    for name, own in profiled.items():
        assert list(whole.varm["profiled"][name]) == [gene in own for gene in genes]
    assert [state_of(part) for part in sets.values()] == before, "the sets are left as they were"


def test_columns_of_all_sets_are_kept(sets):
    obs = datasets.read_many(sets, layers={"c": "raw"}).obs
    assert list(obs["donor"].dropna()) == ["x", "y"] * 3 + ["x"]
    assert obs["donor"].isna().sum() == 14
    assert obs.loc[obs["dataset"] == "c", "age"].tolist() == [0, 1, 2, 3, 4]
    assert obs["type"].tolist() == [kind for part in sets.values() for kind in part.obs["type"]]
    assert obs["batch"].isna().tolist() == [False] * 16 + [True] * 5


def test_names_that_are_distinct_stay(sets):
    del sets["b"]
    whole = datasets.read_many(sets, layers={"c": "raw"})
    assert list(whole.obs_names) == [*sets["a"].obs_names, *sets["c"].obs_names]


@pytest.mark.parametrize("form", ["csc", "dense", "file"])
def test_the_form_of_a_set_does_not_matter(sets, tmp_path, form, monkeypatch):
    monkeypatch.setattr("omicsmlm.datasets._many._BLOCK", 4)
    del sets["c"]
    whole = datasets.read_many(sets)
    for name, part in sets.items():
        part.X = {"csc": sparse.csc_matrix, "dense": lambda x: x.toarray(), "file": lambda x: x}[form](part.X)
        if form == "file":
            part.write(tmp_path / f"{name}.h5ad")
    given = [tmp_path / f"{name}.h5ad" for name in sets] if form == "file" else sets
    for path in (None, tmp_path / "whole.h5ad"):
        again = datasets.read_many(given, path=path).to_memory()
        assert (again.X != whole.X).nnz == 0
        assert again.obs.equals(whole.obs)
        assert again.varm["profiled"].equals(whole.varm["profiled"])


def test_a_list_gets_names_and_a_subset_keeps_its_notes(sets):
    whole = datasets.read_many([sets["a"], sets["b"]])
    assert list(whole.varm["profiled"]) == ["set0", "set1"]
    part = whole[::2, 3:].copy()
    assert part.varm["profiled"].equals(whole.varm["profiled"].iloc[3:])


def floats(sets):
    sets["b"].X = sets["b"].X * 0.5


def twice(sets):
    sets["b"].var_names = ["same"] * sets["b"].n_vars


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (floats, {}, r"b: expected raw counts \(non-negative integers\), got values such as 0.5; name the layer"),
        (twice, {}, "b: expected distinct feature names, got duplicates 'same'; run .var_names_make_unique"),
        (
            None,
            {"min_features": 1000},
            "a: expected observations and features after filtering, got 0 observations and 20 features; lower",
        ),
        (
            None,
            {"min_rows": 1000},
            "a: expected observations and features after filtering, got 9 observations and 0 features; lower",
        ),
        (None, {"layers": "raw"}, r"a: expected a layer 'raw', got layers \[\]; name another one, or none for X"),
    ],
)
def test_sets_that_do_not_fit_are_refused(sets, change, arguments, message):
    if change is not None:
        change(sets)
    with pytest.raises(ValueError, match=message):
        datasets.read_many(sets, **{"layers": {"c": "raw"}, **arguments})


def test_sources_that_are_none_are_refused(sets, tmp_path):
    with pytest.raises(
        ValueError, match="sources: expected several data sets, got one; pass a list of them, or by name"
    ):
        datasets.read_many(sets["a"])
    with pytest.raises(ValueError, match="sources: expected at least one data set, got none; pass AnnData objects or"):
        datasets.read_many([])
    with pytest.raises(
        ValueError, match="sources: expected data sets of distinct names, got 'x', 'x'; pass them by name"
    ):
        datasets.read_many([tmp_path / "x.h5ad", tmp_path / "1" / "x.h5ad"])
    with pytest.raises(
        ValueError, match=r"m: expected an AnnData or a path, got MuData; pass one modality of it, such"
    ):
        datasets.read_many({"m": MuData({"rna": sets["a"]})})
    ad.AnnData(np.eye(2)).write(tmp_path / "there.h5ad")
    with pytest.raises(ValueError, match=r"path: expected a new file, got '.*there.h5ad', which exists; remove it or"):
        datasets.read_many(sets, layers={"c": "raw"}, path=tmp_path / "there.h5ad")
