"""Concatenated CSR matrices of several files, each read from its file and not through dask."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from omicsmlm._types import SOURCES, Source

from ._disk import CSRInFile, MatrixInFile, is_dask_array, on_disk
from ._packing import Packed, check_inside, pack_csr


class StackedCSR:
    """CSR matrices in HDF5 or zarr, concatenated along the observations.

    Parameters
    ----------
    sources
        The matrices.
    n_columns
        Features of the whole.
    """

    def __init__(self, sources: Sequence[Source], n_columns: int) -> None:
        self.files = [CSRInFile(source.values) for source in sources]
        self.columns = [source.column_of for source in sources]
        self.starts = np.cumsum([0, *(file.shape[0] for file in self.files)])
        self.shape = (int(self.starts[-1]), n_columns)
        self.dtype = np.result_type(*(file.dtype for file in self.files))
        self.block = max(file.block for file in self.files)
        self.row_bytes = 8 * sum(map(len, self.files)) / max(1, self.shape[0])

    def pack(self, rows: np.ndarray, lut: np.ndarray) -> Packed:
        """Read ascending rows as packed tokens.

        Parameters
        ----------
        rows
            (n,) int64, ascending and distinct.
        lut
            (columns,) int32 position of each column in the vocabulary, -1 for a feature that is not in it.
        """
        found: list[Packed] = []
        for number, own in self._own(rows):
            column_of = self.columns[number]
            if column_of is None:
                found.append(self.files[number].pack(own, lut))
            elif (np.diff(column_of) > 0).all():
                found.append(self.files[number].pack(own, lut[column_of]))
            else:  # the columns of the file are in another order than those of the whole, in which tokens are sorted
                for block, local in self._parts(number, own):
                    block.sum_duplicates()
                    found.append(Packed(*pack_csr(block.indptr, block.indices, block.data, local, lut)[:3]))
        return Packed.joined(found)

    def parts(self, rows: np.ndarray) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """Read ascending rows: yield CSR matrices and which of their rows were asked for."""
        for number, own in self._own(rows):
            yield from self._parts(number, own)

    def stored(self) -> Iterator[np.ndarray]:
        """Yield all stored values."""
        for file in self.files:
            yield from file.stored()

    def _own(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield each file that some of the ascending rows are of, by number, and their rows within it."""
        bounds = np.searchsorted(rows, self.starts)
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            yield number, rows[bounds[number] : bounds[number + 1]] - self.starts[number]

    def _parts(self, number: int, rows: np.ndarray) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """Read ascending rows of one file, with the columns of the whole."""
        column_of = self.columns[number]
        for block, local in self.files[number].parts(rows):
            if column_of is not None:
                check_inside(block.indices, len(column_of))
                placed = block.data, column_of[block.indices].astype(np.int32), block.indptr
                block = sparse.csr_matrix(placed, shape=(block.shape[0], self.shape[1]))
            yield block, local


def in_files(place: str, values: Any) -> MatrixInFile | None:
    """Return a matrix that reads these values in blocks; None for values in memory.

    Raises
    ------
    ValueError
        If the values lie in the file by columns.
    """
    sources = _sources(values)
    return on_disk(place, values) if sources is None else StackedCSR(sources, int(values.shape[1]))


def _sources(values: Any) -> tuple[Source, ...] | None:
    """Return the files that a dask array is read from, where :func:`omicsmlm.datasets.open_files` made it, else None.

    They are an annotation of its own layer of the graph: an array that is computed from it has another layer.
    """
    if not is_dask_array(values):
        return None
    from dask.highlevelgraph import HighLevelGraph

    if not isinstance(values.dask, HighLevelGraph) or values.name not in values.dask.layers:
        return None
    return (values.dask.layers[values.name].annotations or {}).get(SOURCES)
