"""Values that stay in a file: CSR or dense, in HDF5, zarr or behind dask; read in ranges of neighbouring rows."""

from collections.abc import Iterator
from typing import Any, Protocol

import h5py
import numpy as np
from anndata.abc import CSCDataset, CSRDataset
from packaging.version import Version
from scipy import sparse

from omicsmlm._checks import value_error

from ._packing import Packed, check_pointers, compact_rows, pack_csr

BLOCK = 64
"""Fewest rows that are read together: of single rows, the overhead of a read would be most of its time."""
BLOCK_ZARR, BLOCK_BYTES = 1024, 2**24
"""Most rows of a zarr array that are read together, within these bytes; more than of HDF5, as a read has more overhead."""
GAP_BYTES = 350_000
"""A gap of fewer bytes is read and discarded, not skipped: an additional read takes about as long."""
STRETCH_BYTES = 2**23
"""Most bytes of an HDF5 file that are read at once."""
SCAN_BYTES = 2**25
"""Bytes of stored values that a scan holds at once."""
BATCHED, FUSED = (f"zarr.core.codec_pipeline.{name}CodecPipeline" for name in ("Batched", "Fused"))
"""zarr's default codec pipeline, and the one that decodes without a coroutine for each chunk."""
FUSED_SINCE = Version("3.4")
"""First version of zarr with this pipeline."""


