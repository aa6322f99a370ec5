"""The matrix of a modality, CSR or dense, in memory, in a file, or behind dask; read by rows, which are observations."""

import itertools
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from anndata import AnnData
from scipy import sparse
from tqdm.auto import tqdm

from omicsmlm._checks import value_error

from ._disk import CSRInFile, MatrixInFile
from ._packing import Packed, Scan, check_inside, check_pointers, gather, pack_csr, pack_dense, scan
from ._stack import StackedCSR, in_files

logger = logging.getLogger(__name__)

BLOCK = 4096
"""Rows that a scan holds at once."""
SCAN_BYTES = 2**26
"""Bytes of values that a scan of a file holds at once."""
LONG_SCAN = 2**30
"""Bytes of values above which a scan shows a progress bar: it takes more than some seconds."""


class Summary(NamedTuple):
    """Properties of all stored values of a matrix."""

    minimum: float
    """Of the finite values; 0 where there are none."""
    maximum: float
    """Of the finite values; 0 where there are none."""
    has_nan: bool
    has_infinity: bool
    all_integers: bool
    """Of the finite values."""
    all_zero: bool
    """Whether no finite value differs from zero."""

    @property
    def are_counts(self) -> bool:
        """Whether all values are non-negative integers."""
        return self.all_integers and self.minimum >= 0 and not (self.has_nan or self.has_infinity)


class Matrix:
    """The values of one modality, read by rows; the data themselves are never copied as a whole.

    Parameters
    ----------
    place
        Name of the modality, for messages.
    values
        CSR or CSC matrix or dense array in memory; CSR or dense in an open HDF5 or zarr file; a dask array of rows.

    Raises
    ------
    ValueError
        If the array type is not one of these, or lies in its file by columns.
    """

    def __init__(self, place: str, values: Any) -> None:
        self.place = place
        if sparse.issparse(values) and values.format in ("csr", "csc"):
            values = _checked(place, values)
        if sparse.issparse(values) and values.format != "csr":
            logger.info("%s: %s matrix converted to CSR for reading by rows.", place, values.format.upper())
            values = sparse.csr_matrix(values)
        if sparse.issparse(values) and not values.has_canonical_format:
            values = _summed(values)
        self.file: MatrixInFile | None = None if sparse.issparse(values) else in_files(place, values)
        if self.file is None and not (sparse.issparse(values) or isinstance(values, np.ndarray)):
            raise value_error(
                place,
                "a CSR or dense matrix, in memory or backed",
                f"{type(values).__module__}.{type(values).__name__}",
                "convert it first, for example with .compute() or scipy.sparse.csr_matrix",
            )
        if values.dtype.kind not in "buif" or values.dtype.itemsize > 8:
            raise value_error(
                place, "numbers", f"values of type {values.dtype}", "convert them, for example to float32"
            )
        self.values = values
        self.shape: tuple[int, int] = tuple(values.shape)

    @classmethod
    def of(cls, place: str, adata: AnnData, layer: str | None) -> "Matrix":
        """Open ``adata.X`` or ``adata.layers[layer]``."""
        if layer is not None and layer not in adata.layers:
            known = [name for name in adata.layers.keys() if name is not None]
            raise value_error(
                place, f"a layer {layer!r}", f"layers {known}", "pass the name of an existing layer, or none for X"
            )
        values = adata.X if layer is None else adata.layers[layer]
        if values is None:
            raise value_error(place, "values in X", "none", 'pass layer="…" to name the layer that holds them')
        return cls(place, values)

    def pack(self, rows: np.ndarray, vocabulary_of_column: np.ndarray, keep_zeros: bool) -> Packed:
        """Return rows as packed tokens.

        Parameters
        ----------
        rows
            (n,) int64 rows of the matrix; -1 for an observation that this modality lacks.
        vocabulary_of_column
            (columns,) int32 position of each column in the vocabulary, -1 for a feature that is not in it.
        keep_zeros
            Whether a zero is a value like any other (fractions, real values) or is not stored (counts).
        """
        if self.file is not None:
            return self._pack_file(self.file, rows, vocabulary_of_column, keep_zeros)
        matrix = self.values
        if sparse.issparse(matrix) and not keep_zeros:
            *parts, ascends = pack_csr(matrix.indptr, matrix.indices, matrix.data, rows, vocabulary_of_column)
            if not ascends:  # changed in place since it was opened
                summed = _summed(matrix)
                parts = list(pack_csr(summed.indptr, summed.indices, summed.data, rows, vocabulary_of_column)[:3])
            return Packed(*parts)
        if len(rows) and rows.min() >= 0:
            block, local = matrix[rows], np.arange(len(rows))
        else:
            wanted, position = np.unique(rows[rows >= 0], return_inverse=True)
            block = matrix[wanted] if len(wanted) else np.zeros((0, self.shape[1]), dtype=np.float32)
            local = np.full(len(rows), -1, dtype=np.int64)
            local[rows >= 0] = position
        if sparse.issparse(block):
            check_inside(block.indices, self.shape[1])
        dense = np.ascontiguousarray(block.toarray() if sparse.issparse(block) else block, dtype=np.float32)
        return Packed(*pack_dense(dense, local, vocabulary_of_column, keep_zeros))

    def _pack_file(self, file: MatrixInFile, rows: np.ndarray, lut: np.ndarray, keep_zeros: bool) -> Packed:
        """Read each row once and in ascending order, then return them in the order that was asked for."""
        wanted, position = np.unique(rows[rows >= 0], return_inverse=True)
        if isinstance(file, CSRInFile | StackedCSR) and not keep_zeros:
            packed = file.pack(wanted, lut)
        else:
            packed = Packed.joined([*_parts(file, wanted, lut, keep_zeros)])
        if len(wanted) == len(rows) and (position == np.arange(len(rows))).all():
            return packed
        return gather(len(rows), [(packed, position, np.flatnonzero(rows >= 0))])

    def _chunks(self) -> Iterator[np.ndarray]:
        """Yield all values by blocks; those of a file after its entries of the same place have been summed."""
        if self.file is None and sparse.issparse(self.values):
            for start in range(0, len(self.values.data), BLOCK * 256):
                yield self.values.data[start : start + BLOCK * 256]
            return
        if self.file is None:
            yield from (self.values[start : start + BLOCK].ravel() for start in range(0, self.shape[0], BLOCK))
            return
        step = max(1, int(SCAN_BYTES / max(1.0, self.file.row_bytes)))
        for start in range(0, self.shape[0], step):
            for block, local in self.file.parts(np.arange(start, min(self.shape[0], start + step))):
                if sparse.issparse(block):
                    block.sum_duplicates()
                    yield block.data if len(local) == block.shape[0] else block[local].data
                else:
                    yield block[local].ravel()

    def summary(self) -> Summary:
        """Return the properties of all stored values, by one scan; values that are not stored are zeros."""
        stored = None if self.file is None else self.file.stored()
        if stored is None:
            return self._summary_of(self._chunks())
        # Several entries of a file may add up to one value. Sums of counts are counts; all else is read again by rows.
        found = self._summary_of(stored)
        return found if found.are_counts else self._summary_of(self._chunks())

    def beginning(self) -> Summary:
        """Return the properties of the first values only."""
        return self._summary_of(itertools.islice(self._chunks(), 1))

    def _summary_of(self, chunks: Iterator[np.ndarray]) -> Summary:
        """Return the properties of the values in some arrays."""
        total = 0 if self.file is None else int(self.file.row_bytes / 8 * self.shape[0])
        found = Scan()
        with tqdm(
            total=total, desc=f"{self.place}: reading values", unit="", unit_scale=True, disable=total * 8 < LONG_SCAN
        ) as bar:
            for chunk in chunks:
                found = scan(found, chunk)
                bar.update(len(chunk))
        low, high = (found.minimum, found.maximum) if found.minimum <= found.maximum else (0.0, 0.0)
        return Summary(low, high, found.has_nan, found.has_infinity, found.all_integers, not found.has_nonzero)


