"""Values in files: read by stretches, the same as in memory, or one sentence."""

import dask.array
import h5py
import numpy as np
import pytest
import zarr
from anndata import AnnData
from anndata.io import sparse_dataset, write_elem
from scipy import sparse
from zarr.core.codec_pipeline import BatchedCodecPipeline, FusedCodecPipeline
from zarr.registry import register_pipeline

from omicsmlm.data import Matrix, _disk
from omicsmlm.data._disk import BATCHED, CSRInFile, DaskMatrix, DenseInFile, on_disk, row_ranges

ROWS = np.array([3, 0, -1, 90, 3, 41, 40])
KEPT = np.array([2, -1, 0, 1, -1, 4], dtype=np.int32)


@pytest.fixture
def dense(rng):
    return rng.poisson(0.8, (100, 6)).astype(np.float32)


def in_h5(matrix, folder, **options):
    file = h5py.File(folder / "x.h5", "w")
    write_elem(file, "x", matrix, dataset_kwargs=options)
    return sparse_dataset(file["x"]) if sparse.issparse(matrix) else file["x"]


def in_zarr(matrix, folder):
    group = zarr.open_group(folder / "x.zarr", mode="w")
    write_elem(group, "x", matrix)
    return sparse_dataset(group["x"]) if sparse.issparse(matrix) else group["x"]


def in_shards(dense, folder):
    """A CSR group as annbatch writes it: small types, compressed chunks in shards that rows do not end with."""
    found, group = compact(dense), zarr.open_group(folder / "s.zarr", mode="w").create_group("x")
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": dense.shape})
    for name in ("data", "indices", "indptr"):
        group.create_array(name, data=getattr(found, name), chunks=(10,), shards=(70,))
    return sparse_dataset(group)


def untidy(dense, seed=0):
    """Each value as two entries that add up to it, in any order."""
    rng = np.random.default_rng(seed)
    found = sparse.coo_matrix(dense)
    order = np.argsort(np.repeat(found.row, 2) + 0.5 * rng.random(2 * found.nnz), kind="stable")
    data = np.repeat(found.data, 2) * np.tile(np.float32([0.25, 0.75]), found.nnz)
    indptr = np.append(0, np.cumsum(2 * np.bincount(found.row, minlength=len(dense))))
    parts = data[order], np.repeat(found.col, 2)[order].astype(np.int32), indptr
    return sparse.csr_matrix(parts, shape=dense.shape)


def compact(matrix):
    """A CSR matrix with the smallest type of indices, as annbatch writes it."""
    found = sparse.csr_matrix(matrix)
    found.indices = found.indices.astype(np.uint16)
    return found


def written_by_hand(dense, folder, kind):
    """A CSR group whose arrays have types that AnnData would not write."""
    found, group = sparse.csr_matrix(dense), h5py.File(folder / "y.h5", "w").create_group("x")
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": dense.shape})
    for name, values in (("data", found.data.astype(kind)), ("indices", found.indices.astype(np.uint16))):
        group.create_dataset(name, data=values)
    group.create_dataset("indptr", data=found.indptr)
    return sparse_dataset(group)


class Chosen(BatchedCodecPipeline):
    """What a user might have registered."""


