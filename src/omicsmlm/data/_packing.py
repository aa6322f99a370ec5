"""Compiled loops over values: from rows of a matrix to packed tokens, from packed rows to batches, and the scan of all values.

``lut`` (look-up table) is always (columns,) int32: position of each column in the vocabulary, -1 for a feature that is not in
it. Loops that only compare or copy are written so that LLVM vectorises them: over slices that begin at 0, with integers that
are OR-ed in place of booleans and early exits.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from omicsmlm._checks import value_error

ASCENDING, NOT_ASCENDING, OUTSIDE = 0, 1, 2
"""What the columns of rows are found to be: as they should be, not in order or repeated, or outside of the matrix."""


class Packed(NamedTuple):
    """Tokens of some rows as arrays: see :class:`omicsmlm._types.Tokens`."""

    ids: np.ndarray
    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Packed"]) -> "Packed":
        """Return the rows of several parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls(np.empty(0, np.int32), np.empty(0, np.float32), np.zeros(1, np.int64))
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        ids, values = np.concatenate([part.ids for part in parts]), np.concatenate([part.values for part in parts])
        return cls(ids, values, np.concatenate([[0], np.cumsum(lengths)]))


def gather(n_rows: int, pieces: Sequence[tuple[Packed, np.ndarray, np.ndarray]]) -> Packed:
    """Return packed rows gathered from several places.

    Parameters
    ----------
    n_rows
        Rows of the result; one that no piece fills is empty.
    pieces
        Packed rows, the positions of some of them, and their positions in the result.

    Examples
    --------
    >>> two = Packed(np.array([4, 5, 6], np.int32), np.ones(3, np.float32), np.array([0, 1, 3]))
    >>> gather(3, [(two, np.array([1, 0]), np.array([0, 2]))])[::2]
    (array([5, 6, 4], dtype=int32), array([0, 2, 2, 3]))
    """
    offsets = np.zeros(n_rows + 1, dtype=np.int64)
    for packed, position, slot in pieces:
        offsets[slot + 1] = packed.offsets[position + 1] - packed.offsets[position]
    np.cumsum(offsets, out=offsets)
    ids, values = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.float32)
    for packed, position, slot in pieces:
        _copy_rows(packed.ids, packed.values, packed.offsets, position, ids, values, offsets, slot)
    return Packed(ids, values, offsets)


class Scan(NamedTuple):
    """Properties of the values scanned so far; minimum and maximum of the finite ones."""

    minimum: float = np.inf
    maximum: float = -np.inf
    has_nan: bool = False
    has_infinity: bool = False
    all_integers: bool = True
    has_nonzero: bool = False


def scan(before: Scan, values: np.ndarray) -> Scan:
    """Return the properties of the values scanned before and of these."""
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    if values.dtype == np.float16 or not values.dtype.isnative:
        values = values.astype(np.float64)
    low, high, has_nan, has_infinity, integers, nonzero = _scan(values)
    return Scan(
        min(before.minimum, float(low)),
        max(before.maximum, float(high)),
        before.has_nan or bool(has_nan),
        before.has_infinity or bool(has_infinity),
        before.all_integers and bool(integers),
        before.has_nonzero or bool(nonzero),
    )


@njit(cache=True, nogil=True)
def _scan(values):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    low, high = np.inf, -np.inf
    has_nan, has_infinity, integers, nonzero = False, False, True, False
    for value in values:
        x = float(value)
        if np.isnan(x):
            has_nan = True
        elif np.isinf(x):
            has_infinity = True
        else:
            low, high = min(low, x), max(high, x)
            integers &= x == np.floor(x)
            nonzero |= x != 0
    return low, high, has_nan, has_infinity, integers, nonzero


@njit(cache=True, nogil=True)
def _copy_rows(ids, values, offsets, position, new_ids, new_values, new_offsets, slot):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    # Over slices, whose indices begin at zero: only then are the loops vectorised.
    for k in range(len(position)):
        at, start = new_offsets[slot[k]], offsets[position[k]]
        length = offsets[position[k] + 1] - start
        from_ids, to_ids = ids[start : start + length], new_ids[at : at + length]
        for j in range(length):
            to_ids[j] = from_ids[j]
        from_values, to_values = values[start : start + length], new_values[at : at + length]
        for j in range(length):
            to_values[j] = from_values[j]


def compact_rows(
    ids: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    indptr: np.ndarray,
    rows: np.ndarray,
    lut: np.ndarray,
    is_same: bool,
) -> bool:
    """Return whether the columns of each row ascend; if they do, reduce a range that was read from a file to its tokens.

    ``ids`` and ``values`` hold the range from position ``offsets[0]`` on. The tokens of the rows that were asked for are
    moved to its beginning, in place: those of features in the vocabulary and with a value other than 0. If columns do not
    ascend, the content is undefined and the rows have to be read again.

    Raises
    ------
    ValueError
        If a column is outside of the matrix.
    """
    found = _compact_rows(ids, values, offsets, indptr, rows, lut, is_same)
    if found == OUTSIDE:
        raise outside(len(lut))
    return found == ASCENDING


