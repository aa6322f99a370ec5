"""Several files as one matrix: read from where they lie, the same as in memory."""

import h5py
import numpy as np
import pytest
from anndata import AnnData
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from omicsmlm import datasets
from omicsmlm._types import Source
from omicsmlm.data import Matrix
from omicsmlm.data._disk import DaskMatrix
from omicsmlm.data._stack import StackedCSR, in_files

LUT = np.array([2, -1, 0, 1, -1, 4], dtype=np.int32)
ROWS = (np.array([3, 0, -1, 70, 3, 41, 40]), np.arange(75), np.array([74]), np.array([], dtype=np.int64))
COLUMNS = [None, np.array([0, 2, 3, 5]), np.array([5, 0, 4, 1])]
"""Files that hold all features, some in the same order, and some in another."""


@pytest.fixture
def dense(rng):
    return rng.poisson(0.8, (75, 6)).astype(np.float32)


@pytest.fixture
def parts(dense):
    """Cut into three; what a file lacks is zero in the whole."""
    found = []
    for k, columns in enumerate(COLUMNS):
        own = dense[25 * k : 25 * k + 25]
        if columns is not None:
            own[:, np.setdiff1d(np.arange(6), columns)] = 0
        found.append(own if columns is None else own[:, columns])
    return found


def stacked(parts, folder):
    file = h5py.File(folder / "x.h5", "w")
    for k, part in enumerate(parts):
        write_elem(file, f"x{k}", sparse.csr_matrix(part))
    return StackedCSR([Source(sparse_dataset(file[f"x{k}"]), columns) for k, columns in enumerate(COLUMNS)], 6)


@pytest.mark.parametrize("lut", [LUT, np.arange(6, dtype=np.int32)])
@pytest.mark.parametrize("keep_zeros", [False, True])
def test_rows_are_those_of_memory(dense, parts, lut, keep_zeros, tmp_path):
    ours, theirs = Matrix("rna", dense), Matrix("rna", dense)
    ours.file = stacked(parts, tmp_path)
    for rows in ROWS:
        for a, b in zip(ours.pack(rows, lut, keep_zeros), theirs.pack(rows, lut, keep_zeros), strict=True):
            assert a.tolist() == b.tolist()
            assert a.dtype == b.dtype


def test_what_it_says_of_itself(dense, parts, tmp_path):
    found = stacked(parts, tmp_path)
    assert found.shape == (75, 6)
    assert found.dtype == np.float32
    assert found.block == 64
    assert found.row_bytes == pytest.approx(8 * np.count_nonzero(dense) / 75)
    assert sorted(np.concatenate([*found.stored()])) == sorted(dense[dense != 0])


@pytest.fixture
def files(dense, parts, tmp_path):
    for k, (part, columns) in enumerate(zip(parts, COLUMNS, strict=True)):
        names = [f"g{c}" for c in (range(6) if columns is None else columns)]
        adata = AnnData(sparse.csr_matrix(part))
        adata.obs_names, adata.var_names = [f"{k}-{n}" for n in range(len(part))], names
        adata.write_h5ad(tmp_path / f"{k}.h5ad")
    return [tmp_path / f"{k}.h5ad" for k in range(3)]


@pytest.mark.filterwarnings("ignore")
def test_opened_files_are_read_without_dask(dense, files, tmp_path):
    adata = datasets.open_files(files)
    matrix, theirs = Matrix.of("rna", adata, None), Matrix("rna", dense)
    assert isinstance(matrix.file, StackedCSR)
    for rows in ROWS:
        for a, b in zip(matrix.pack(rows, LUT, False), theirs.pack(rows, LUT, False), strict=True):
            assert a.tolist() == b.tolist()
    assert matrix.summary()._replace(minimum=0) == theirs.summary()
    datasets.write_collection(files, tmp_path / "all.zarr")
    collection = datasets.open_files(tmp_path / "all.zarr")
    packed = Matrix.of("rna", collection, None).pack(np.arange(75), np.arange(6, dtype=np.int32), False)
    place = adata.obs_names.get_indexer(collection.obs_names)
    assert np.diff(packed.offsets).tolist() == np.count_nonzero(dense[place], axis=1).tolist()
    assert packed.values.sum() == dense.sum()


@pytest.mark.filterwarnings("ignore")
def test_what_is_computed_from_opened_files_goes_through_dask(dense, files):
    adata = datasets.open_files(files)
    for values, expected in (
        (adata[10:60].X, dense[10:60]),
        (adata.X + adata.X, dense + dense),
        (adata.X.map_blocks(lambda block: block * 3), dense * 3),
    ):
        found = in_files("rna", values)
        assert isinstance(found, DaskMatrix)
        read = np.concatenate([block[local].toarray() for block, local in found.parts(np.arange(len(expected)))])
        np.testing.assert_array_equal(read, expected)