FORMS = {
    "h5": lambda x, folder: in_h5(sparse.csr_matrix(x), folder),
    "h5, compressed": lambda x, folder: in_h5(sparse.csr_matrix(x), folder, compression="gzip"),
    "h5, float64": lambda x, folder: in_h5(sparse.csr_matrix(x.astype(np.float64)), folder),
    "h5, int64": lambda x, folder: in_h5(sparse.csr_matrix(x.astype(np.int64)), folder),
    "h5, big-endian": lambda x, folder: written_by_hand(x, folder, ">f4"),
    "h5, half": lambda x, folder: written_by_hand(x, folder, np.float16),
    "h5, untidy": lambda x, folder: in_h5(untidy(x), folder),
    "h5, dense": in_h5,
    "h5, dense by chunks": lambda x, folder: in_h5(x, folder, chunks=(30, 6)),
    "zarr": lambda x, folder: in_zarr(sparse.csr_matrix(x), folder),
    "zarr, float64": lambda x, folder: in_zarr(sparse.csr_matrix(x.astype(np.float64)), folder),
    "zarr, shards": lambda x, folder: in_shards(x, folder),
    "zarr, untidy": lambda x, folder: in_zarr(untidy(x), folder),
    "zarr, dense": in_zarr,
    "dask": lambda x, _: dask.array.from_array(sparse.csr_matrix(x), chunks=(30, 6)),
    "dask, untidy": lambda x, _: dask.array.map_blocks(
        lambda b: untidy(b), dask.array.from_array(x, chunks=(30, 6)), meta=sparse.csr_matrix((0, 0), dtype=x.dtype)
    ),
    "dask, dense": lambda x, _: dask.array.from_array(x, chunks=(30, 6)),
    "dask, dense by columns as well": lambda x, _: dask.array.from_array(x, chunks=(30, 4)),
}


