"""Compiled loops against the same in plain Python."""

import numpy as np
import pytest
from scipy import sparse

from omicsmlm.data._packing import (
    Packed,
    Scan,
    check_inside,
    check_pointers,
    compact_rows,
    gather,
    pack_csr,
    pack_dense,
    scan,
)

LUT = np.array([2, -1, 0, 1, -1, 3], dtype=np.int32)
"""Six columns, of which two are not in the vocabulary."""
IDENTITY = np.arange(6, dtype=np.int32)


@pytest.fixture
def dense(rng):
    """Twelve observations of six features, the third without any value."""
    values = rng.poisson(0.9, (12, 6)).astype(np.float32)
    values[2] = 0
    return values


def tokens_of(dense, rows, lut, keep_zeros=False):
    """Ids, values and offsets by a loop."""
    ids, values, offsets = [], [], [0]
    for row in rows:
        for column, value in enumerate(dense[row] if row >= 0 else []):
            if lut[column] >= 0 and not np.isnan(value) and (keep_zeros or value != 0):
                ids.append(lut[column])
                values.append(value)
        offsets.append(len(ids))
    return ids, values, offsets


def assert_same(found, expected):
    for a, b, kind in zip(found, expected, (np.int32, np.float32, np.int64), strict=False):
        assert a.tolist() == list(b)
        assert a.dtype == kind


def with_stored_zeros(dense, rng):
    """A CSR matrix that stores some of the zeros."""
    stored = (dense != 0) | (rng.random(dense.shape) < 0.3)
    row, column = np.nonzero(stored)
    indptr = np.append(0, np.cumsum(stored.sum(1)))
    return sparse.csr_matrix((dense[row, column], column.astype(np.int32), indptr), shape=dense.shape)


ROWS = [np.array([3, -1, 0, 11, 3, 2]), np.arange(12), np.array([], dtype=np.int64), np.array([-1, -1]), np.array([2])]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("lut", [LUT, IDENTITY])
@pytest.mark.parametrize("stored_zeros", [False, True])
def test_rows_of_a_csr_matrix(dense, rng, rows, lut, stored_zeros):
    matrix = with_stored_zeros(dense, rng) if stored_zeros else sparse.csr_matrix(dense)
    *found, ascends = pack_csr(matrix.indptr, matrix.indices, matrix.data, rows, lut)
    assert ascends
    assert_same(found, tokens_of(dense, rows, lut))


@pytest.mark.parametrize("columns", [[1, 0], [2, 2], [0, 1, 1]])
def test_columns_that_do_not_ascend_are_noticed(columns):
    parts = np.array([0, 1, 1 + len(columns)]), np.array([3, *columns], np.int32), np.ones(1 + len(columns))
    assert not pack_csr(*parts, np.array([0, 1]), IDENTITY)[-1]
    assert pack_csr(*parts, np.array([0, -1]), IDENTITY)[-1], "in rows that are not read they do not matter"


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("keep_zeros", [False, True])
def test_rows_of_a_dense_block(dense, rows, keep_zeros):
    dense[4, 2] = dense[3, 0] = np.nan
    assert_same(pack_dense(dense, rows, LUT, keep_zeros), tokens_of(dense, rows, LUT, keep_zeros))


@pytest.mark.parametrize("rows", [np.array([3, 4, 7, 9]), np.array([0]), np.array([2, 3]), np.arange(3, 12)])
@pytest.mark.parametrize("lut", [LUT, IDENTITY])
@pytest.mark.parametrize("stored_zeros", [False, True])
def test_a_range_of_a_file_is_reduced_in_place(dense, rng, rows, lut, stored_zeros):
    matrix = with_stored_zeros(dense, rng) if stored_zeros else sparse.csr_matrix(dense)
    before = 5  # tokens of the ranges that were read earlier
    start, stop = matrix.indptr[rows[0]], matrix.indptr[rows[-1] + 1]
    ids = np.concatenate([np.full(before, 9), matrix.indices[start:stop], [0]]).astype(np.int32)
    values = np.concatenate([np.full(before, 7), matrix.data[start:stop], [0]]).astype(np.float32)
    offsets = np.full(len(rows) + 1, before)
    assert compact_rows(ids, values, offsets, matrix.indptr.astype(np.int64), rows, lut, bool((lut == IDENTITY).all()))
    wanted = tokens_of(dense, rows, lut)
    assert offsets.tolist() == [before + offset for offset in wanted[2]]
    assert ids[before : offsets[-1]].tolist() == wanted[0]
    assert values[before : offsets[-1]].tolist() == wanted[1]
    assert (ids[:before] == 9).all()
    assert (values[:before] == 7).all()


