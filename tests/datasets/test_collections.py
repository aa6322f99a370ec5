"""Several files and collections as one object whose values stay on disk."""

import builtins
import os

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from omicsmlm import datasets
from tests.objects import modality, rna

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def files(tmp_path):
    """Two files whose features and observations differ in part."""
    first, second = rna(60, 40)[:, ::-1].copy(), rna(50, 45, first=60)
    second.obs["lane"] = 1.0
    first.layers["double"], second.layers["double"] = first.X * 2, second.X * 2
    for name, adata in (("a", first), ("b", second)):
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    return [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]


def test_the_object_is_that_of_read_many(files):
    found, expected = datasets.open_files(files), datasets.read_many(files)
    assert found.shape == expected.shape
    assert (found.X.compute() != expected.X).nnz == 0
    assert found.obs_names.equals(expected.obs_names)
    assert found.var_names.equals(expected.var_names)
    assert found.varm["profiled"].equals(expected.varm["profiled"])
    for column in ("batch", "type", "dataset"):
        assert found.obs[column].astype(str).tolist() == expected.obs[column].astype(str).tolist()
    assert found.obs["lane"].isna().tolist() == [True] * 60 + [False] * 50


def test_a_layer_and_some_columns(files):
    found = datasets.open_files(files, layer="double", obs_columns=["batch"])
    assert (found.X.compute() != datasets.read_many(files).X * 2).nnz == 0
    assert list(found.obs) == ["batch", "dataset"]


def test_files_of_the_same_features_need_no_note(tmp_path):
    for k in range(2):
        rna(30, seed=k).write_h5ad(tmp_path / f"{k}.h5ad")
    found = datasets.open_files([tmp_path / "0.h5ad", tmp_path / "1.h5ad"])
    assert "dataset" not in found.obs
    assert len(found.varm) == 0
    assert found.obs_names[:2].tolist() == ["0:cell000", "0:cell001"], "names that both have are told apart"
    assert found.obs["batch"].cat.categories.tolist() == ["b0", "b1"]


def test_dense_files(tmp_path):
    adata = modality("fraction", 30, 8)
    adata.write_h5ad(tmp_path / "x.h5ad")
    found = datasets.open_files(str(tmp_path / "x.h5ad"))
    np.testing.assert_array_equal(found.X.compute(), adata.X)
    adata[:, :5].copy().write_h5ad(tmp_path / "y.h5ad")
    with pytest.raises(
        ValueError, match="^y: expected the features of the first file, got others, of dense values; write"
    ):
        datasets.open_files([tmp_path / "x.h5ad", tmp_path / "y.h5ad"])
    rna(20).write_h5ad(tmp_path / "z.h5ad")
    with pytest.raises(
        ValueError, match="^paths: expected sets that are all sparse or all dense, got both; write all as"
    ):
        datasets.open_files([tmp_path / "x.h5ad", tmp_path / "z.h5ad"])


def test_a_collection_holds_every_observation_once(files, tmp_path):
    out = tmp_path / "out.zarr"
    datasets.write_collection(files, out)
    found, expected = datasets.open_files(out), datasets.read_many(files)
    assert sorted(found.obs_names) == sorted(expected.obs_names)
    assert found.obs_names.tolist() != expected.obs_names.tolist(), "and shuffled"
    place = expected.obs_names.get_indexer(found.obs_names)
    features = expected.var_names.get_indexer(found.var_names)
    assert (found.X.compute() != expected.X[place][:, features]).nnz == 0
    assert sorted(os.listdir(tmp_path)) == ["a.h5ad", "b.h5ad", "out.zarr"]


def test_a_zarr_folder_of_anndata(tmp_path):
    adata = rna(30)
    adata.write_zarr(tmp_path / "x.zarr")
    found = datasets.open_files(tmp_path / "x.zarr")
    assert (found.X.compute() != adata.X).nnz == 0


def test_wrong_paths_get_one_sentence(files, tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    adata = rna(20)
    adata.X = sparse.csc_matrix(adata.X)
    adata.write_h5ad(tmp_path / "csc.h5ad")
    del adata.X
    adata.write_h5ad(tmp_path / "nothing.h5ad")
    twice = rna(20)
    twice.var_names = pd.Index(["same"] * 2 + list(twice.var_names[2:]))
    twice.write_h5ad(tmp_path / "twice.h5ad")
    (tmp_path / "plain.zarr").mkdir()
    for paths, options, said in (
        ([], {}, "^paths: expected at least one file, got none"),
        (
            tmp_path / "absent.h5ad",
            {},
            "^paths: expected an .h5ad file or a .zarr folder.*absent.h5ad'; check the path",
        ),
        (
            tmp_path / "csc.h5ad",
            {},
            "^csc: expected values that can be read by rows, got a CSC matrix in a file; write",
        ),
        (tmp_path / "nothing.h5ad", {}, "^nothing: expected values in X, got none; pass layer"),
        (tmp_path / "twice.h5ad", {}, "^twice: expected distinct feature names, got duplicates 'same'; run"),
        (files, {"layer": "raw"}, r"^a: expected a layer 'raw', got layers \['double'\]; name another"),
        (files, {"obs_columns": ["lane"]}, "^a: obs_columns: expected columns among 'type', 'batch', got 'lane'; pass"),
    ):
        with pytest.raises(ValueError, match=said):
            datasets.open_files(paths, **options)


def test_wrong_collections_get_one_sentence(files, tmp_path):
    with pytest.raises(
        ValueError, match="^out: expected a new folder whose name ends in .zarr, got .*out'; pass another"
    ):
        datasets.write_collection(files, tmp_path / "out")
    (tmp_path / "is.zarr").mkdir()
    with pytest.raises(ValueError, match="is.zarr', which exists; pass another"):
        datasets.write_collection(files, tmp_path / "is.zarr")
    with pytest.raises(ValueError, match="^paths: expected existing .h5ad files, got .*absent.h5ad'; check the path"):
        datasets.write_collection(tmp_path / "absent.h5ad", tmp_path / "out.zarr")
    with pytest.raises(ValueError, match="expected a layer 'raw'"):
        datasets.write_collection(files, tmp_path / "out.zarr", layer="raw")
    assert not (tmp_path / "out.zarr").exists()


def test_missing_libraries_are_named(files, tmp_path, monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] in ("annbatch", "dask"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="write_collection needs annbatch: pip install annbatch dask xarray zarr"):
        datasets.write_collection(files, tmp_path / "out.zarr")
    with pytest.raises(ImportError, match="open_files needs dask: pip install annbatch dask xarray zarr"):
        datasets.open_files(files)