@pytest.mark.parametrize("keep_zeros", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lut", [KEPT, np.arange(6, dtype=np.int32)])
def test_rows_are_those_of_memory(dense, form, keep_zeros, lut, tmp_path):
    ours = Matrix("rna", FORMS[form](dense, tmp_path))
    theirs = Matrix("rna", dense)
    for rows in (ROWS, np.arange(100), np.array([], dtype=np.int64), np.array([-1])):
        found, expected = ours.pack(rows, lut, keep_zeros), theirs.pack(rows, lut, keep_zeros)
        for a, b in zip(found, expected, strict=True):
            assert a.tolist() == b.tolist()
            assert a.dtype == b.dtype


@pytest.mark.parametrize("form", FORMS)
def test_the_summary_is_that_of_memory(dense, form, tmp_path):
    dense[5, 5] = 12
    ours, theirs = Matrix("rna", FORMS[form](dense, tmp_path)).summary(), Matrix("rna", dense).summary()
    assert ours._replace(minimum=0) == theirs, "the minimum is that of the stored values"
    assert ours.are_counts


def test_rows_are_read_by_stretches(dense, tmp_path, monkeypatch):
    monkeypatch.setattr("omicsmlm.data._disk.GAP_BYTES", 100)
    monkeypatch.setattr("omicsmlm.data._disk.STRETCH_BYTES", 200)
    monkeypatch.setattr("omicsmlm.data._disk.BLOCK_BYTES", 200)
    for form in ("h5", "h5, untidy", "h5, dense", "zarr", "zarr, shards"):
        (tmp_path / form).mkdir()
        ours, theirs = Matrix("rna", FORMS[form](dense, tmp_path / form)), Matrix("rna", dense)
        for rows in (ROWS, np.arange(100), np.arange(0, 100, 7)):
            for a, b in zip(ours.pack(rows, KEPT, False), theirs.pack(rows, KEPT, False), strict=True):
                assert a.tolist() == b.tolist()


def test_blocks_of_zarr_are_long_but_bounded(dense, tmp_path, monkeypatch):
    found = CSRInFile(FORMS["zarr"](dense, tmp_path))
    assert found.block == 1024
    assert CSRInFile(FORMS["h5"](dense, tmp_path)).block == 64
    monkeypatch.setattr("omicsmlm.data._disk.BLOCK_BYTES", 100 * found.row_bytes)
    assert CSRInFile(FORMS["zarr"](dense, tmp_path)).block == 100
    monkeypatch.setattr("omicsmlm.data._disk.BLOCK_BYTES", found.row_bytes)
    assert CSRInFile(FORMS["zarr"](dense, tmp_path)).block == 64


def test_zarr_is_decoded_without_a_coroutine_for_each_chunk_unless_the_user_chose(dense, tmp_path):
    values = FORMS["zarr, shards"](dense, tmp_path)
    assert isinstance(CSRInFile(values).data.async_array.codec_pipeline, FusedCodecPipeline)
    assert zarr.config.get("codec_pipeline.path") == BATCHED, "only these arrays are opened so"
    with zarr.config.set({"codec_pipeline.path": f"{Chosen.__module__}.{Chosen.__name__}"}):
        register_pipeline(Chosen)
        assert isinstance(CSRInFile(values).data.async_array.codec_pipeline, Chosen)


def test_stretches_end_where_rows_are_far_apart_or_many():
    rows = np.array([0, 1, 2, 3, 9, 5000, 5001])
    assert list(row_ranges(rows, 1000.0, 2**23)) == [(0, 5), (5, 7)]
    assert [last - first for first, last in row_ranges(np.arange(30_000), 1000.0, 2**23)] == [8388, 8388, 8388, 4836]
    assert list(row_ranges(rows, 1e9, 2**23)) == [(k, k + 1) for k in range(7)]
    assert list(row_ranges(rows[:0], 1.0, 2**23)) == []


def test_what_lies_by_columns_is_refused(dense, tmp_path):
    by_columns = in_h5(sparse.csc_matrix(dense), tmp_path)
    with pytest.raises(
        ValueError, match=r"^rna: expected values that can be read by rows, got a CSC .*csr_matrix\(adata"
    ):
        Matrix("rna", by_columns)
    chunks = dask.array.from_array(sparse.csc_matrix(dense), chunks=(100, 2))
    with pytest.raises(
        ValueError, match="^rna: expected values that can be read by rows, got a dask array of CSC chunks"
    ):
        Matrix("rna", chunks)


def test_a_long_scan_shows_how_far_it_is(dense, tmp_path, monkeypatch, capsys):
    matrix = Matrix("rna", FORMS["h5"](dense, tmp_path))
    matrix.summary()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("omicsmlm.data._matrix.LONG_SCAN", 10)
    matrix.summary()
    assert "rna: reading values" in capsys.readouterr().err


def test_anndata_in_a_layer(dense, tmp_path):
    adata = AnnData(layers={"counts": sparse.csr_matrix(dense)}, shape=dense.shape)
    adata.write_h5ad(tmp_path / "x.h5ad")
    from anndata import read_h5ad

    found = Matrix.of("rna", read_h5ad(tmp_path / "x.h5ad", backed="r"), "counts")
    assert (
        found.pack(np.array([7]), KEPT, False).values.tolist()
        == Matrix("rna", dense).pack(np.array([7]), KEPT, False).values.tolist()
    )


def test_a_damaged_file_is_told(dense, tmp_path):
    matrix = sparse.csr_matrix(dense)
    matrix.indices[matrix.indptr[41] - 1] = 1000
    values = in_h5(matrix, tmp_path)
    for keep_zeros in (False, True):
        with pytest.raises(ValueError, match="^sparse matrix: expected column indices from 0 to 5, got others"):
            Matrix("rna", values).pack(ROWS, KEPT, keep_zeros)
    values.group["indptr"][7] = 10**6
    with pytest.raises(ValueError, match="^file '/x': expected a sparse matrix whose row pointers ascend from 0 to"):
        Matrix("rna", sparse_dataset(values.group))


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _disk.BLOCK == 64
    assert _disk.BLOCK_ZARR == 1024
    assert _disk.BLOCK_BYTES == 2**24
    assert _disk.GAP_BYTES == 350000
    assert _disk.STRETCH_BYTES == 2**23
    assert _disk.SCAN_BYTES == 2**25


def test_which_values_are_read_in_blocks(dense, tmp_path):
    for form, kind in {
        "h5": CSRInFile,
        "h5, dense": DenseInFile,
        "zarr, dense": DenseInFile,
        "dask": DaskMatrix,
        "dask, dense": DaskMatrix,
    }.items():
        (tmp_path / form).mkdir()
        assert type(on_disk("rna", FORMS[form](dense, tmp_path / form))) is kind
    assert on_disk("rna", dense) is None
    assert on_disk("rna", sparse.csr_matrix(dense)) is None


def test_blocks_and_sizes_of_rows(dense, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    chunked = on_disk("rna", in_h5(dense, tmp_path / "a", chunks=(80, 6)))
    assert (chunked.block, chunked.row_bytes, chunked.stored()) == (80, 8.0 * 6, None)
    assert on_disk("rna", in_h5(dense, tmp_path / "b")).block == 64
    csr = CSRInFile(FORMS["h5, compressed"](dense, tmp_path))
    assert csr.row_bytes == 8 * np.count_nonzero(dense) / 100
    assert len(csr) == np.count_nonzero(dense)
    assert csr.at_once == 2**23
    lazily = on_disk("rna", FORMS["dask"](dense, None))
    assert (lazily.block, lazily.shape, lazily.stored()) == (30, (100, 6), None)
    assert lazily.row_bytes == 8 * np.count_nonzero(dense[:30]) / 30
    assert on_disk("rna", FORMS["dask, dense"](dense, None)).row_bytes == 8 * 6


def test_a_matrix_without_rows_is_read_too(tmp_path):
    found = CSRInFile(in_h5(sparse.csr_matrix((0, 6), dtype=np.float32), tmp_path))
    assert (found.row_bytes, len(found), found.shape) == (0, 0, (0, 6))
    assert list(found.stored()) == []


def test_indices_of_small_types_become_those_that_scipy_takes(dense, tmp_path):
    found = CSRInFile(in_shards(dense, tmp_path)).read(3, 9)
    assert (found.indices.dtype, found.indptr.dtype) == (np.int32, np.int32)
    assert np.array_equal(found.toarray(), dense[3:9])
    (tmp_path / "long").mkdir()
    matrix = sparse.csr_matrix(dense)
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    found = CSRInFile(in_h5(matrix, tmp_path / "long")).read(3, 9)
    assert (found.indices.dtype, found.indptr.dtype) == (np.int64, np.int64), "and those that it takes stay"


def test_a_chunk_of_dask_is_computed_once_for_neighbouring_rows(dense):
    values = FORMS["dask"](dense, None)
    found = on_disk("rna", values)
    computed = []
    found.chunks = [Counted(chunk, number, computed) for number, chunk in enumerate(found.chunks)]
    for rows in ([31, 32], [33], [59, 60], [90, 99], [0]):
        blocks = list(found.parts(np.array(rows)))
        assert np.array_equal(np.concatenate([block[local].toarray() for block, local in blocks]), dense[rows])
    assert computed == [1, 2, 3, 0], "the first was kept from when its size was taken, until another one came"


class Counted:
    """A chunk that notes when it is computed."""

    def __init__(self, chunk, number, computed):
        self.chunk, self.number, self.computed = chunk, number, computed

    def compute(self, scheduler):
        assert scheduler == "synchronous"
        self.computed.append(self.number)
        return self.chunk.compute(scheduler=scheduler)


def test_ranges_end_before_a_gap_and_within_the_bytes():
    """A gap of 350 rows of 1,000 bytes is read over, one row more is not."""
    for gap, expected in ((350, [(0, 2)]), (351, [(0, 1), (1, 2)])):
        assert list(row_ranges(np.array([0, gap]), 1000.0, 2**23)) == expected
    assert list(row_ranges(np.arange(5), 1000.0, 2000.0)) == [(0, 2), (2, 4), (4, 5)]
    assert list(row_ranges(np.arange(5), 1000.0, 1.0)) == [(k, k + 1) for k in range(5)], "a row at least"
    assert list(row_ranges(np.array([0, 350_000, 700_001]), 0.0, 2**23)) == [(0, 2), (2, 3)], "a byte a row at least"