def _checked(place: str, values: Any) -> Any:
    """Return a CSR or CSC matrix whose pointers were checked, with values of a type that loops are compiled for."""
    is_csr = values.format == "csr"
    check_pointers(place, values.indptr, values.shape[0 if is_csr else 1], min(len(values.indices), len(values.data)))
    if not is_csr:
        check_inside(values.indices, values.shape[0])  # scipy turns it into CSR without looking
    if values.dtype == np.float16 or not values.dtype.isnative:
        kind = np.dtype(np.float32) if values.dtype == np.float16 else values.dtype.newbyteorder("=")
        return type(values)((values.data.astype(kind), values.indices, values.indptr), shape=values.shape)
    return values


def _summed(values: Any) -> Any:
    """Return a CSR matrix with the columns of each row in order, each once; the one given stays as it is."""
    arrays = values.data.copy(), values.indices.copy(), values.indptr.copy()
    made = sparse.csr_matrix(arrays, shape=values.shape)  # a new one, as scipy remembers that a matrix was in order
    made.sum_duplicates()
    return made


def _parts(file: MatrixInFile, rows: np.ndarray, lut: np.ndarray, keep_zeros: bool) -> Iterator[Packed]:
    """Yield ascending rows of a file as packed tokens, range by range."""
    for block, local in file.parts(rows):
        if sparse.issparse(block) and not keep_zeros:
            packed = pack_csr(block.indptr, block.indices, block.data, local, lut)
            if not packed[-1]:  # columns that do not ascend: sorting all would be slower, and few files need it
                block.sum_duplicates()
                packed = pack_csr(block.indptr, block.indices, block.data, local, lut)
            yield Packed(*packed[:3])
            continue
        if sparse.issparse(block):
            check_inside(block.indices, block.shape[1])
            block, local = block[local].toarray(), np.arange(len(local))
        yield Packed(*pack_dense(np.ascontiguousarray(block, dtype=np.float32), local, lut, keep_zeros))
