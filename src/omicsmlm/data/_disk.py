"""Values that stay in a file: CSR or dense, in HDF5, zarr or behind dask; read by stretches of neighbouring rows."""

from collections.abc import Iterator
from typing import Any, Protocol

import h5py
import numpy as np
from anndata.abc import CSCDataset, CSRDataset
from scipy import sparse

from omicsmlm._checks import value_error

from ._packing import Packed, pack_csr, settle

BLOCK = 64
"""Rows that are read together where the file does not say otherwise."""
BLOCK_ZARR, BLOCK_BYTES = 1024, 2**24
"""Rows of a zarr array that are read together, which takes longer to begin a read; but within these bytes."""
GAP_BYTES = 350_000
"""Bytes that are rather read in vain than skipped: one more read costs about as much."""
STRETCH_BYTES = 2**23
"""Bytes that are read at once."""
SCAN_BYTES = 2**25
"""Bytes that a scan over all values holds at once."""
BATCHED, FUSED = (f"zarr.core.codec_pipeline.{name}CodecPipeline" for name in ("Batched", "Fused"))
"""How zarr decodes if nobody says otherwise, and how it does so without a coroutine for each chunk."""


class DiskRows(Protocol):
    """Values in a file."""

    shape: tuple[int, int]
    dtype: np.dtype
    block: int
    """Rows that are best read together."""
    row_bytes: float
    """Bytes of an average row, as packed tokens."""

    def parts(self, rows: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
        """Read ascending rows: CSR matrices or dense arrays one after the other, and which of their rows they are."""
        ...

    def stored(self) -> Iterator[np.ndarray] | None:
        """Read all stored values, without saying where they stand; None if they only come by rows."""
        ...


class CSRInFile:
    """A CSR matrix in HDF5 or zarr. Its row pointers, 8 bytes a row, are held; all else is read in slices."""

    def __init__(self, values: Any) -> None:
        self.shape: tuple[int, int] = tuple(values.shape)
        self.data, self.indices = _opened(values.group, "data"), _opened(values.group, "indices")
        self.dtype = self.data.dtype
        self.indptr = np.asarray(values.group["indptr"][:])
        self.row_bytes = 8 * len(self) / max(1, self.shape[0])
        is_zarr = not isinstance(self.data, h5py.Dataset)
        self.block = max(BLOCK, min(BLOCK_ZARR, int(BLOCK_BYTES / max(1.0, self.row_bytes)))) if is_zarr else BLOCK
        # A block of zarr is not read in two: the chunk between them would be decoded twice.
        self.at_once = BLOCK_BYTES if is_zarr else STRETCH_BYTES

    def __len__(self) -> int:
        """Count the stored values."""
        return int(self.indptr[-1])

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """Read neighbouring rows."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        values = _plain(self.data[first:last])
        matrix = sparse.csr_matrix((stop - start, self.shape[1]), dtype=values.dtype)
        # Set one by one: the constructor would go through all indices to check them.
        matrix.data, matrix.indices = values, self.indices[first:last]
        if matrix.indices.dtype not in (
            np.int32,
            np.int64,
        ):  # collections of annbatch's have the smallest type that will do
            matrix.indices = matrix.indices.astype(np.int32)
        matrix.indptr = (self.indptr[start : stop + 1] - first).astype(matrix.indices.dtype)
        return matrix

    def pack(self, rows: np.ndarray, lut: np.ndarray) -> Packed:
        """Read ascending rows as packed tokens: straight to where they stay, zeros taken out there.

        Parameters
        ----------
        rows
            (n,) int64, ascending and distinct.
        lut
            (columns,) int32 position of each column in the vocabulary, -1 for a feature that is not in it.
        """
        places = list(stretches(rows, self.row_bytes, self.at_once))
        first_p, last_p = rows[[first for first, _ in places]], rows[[last - 1 for _, last in places]]
        span_p = self.indptr[last_p + 1] - self.indptr[first_p]
        # What is read lies behind what is kept, so that there is room for all that is kept and for one whole stretch.
        room = int((self.indptr[rows + 1] - self.indptr[rows]).sum() + span_p.max(initial=0))
        ids, values, offsets = np.empty(room, np.int32), np.empty(room, np.float32), np.zeros(len(rows) + 1, np.int64)
        is_same = bool((lut == np.arange(len(lut))).all())
        for (first, last), length in zip(places, span_p.tolist(), strict=True):
            at, start = int(offsets[first]), int(self.indptr[rows[first]])
            _read_into(self.indices, start, ids[at : at + length])
            _read_into(self.data, start, values[at : at + length])
            ascends = settle(ids, values, offsets[first : last + 1], self.indptr, rows[first:last], lut, is_same)
            if not ascends:
                self._summed(rows[first:last], lut, ids, values, offsets[first : last + 1])
        return Packed(ids[: offsets[-1]], values[: offsets[-1]], offsets)

    def _summed(
        self, rows: np.ndarray, lut: np.ndarray, ids: np.ndarray, values: np.ndarray, offsets: np.ndarray
    ) -> None:
        """Read rows once more, in which a column stands twice, or columns stand in any order."""
        matrix = self.read(int(rows[0]), int(rows[-1]) + 1)
        matrix.sum_duplicates()
        packed = pack_csr(matrix.indptr, matrix.indices, matrix.data, rows - rows[0], lut)
        at, end = offsets[0], offsets[0] + packed[2][-1]
        ids[at:end], values[at:end] = packed[:2]
        offsets[:] = at + packed[2]

    def parts(self, rows: np.ndarray) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """Read ascending rows."""
        for first, last in stretches(rows, self.row_bytes, self.at_once):
            yield self.read(int(rows[first]), int(rows[last - 1]) + 1), rows[first:last] - rows[first]

    def stored(self) -> Iterator[np.ndarray]:
        """Read all stored values."""
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
        """Read ascending rows."""
        for first, last in stretches(rows, self.row_bytes, STRETCH_BYTES):
            start = int(rows[first])
            yield np.asarray(self.values[start : int(rows[last - 1]) + 1]), rows[first:last] - start

    def stored(self) -> None:
        """Come by rows alone."""
        return None


class DaskRows:
    """A dask array, of sparse or of dense chunks; the chunk that was computed last is kept.

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
        if self.last is None or self.last[0] != number:
            self.last = None  # not two chunks at a time
            chunk = self.chunks[number].compute(scheduler="synchronous")
            self.last = number, sparse.csr_matrix(chunk) if sparse.issparse(chunk) else np.asarray(chunk)
        return self.last[1]

    def parts(self, rows: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
        """Read ascending rows chunk by chunk: each chunk, and which of its rows they are."""
        for number in np.unique(np.searchsorted(self.starts, rows, "right") - 1).tolist():
            start, stop = self.starts[number], self.starts[number + 1]
            own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
            yield self._chunk(number), own - start

    def stored(self) -> None:
        """Come by rows alone."""
        return None


def on_disk(place: str, values: Any) -> DiskRows | None:
    """Open values that are read in blocks; None for what is in memory.

    Raises
    ------
    ValueError
        If the values lie in the file by columns.
    """
    if isinstance(values, CSCDataset):
        raise _by_columns(place, "a CSC matrix in a file")
    if isinstance(values, CSRDataset):
        return CSRInFile(values)
    library = type(values).__module__.partition(".")[0]
    if isinstance(values, h5py.Dataset) or (library == "zarr" and hasattr(values, "chunks")):
        return DenseInFile(values)
    return DaskRows(place, values) if is_dask_array(values) else None


def is_dask_array(values: Any) -> bool:
    """Tell whether values are a dask array or, as in a view of an AnnData, something that is made of one."""
    return any(kind.__module__.partition(".")[0] == "dask" for kind in type(values).__mro__) and hasattr(
        values, "to_delayed"
    )


def _opened(group: Any, name: str) -> Any:
    """Open an array of a group; in HDF5 without the cache of chunks, which costs a copy where nothing is compressed."""
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
    """Open an array of a zarr group so that its chunks are decoded one after the other, where zarr can (3.4).

    The way of older versions, a coroutine for each chunk of a shard, takes two to four times as long. A way that the
    user has chosen (``zarr.config``) stays.
    """
    import zarr
    from zarr.core import codec_pipeline

    chosen = zarr.config.get("codec_pipeline.path")
    if chosen != BATCHED or not hasattr(codec_pipeline, FUSED.rpartition(".")[2]):
        return group[name]
    with zarr.config.set({"codec_pipeline.path": FUSED}):
        return group[name]


def _read_into(source: Any, start: int, out: np.ndarray) -> None:
    """Read neighbouring values of a one-dimensional array in a file."""
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
    """Give values in a type that compiled loops know."""
    return values if values.dtype.isnative and values.dtype != np.float16 else values.astype(np.float32)


def _by_columns(place: str, found: str) -> ValueError:
    remedy = "read it into memory, or write it as CSR: adata.X = scipy.sparse.csr_matrix(adata.X)"
    return value_error(place, "values that can be read by rows", found, remedy)


def stretches(rows: np.ndarray, row_bytes: float, at_once: float) -> Iterator[tuple[int, int]]:
    """Cut ascending rows into stretches of at most so many bytes that are read at once: their places in `rows`."""
    gap = max(1.0, GAP_BYTES / max(1.0, row_bytes))
    most = max(1, int(at_once / max(1.0, row_bytes)))
    start = 0
    for gap_end in np.append(np.flatnonzero(np.diff(rows) > gap) + 1, len(rows)).tolist():
        while start < gap_end:
            end = min(gap_end, int(np.searchsorted(rows, rows[start] + most)))
            yield start, end
            start = end