@pytest.mark.parametrize("columns", [[1, 0], [2, 2]])
def test_a_range_whose_columns_do_not_ascend_has_to_be_read_again(columns):
    ids, values = np.array([*columns, 0], np.int32), np.ones(3, np.float32)
    assert not compact_rows(ids, values, np.zeros(2, np.int64), np.array([0, 2]), np.array([0]), IDENTITY, True)


def packed(*lengths, start=0):
    """Observations of these lengths, whose tokens are numbered."""
    ids = np.arange(start, start + sum(lengths), dtype=np.int32)
    return Packed(ids, ids.astype(np.float32) / 2, np.append(0, np.cumsum(lengths)))


def test_observations_are_gathered_from_several_places():
    first, second = packed(2, 0, 3), packed(1, 4, start=10)
    found = gather(5, [(first, np.array([2, 0]), np.array([4, 0])), (second, np.array([1]), np.array([2]))])
    assert_same(found, ([0, 1, 11, 12, 13, 14, 2, 3, 4], [0, 0.5, 5.5, 6, 6.5, 7, 1, 1.5, 2], [0, 2, 2, 6, 6, 9]))
    assert_same(gather(2, []), ([], [], [0, 0, 0]))


def test_parts_are_joined_in_order():
    found = Packed.joined([packed(2, 0), packed(1, start=5), packed(0)])
    assert_same(found, ([0, 1, 5], [0, 0.5, 2.5], [0, 2, 2, 3, 3]))
    one = packed(2)
    assert Packed.joined([one]) is one
    assert_same(Packed.joined([]), ([], [], [0]))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, np.int64, np.uint8, bool, ">f4"])
def test_a_scan_of_counts(kind):
    found = scan(Scan(), np.array([1, 0, 1]).astype(kind))
    assert found == Scan(0, 1, all_integers=True, has_nonzero=True)
    assert scan(Scan(), np.zeros(2, kind)) == Scan(0, 0)
    assert scan(Scan(), np.array([], kind)) == Scan()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, -2], Scan(-2, 0.5, all_integers=False, has_nonzero=True)),
        ([np.nan, 3], Scan(3, 3, has_nan=True, has_nonzero=True)),
        ([np.inf, 3], Scan(3, 3, has_infinity=True, has_nonzero=True)),
        ([-np.inf], Scan(has_infinity=True)),
        ([-1.5], Scan(-1.5, -1.5, all_integers=False, has_nonzero=True)),
    ],
)
def test_what_a_scan_finds(values, expected):
    assert scan(Scan(), np.array(values)) == expected


def test_a_scan_goes_on_from_what_was_found():
    before = scan(Scan(), np.array([np.nan, 0.5, 9]))
    assert scan(before, np.array([-3.0])) == Scan(-3, 9, has_nan=True, all_integers=False, has_nonzero=True)
    assert scan(scan(Scan(), np.array([np.inf])), np.array([0.0])) == Scan(0, 0, has_infinity=True)
    assert scan(scan(Scan(), np.array([4.0])), np.array([5.0])) == Scan(4, 5, has_nonzero=True)


@pytest.mark.parametrize("index", [6, 1000, -1, 2**31 - 1, -(2**31)])
def test_columns_outside_of_the_matrix_are_told_and_never_read(dense, index):
    matrix = sparse.csr_matrix(dense)
    at = matrix.indptr[5] - 1 if index > 0 else matrix.indptr[4]  # last or first of its row, so that columns ascend
    matrix.indices[at] = index
    said = r"^sparse matrix: expected column indices from 0 to 5, got others; it is damaged"
    with pytest.raises(ValueError, match=said):
        pack_csr(matrix.indptr, matrix.indices, matrix.data, np.arange(12), LUT)
    ids, values, offsets = matrix.indices.copy(), matrix.data.copy(), np.zeros(13, np.int64)
    with pytest.raises(ValueError, match=said):
        compact_rows(ids, values, offsets, matrix.indptr.astype(np.int64), np.arange(12), LUT, False)
    with pytest.raises(ValueError, match=said):
        check_inside(matrix.indices, 6)
    check_inside(np.empty(0, np.int32), 0)


@pytest.mark.parametrize("indptr", [[0, 3, 2, 4], [1, 2, 3, 4], [0, 1, 2], [0, 1, 2, 5], [0, -1, 2, 4]])
def test_pointers_that_do_not_ascend_are_told(indptr):
    check_pointers("rna", np.array([0, 2, 2, 4]), 3, 4)
    with pytest.raises(
        ValueError, match="^rna: expected a sparse matrix whose row pointers ascend from 0 to 4, got others"
    ):
        check_pointers("rna", np.array(indptr), 3, 4)