class MatrixInFile(Protocol):
    """A matrix whose values are in a file."""

    shape: tuple[int, int]
    dtype: np.dtype
    block: int
    """Neighbouring rows to read together."""
    row_bytes: float
    """Bytes of an average row, as packed tokens."""

    def parts(self, rows: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
        """Read ascending rows: yield CSR matrices or dense arrays and, (k,), which of their rows were asked for."""
        ...

    def stored(self) -> Iterator[np.ndarray] | None:
        """Yield all stored values, without their positions; None if they can only be read by rows."""
        ...


class CSRInFile:
    """A CSR matrix in HDF5 or zarr. Its row pointers, 8 bytes a row, are held in memory; all else is read in slices."""

    def __init__(self, values: Any) -> None:
        self.shape: tuple[int, int] = tuple(values.shape)
        self.data, self.indices = _opened(values.group, "data"), _opened(values.group, "indices")
        self.dtype = self.data.dtype
        self.indptr = np.asarray(values.group["indptr"][:])
        n_stored = min(int(self.indices.shape[0]), int(self.data.shape[0]))
        check_pointers(f"file {values.group.name!r}", self.indptr, self.shape[0], n_stored)
        self.row_bytes = 8 * len(self) / max(1, self.shape[0])
        is_zarr = not isinstance(self.data, h5py.Dataset)
        self.block = max(BLOCK, min(BLOCK_ZARR, int(BLOCK_BYTES / max(1.0, self.row_bytes)))) if is_zarr else BLOCK
        # Large enough for a whole block of zarr: were it read in two, the chunk between them would be decoded twice.
        self.at_once = BLOCK_BYTES if is_zarr else STRETCH_BYTES

    def __len__(self) -> int:
        """Return the number of stored values."""
        return int(self.indptr[-1])

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """Read neighbouring rows."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        values = _plain(self.data[first:last])
        matrix = sparse.csr_matrix((stop - start, self.shape[1]), dtype=values.dtype)
        # Set one by one: the constructor would check all indices.
        matrix.data, matrix.indices = values, self.indices[first:last]
        if matrix.indices.dtype not in (np.int32, np.int64):  # annbatch writes the smallest type that suffices
            matrix.indices = matrix.indices.astype(np.int32)
        matrix.indptr = (self.indptr[start : stop + 1] - first).astype(matrix.indices.dtype)
        return matrix

    def pack(self, rows: np.ndarray, lut: np.ndarray) -> Packed:
        """Read ascending rows as packed tokens: into the arrays that are returned, from which zeros are then removed.

        Parameters
        ----------
        rows
            (n,) int64, ascending and distinct.
        lut
            (columns,) int32 position of each column in the vocabulary, -1 for a feature that is not in it.
        """
        places = list(row_ranges(rows, self.row_bytes, self.at_once))
        first_p, last_p = rows[[first for first, _ in places]], rows[[last - 1 for _, last in places]]
        span_p = self.indptr[last_p + 1] - self.indptr[first_p]
        # A range is read behind what is kept of those before it, so there must be room for all rows and for one range.
        room = int((self.indptr[rows + 1] - self.indptr[rows]).sum() + span_p.max(initial=0))
        ids, values, offsets = np.empty(room, np.int32), np.empty(room, np.float32), np.zeros(len(rows) + 1, np.int64)
        is_same = bool((lut == np.arange(len(lut))).all())
        for (first, last), length in zip(places, span_p.tolist(), strict=True):
            at, start = int(offsets[first]), int(self.indptr[rows[first]])
            _read_into(self.indices, start, ids[at : at + length])
            _read_into(self.data, start, values[at : at + length])
            ascends = compact_rows(ids, values, offsets[first : last + 1], self.indptr, rows[first:last], lut, is_same)
            if not ascends:
                self._summed(rows[first:last], lut, ids, values, offsets[first : last + 1])
        return Packed(ids[: offsets[-1]], values[: offsets[-1]], offsets)

    def _summed(
        self, rows: np.ndarray, lut: np.ndarray, ids: np.ndarray, values: np.ndarray, offsets: np.ndarray
    ) -> None:
        """Read rows once more and sort them, as their columns do not ascend or occur twice (then values are summed)."""
        matrix = self.read(int(rows[0]), int(rows[-1]) + 1)
        matrix.sum_duplicates()
        packed = pack_csr(matrix.indptr, matrix.indices, matrix.data, rows - rows[0], lut)
        at, end = offsets[0], offsets[0] + packed[2][-1]
        ids[at:end], values[at:end] = packed[:2]
        offsets[:] = at + packed[2]

    def parts(self, rows: np.ndarray) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """Read ascending rows: yield ranges of the matrix and which of their rows were asked for."""
        for first, last in row_ranges(rows, self.row_bytes, self.at_once):
            yield self.read(int(rows[first]), int(rows[last - 1]) + 1), rows[first:last] - rows[first]

    def stored(self) -> Iterator[np.ndarray]:
        """Yield all stored values."""
        step = SCAN_BYTES // self.dtype.itemsize
        for start in range(0, len(self), step):
            yield self.data[start : start + step]


class DenseInFile:
    """A dense matrix in HDF5 or zarr."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.shape: tuple[int, int] = tuple(values.shape)
        self.dtype = values.dtype
        self.row_bytes = 8.0 * self.shape[1]
        self.block = max(BLOCK, values.chunks[0] if values.chunks else 1)

    def parts(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read ascending rows: yield ranges of the matrix and which of their rows were asked for."""
        for first, last in row_ranges(rows, self.row_bytes, STRETCH_BYTES):
            start = int(rows[first])
            yield np.asarray(self.values[start : int(rows[last - 1]) + 1]), rows[first:last] - start

    def stored(self) -> None:
        """Come by rows alone."""
        return None


class DaskMatrix:
    """A dask array of sparse or dense chunks; the chunk computed last is kept, as neighbouring rows come next.

    Raises
    ------
    ValueError
        If its chunks are columns (CSC): a row would need all of them.
    """

    def __init__(self, place: str, values: Any) -> None:
        meta = values._meta
        if sparse.issparse(meta) and meta.format != "csr":
            raise _by_columns(place, f"a dask array of {meta.format.upper()} chunks")
        if values.numblocks[1] > 1:
            values = values.rechunk({1: -1})
        self.shape: tuple[int, int] = tuple(values.shape)
        self.dtype = values.dtype
        self.starts = np.cumsum([0, *values.chunks[0]])
        self.chunks = [part[0] for part in values.to_delayed(optimize_graph=True)]
        self.block = int(max(values.chunks[0]))
        self.last: tuple[int, Any] | None = None
        sample = self._chunk(0)
        stored = sample.nnz if sparse.issparse(sample) else sample.size
        self.row_bytes = 8 * stored / max(1, sample.shape[0])

    def _chunk(self, number: int) -> Any:
        """Return a computed chunk."""
        if self.last is None or self.last[0] != number:
            self.last = None  # so that memory never holds two chunks
            chunk = self.chunks[number].compute(scheduler="synchronous")
            self.last = number, sparse.csr_matrix(chunk) if sparse.issparse(chunk) else np.asarray(chunk)
        return self.last[1]

    def parts(self, rows: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
        """Read ascending rows: yield chunks and which of their rows were asked for."""
        for number in np.unique(np.searchsorted(self.starts, rows, "right") - 1).tolist():
            start, stop = self.starts[number], self.starts[number + 1]
            own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
            yield self._chunk(number), own - start

    def stored(self) -> None:
        """Come by rows alone."""
        return None


def on_disk(place: str, values: Any) -> MatrixInFile | None:
    """Return a matrix that reads these values in blocks; None for values in memory.

    Raises
    ------
    ValueError
        If the values lie in the file by columns.
    """
    if isinstance(values, CSCDataset):
        raise _by_columns(place, "a CSC matrix in a file")
    if isinstance(values, CSRDataset):
        return CSRInFile(values)
    if isinstance(values, h5py.Dataset) or _is_array_of("zarr", values):
        return DenseInFile(values)
    return DaskMatrix(place, values) if is_dask_array(values) else None


def is_dask_array(values: Any) -> bool:
    """Return whether values are a dask array or of a subclass, as in a view of an AnnData."""
    return _is_array_of("dask", values)


def _is_array_of(library: str, values: Any) -> bool:
    """Return whether values are an ``Array`` of dask or zarr, by name, as neither need be installed."""
    classes = type(values).__mro__
    return any(kind.__module__.partition(".")[0] == library and kind.__name__ == "Array" for kind in classes)


def _opened(group: Any, name: str) -> Any:
    """Open an array of a group; in HDF5 without the chunk cache, which only costs a copy where nothing is compressed."""
    found = group[name]
    if not isinstance(found, h5py.Dataset):
        return _opened_zarr(group, name)
    if found.chunks is None or found.id.get_create_plist().get_nfilters():
        return found
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(1, 0, 1.0)
    del found  # as long as it is open, it keeps its cache
    return h5py.Dataset(h5py.h5d.open(group.id, name.encode(), access))


def _opened_zarr(group: Any, name: str) -> Any:
    """Open an array of a zarr group so that its chunks are decoded one after the other, from zarr 3.4 on.

    The pipeline of older versions, with a coroutine for each chunk of a shard, takes two to four times as long. Another
    one that the user has chosen (``zarr.config``) stays.
    """
    import zarr

    if Version(zarr.__version__) < FUSED_SINCE or zarr.config.get("codec_pipeline.path") != BATCHED:
        return group[name]
    with zarr.config.set({"codec_pipeline.path": FUSED}):
        return group[name]


def _read_into(source: Any, start: int, out: np.ndarray) -> None:
    """Read neighbouring values of a one-dimensional array in a file into an array in memory, without a copy between."""
    if not isinstance(source, h5py.Dataset) and source.dtype == out.dtype:
        from zarr.buffer.cpu import NDBuffer

        source.get_basic_selection(slice(start, start + len(out)), out=NDBuffer.from_numpy_array(out))
    elif not isinstance(source, h5py.Dataset) or source.dtype.kind not in "iuf":
        out[:] = source[start : start + len(out)]
    elif len(out):
        space = source.id.get_space()
        space.select_hyperslab((start,), (len(out),))
        source.id.read(h5py.h5s.create_simple((len(out),)), space, out)


def _plain(values: np.ndarray) -> np.ndarray:
    """Return values in a type that numba compiles loops for."""
    return values if values.dtype.isnative and values.dtype != np.float16 else values.astype(np.float32)


def _by_columns(place: str, found: str) -> ValueError:
    """Return the error for values that lie in the file by columns: reading a row would read the whole file."""
    remedy = "read it into memory, or write it as CSR: adata.X = scipy.sparse.csr_matrix(adata.X)"
    return value_error(place, "values that can be read by rows", found, remedy)


def row_ranges(rows: np.ndarray, row_bytes: float, at_once: float) -> Iterator[tuple[int, int]]:
    """Yield ranges of ascending rows to read at once, as first and last position (exclusive) in `rows`.

    A range ends before a gap of :data:`GAP_BYTES` and where it would have more than `at_once` bytes of rows of
    `row_bytes` each.
    """
    gap = max(1.0, GAP_BYTES / max(1.0, row_bytes))
    most = max(1, int(at_once / max(1.0, row_bytes)))
    start = 0
    for gap_end in np.append(np.flatnonzero(np.diff(rows) > gap) + 1, len(rows)).tolist():
        while start < gap_end:
            end = min(gap_end, int(np.searchsorted(rows, rows[start] + most)))
            yield start, end
            start = end