@njit(cache=True, nogil=True)
def _compact_rows(ids, values, offsets, indptr, rows, lut, is_same):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    shift = offsets[0] - indptr[rows[0]]
    at = offsets[0]
    for i, row in enumerate(rows):
        start, stop = indptr[row] + shift, indptr[row + 1] + shift
        own, after, found = ids[start : max(start, stop - 1)], ids[start + 1 : stop], values[start:stop]
        wrong, zeros = np.int32(0), np.int32(0)  # not booleans, so that these loops are vectorised
        for j in range(len(own)):
            wrong |= np.int32(after[j] <= own[j])
        for j in range(len(found)):
            zeros |= np.int32(found[j] == 0)
        if wrong:
            return NOT_ASCENDING
        if stop > start and (ids[start] < 0 or ids[stop - 1] >= len(lut)):  # they ascend: the others lie between
            return OUTSIDE
        if is_same and zeros == 0:
            if at < start:
                for j in range(stop - start):
                    ids[at + j] = ids[start + j]
                    values[at + j] = values[start + j]
            at += stop - start
        else:
            for j in range(start, stop):
                position, value = lut[ids[j]], values[j]
                ids[at] = position
                values[at] = value
                at += (position >= 0) & (value != 0)
        offsets[i + 1] = at
    return ASCENDING


def pack_csr(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, rows: np.ndarray, lut: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Return ids, values and offsets of rows (-1 for an empty one), and whether the columns of each row ascend.

    Where they do not, packing stops, and only the last of the four is of use. The row pointers are those of
    :func:`check_pointers`.

    Raises
    ------
    ValueError
        If a column is outside of the matrix.
    """
    ids, values, offsets, found = _pack_csr(indptr, indices, data, rows, lut)
    if found == OUTSIDE:
        raise outside(len(lut))
    return ids, values, offsets, found == ASCENDING


def outside(n_columns: int) -> ValueError:
    """Return the error for column indices of a sparse matrix that are no columns of it."""
    expected = f"column indices from 0 to {n_columns - 1}"
    return value_error("sparse matrix", expected, "others", "it is damaged: read or make it anew")


def check_pointers(place: str, indptr: np.ndarray, n_rows: int, n_stored: int) -> None:
    """Check the pointers to the rows of a CSR matrix (or to the columns of a CSC one), which loops rely on.

    Raises
    ------
    ValueError
        If they do not ascend from 0 to at most the number of stored values.
    """
    whole = len(indptr) == n_rows + 1 and indptr[0] == 0 and indptr[-1] <= n_stored
    if not whole or (n_rows and not (indptr[1:] >= indptr[:-1]).all()):
        expected = f"a sparse matrix whose row pointers ascend from 0 to {n_stored}"
        raise value_error(place, expected, "others", "it is damaged: read or make it anew")


def check_inside(indices: np.ndarray, n_columns: int) -> None:
    """Check the column indices of a CSR matrix before a library's compiled loop meets them.

    Raises
    ------
    ValueError
        If one is outside of the matrix.
    """
    if len(indices) and (indices.min() < 0 or indices.max() >= n_columns):
        raise outside(n_columns)


@njit(cache=True, nogil=True)
def _pack_csr(indptr, indices, data, rows, lut):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    most = 0
    for row in rows:
        if row >= 0:
            most += indptr[row + 1] - indptr[row]
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    ids, values = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.float32)
    at = 0
    for i, row in enumerate(rows):
        if row >= 0:
            own, found = indices[indptr[row] : indptr[row + 1]], data[indptr[row] : indptr[row + 1]]
            wrong, some_drop = np.int32(0), np.int32(0)
            for j in range(1, len(own)):
                wrong |= np.int32(own[j] <= own[j - 1])
            if wrong:
                return ids, values, offsets, NOT_ASCENDING
            if len(own) and (own[0] < 0 or own[-1] >= len(lut)):  # they ascend: the others lie between
                return ids, values, offsets, OUTSIDE
            to_ids, to_values = ids[at : at + len(own)], values[at : at + len(own)]
            for j in range(len(own)):
                to_ids[j] = lut[own[j]]
                some_drop |= np.int32(to_ids[j] < 0)
            for j in range(len(own)):
                to_values[j] = found[j]
                some_drop |= np.int32(found[j] == 0)
            kept = len(own)
            if some_drop:
                kept = 0
                for j in range(len(own)):
                    to_ids[kept], to_values[kept] = lut[own[j]], found[j]
                    kept += (lut[own[j]] >= 0) & (found[j] != 0)
            at += kept
        offsets[i + 1] = at
    return ids[:at], values[:at], offsets, ASCENDING


@njit(cache=True, nogil=True)
def pack_dense(block, rows, lut, keep_zeros):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Return ids, values and offsets of rows (-1 for an empty one) of a dense block; NaN is never a token."""
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
