"""Loops over values, compiled: rows to packed tokens, packed rows to batches, and the scan of all values."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit


class Packed(NamedTuple):
    """Tokens of some rows as arrays: see :class:`omicsmlm._types.Tokens`."""

    ids: np.ndarray
    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Packed"]) -> "Packed":
        """Put rows below one another."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls(np.empty(0, np.int32), np.empty(0, np.float32), np.zeros(1, np.int64))
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        ids, values = np.concatenate([part.ids for part in parts]), np.concatenate([part.values for part in parts])
        return cls(ids, values, np.concatenate([[0], np.cumsum(lengths)]))


def gather(n_rows: int, pieces: Sequence[tuple[Packed, np.ndarray, np.ndarray]]) -> Packed:
    """Put packed rows together from several places.

    Parameters
    ----------
    n_rows
        Rows of the whole; one that no piece fills is empty.
    pieces
        Packed rows, which of them, and where each goes.

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
    """What was found in the values so far."""

    minimum: float = np.inf
    maximum: float = -np.inf
    has_nan: bool = False
    has_infinity: bool = False
    all_integers: bool = True
    has_nonzero: bool = False


def scan(before: Scan, values: np.ndarray) -> Scan:
    """Look at further values."""
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
    # Slices, whose indices begin at zero: only then are the loops compiled to copies of many values at once.
    for k in range(len(position)):
        at, start = new_offsets[slot[k]], offsets[position[k]]
        length = offsets[position[k] + 1] - start
        from_ids, to_ids = ids[start : start + length], new_ids[at : at + length]
        for j in range(length):
            to_ids[j] = from_ids[j]
        from_values, to_values = values[start : start + length], new_values[at : at + length]
        for j in range(length):
            to_values[j] = from_values[j]


@njit(cache=True, nogil=True)
def settle(ids, values, offsets, indptr, rows, lut, is_same):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Keep, of a stretch of a file that was read to ``offsets[0]``, some rows, and of these what is a token, in place.

    Returns whether the columns of each row ascend; if not, what was kept is of no use.
    """
    shift = offsets[0] - indptr[rows[0]]
    at = offsets[0]
    for i, row in enumerate(rows):
        start, stop = indptr[row] + shift, indptr[row + 1] + shift
        own, after, found = ids[start : max(start, stop - 1)], ids[start + 1 : stop], values[start:stop]
        wrong, zeros = (
            np.int32(0),
            np.int32(0),
        )  # not truth values: these loops are compiled to comparisons of many at once
        for j in range(len(own)):
            wrong |= np.int32(after[j] <= own[j])
        for j in range(len(found)):
            zeros |= np.int32(found[j] == 0)
        if wrong:
            return False
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
    return True


@njit(cache=True, nogil=True)
def pack_csr(indptr, indices, data, rows, lut):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Pack rows, -1 for an empty one; says as well whether the columns of each row ascend, and if not stops there."""
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
                return ids, values, offsets, False
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
    return ids[:at], values[:at], offsets, True


@njit(cache=True, nogil=True)
def pack_dense(block, rows, lut, keep_zeros):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
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
