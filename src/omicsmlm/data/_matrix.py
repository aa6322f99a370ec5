"""Reading rows from whatever holds a modality: CSR, dense, or backed by a file."""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import h5py
import numpy as np
from anndata import AnnData
from anndata.abc import CSCDataset, CSRDataset
from numba import njit
from scipy import sparse

from omicsmlm._checks import mistake

logger = logging.getLogger(__name__)

BLOCK = 4096
"""Rows that a scan holds at once."""


class Packed(NamedTuple):
    """Tokens of some rows as arrays: see :class:`omicsmlm._types.Tokens`."""

    ids: np.ndarray
    values: np.ndarray
    offsets: np.ndarray


class Summary(NamedTuple):
    """What a scan over every stored value found."""

    minimum: float
    maximum: float
    has_nan: bool
    has_infinity: bool
    all_integers: bool
    all_zero: bool


class Matrix:
    """The values of one modality, read by rows; the data themselves are never copied as a whole.

    Parameters
    ----------
    place
        Name of the modality, for messages.
    values
        CSR or CSC matrix, dense array, or either CSR or dense in an open ``.h5ad`` file.

    Raises
    ------
    ValueError
        If the array type is not one of these (dask, say).
    """

    def __init__(self, place: str, values: Any) -> None:
        if sparse.issparse(values) and values.format != "csr":
            logger.info("%s: %s matrix converted to CSR for reading by rows.", place, values.format.upper())
            values = sparse.csr_matrix(values)
        if sparse.issparse(values) and not values.has_canonical_format:
            values = values.copy()
            values.sum_duplicates()
        in_file = isinstance(values, CSRDataset | h5py.Dataset)
        if not (in_file or sparse.issparse(values) or isinstance(values, np.ndarray)) or isinstance(values, CSCDataset):
            raise mistake(
                place,
                "a CSR or dense matrix, in memory or backed",
                f"{type(values).__module__}.{type(values).__name__}",
                "convert it first, for example with .compute() or scipy.sparse.csr_matrix",
            )
        if values.dtype.kind not in "buif" or values.dtype.itemsize > 8:
            raise mistake(place, "numbers", f"values of type {values.dtype}", "convert them, for example to float32")
        self.values = values
        self.in_file = in_file
        self.shape: tuple[int, int] = tuple(values.shape)

    @classmethod
    def of(cls, place: str, adata: AnnData, layer: str | None) -> "Matrix":
        """Open ``adata.X`` or ``adata.layers[layer]``."""
        if layer is not None and layer not in adata.layers:
            known = [name for name in adata.layers.keys() if name is not None]
            raise mistake(
                place, f"a layer {layer!r}", f"layers {known}", "pass the name of an existing layer, or none for X"
            )
        values = adata.X if layer is None else adata.layers[layer]
        if values is None:
            raise mistake(place, "values in X", "none", 'pass layer="…" to name the layer that holds them')
        return cls(place, values)

    def pack(self, rows: np.ndarray, vocabulary_of_column: np.ndarray, keep_zeros: bool) -> Packed:
        """Gather rows as packed tokens.

        Parameters
        ----------
        rows
            (n,) int64 row numbers; -1 for a row that this modality lacks.
        vocabulary_of_column
            (columns,) int32 position of each column in the vocabulary, -1 for a feature that is not in it.
        keep_zeros
            Whether a zero is a value like any other (fractions, real values) or is not stored (counts).
        """
        if not self.in_file and sparse.issparse(self.values) and not keep_zeros:
            matrix = self.values
            return Packed(*_pack_csr(matrix.indptr, matrix.indices, matrix.data, rows, vocabulary_of_column))
        wanted, position = np.unique(rows[rows >= 0], return_inverse=True)
        block = self._block(wanted)
        local = np.full(len(rows), -1, dtype=np.int64)
        local[rows >= 0] = position
        if sparse.issparse(block) and not keep_zeros:
            return Packed(*_pack_csr(block.indptr, block.indices, block.data, local, vocabulary_of_column))
        dense = block.toarray() if sparse.issparse(block) else block
        return Packed(
            *_pack_dense(np.ascontiguousarray(dense, dtype=np.float32), local, vocabulary_of_column, keep_zeros)
        )

    def _block(self, wanted: np.ndarray) -> Any:
        if len(wanted) == 0:
            return np.zeros((0, self.shape[1]), dtype=np.float32)
        return self.values[wanted]

    def _chunks(self) -> Iterator[np.ndarray]:
        if not self.in_file and sparse.issparse(self.values):
            for start in range(0, len(self.values.data), BLOCK * 256):
                yield self.values.data[start : start + BLOCK * 256]
            return
        for start in range(0, self.shape[0], BLOCK):
            block = self.values[start : start + BLOCK]
            yield block.data if sparse.issparse(block) else np.asarray(block).ravel()

    def summary(self) -> Summary:
        """Scan every stored value once, by blocks; values that are not stored are zeros."""
        low, high, has_nan, has_infinity, integers, anything = np.inf, -np.inf, False, False, True, False
        for chunk in self._chunks():
            finite = chunk if np.issubdtype(chunk.dtype, np.integer) else chunk[np.isfinite(chunk)]
            if len(finite) < len(chunk):
                has_nan |= bool(np.isnan(chunk).any())
                has_infinity |= bool(np.isinf(chunk).any())
            if len(finite):
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                integers = integers and bool((finite == np.round(finite)).all())
                anything = anything or bool(finite.any())
        if low > high:
            low = high = 0.0
        return Summary(low, high, has_nan, has_infinity, integers, not anything)


@njit(cache=True, nogil=True)
def _pack_csr(indptr, indices, data, rows, lut):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    for i, row in enumerate(rows):
        count = 0
        if row >= 0:
            for j in range(indptr[row], indptr[row + 1]):
                if lut[indices[j]] >= 0 and data[j] != 0:
                    count += 1
        offsets[i + 1] = offsets[i] + count
    ids = np.empty(offsets[-1], dtype=np.int32)
    values = np.empty(offsets[-1], dtype=np.float32)
    for i, row in enumerate(rows):
        if row >= 0:
            at = offsets[i]
            for j in range(indptr[row], indptr[row + 1]):
                if lut[indices[j]] >= 0 and data[j] != 0:
                    ids[at] = lut[indices[j]]
                    values[at] = data[j]
                    at += 1
    return ids, values, offsets


@njit(cache=True, nogil=True)
def _pack_dense(block, rows, lut, keep_zeros):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    for i, row in enumerate(rows):
        count = 0
        if row >= 0:
            for j in range(block.shape[1]):
                value = block[row, j]
                if lut[j] >= 0 and not np.isnan(value) and (keep_zeros or value != 0):
                    count += 1
        offsets[i + 1] = offsets[i] + count
    ids = np.empty(offsets[-1], dtype=np.int32)
    values = np.empty(offsets[-1], dtype=np.float32)
    for i, row in enumerate(rows):
        if row >= 0:
            at = offsets[i]
            for j in range(block.shape[1]):
                value = block[row, j]
                if lut[j] >= 0 and not np.isnan(value) and (keep_zeros or value != 0):
                    ids[at] = lut[j]
                    values[at] = value
                    at += 1
    return ids, values, offsets
