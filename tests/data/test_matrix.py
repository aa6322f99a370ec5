"""Rows are gathered alike from every form of matrix, as a plain loop over the dense values would."""

import h5py
import numpy as np
import pytest
import torch
from anndata import AnnData, read_h5ad
from scipy import sparse

from omicsmlm.data import Matrix, _matrix

ROWS = np.array([3, 0, -1, 5, 3])
VOCABULARY_OF_COLUMN = np.array([2, -1, 0, 1, -1, 4], dtype=np.int32)


def naive(dense, keep_zeros):
    ids, values, offsets = [], [], [0]
    for row in ROWS:
        for column, position in enumerate(VOCABULARY_OF_COLUMN):
            value = np.nan if row < 0 else dense[row, column]
            if position >= 0 and not np.isnan(value) and (keep_zeros or value != 0):
                ids.append(position)
                values.append(value)
        offsets.append(len(ids))
    return ids, values, offsets


def unsorted_with_duplicates(dense):
    """Each value as two entries that add up to it, the columns of a row in descending order."""
    rows, columns = np.nonzero(dense)
    order = np.lexsort((-columns, rows))
    rows, columns = np.repeat(rows[order], 2), np.repeat(columns[order], 2)
    halves = dense[rows, columns] * np.tile([0.25, 0.75], len(order))
    indptr = np.searchsorted(rows, np.arange(len(dense) + 1))
    return sparse.csr_matrix((halves, columns, indptr), shape=dense.shape)


def in_file(x, folder):
    path = folder / "x.h5ad"
    AnnData(x).write_h5ad(path)
    return read_h5ad(path, backed="r").X


FORMS = {
    "csr": lambda x, _: sparse.csr_matrix(x),
    "csr_array": lambda x, _: sparse.csr_array(x),
    "csc": lambda x, _: sparse.csc_matrix(x),
    "coo": lambda x, _: sparse.coo_matrix(x),
    "unsorted": lambda x, _: unsorted_with_duplicates(x),
    "stored zeros": lambda x, _: stored_zeros(x),
    "dense": lambda x, _: x,
    "dense by columns": lambda x, _: np.asfortranarray(x),
    "half": lambda x, _: x.astype(np.float16),
    "big-endian": lambda x, _: x.astype(">f4"),
    "csr in a file": lambda x, folder: in_file(sparse.csr_matrix(x), folder),
    "dense in a file": in_file,
}


def stored_zeros(dense):
    everything = sparse.csr_matrix(np.ones_like(dense))
    everything.data[:] = dense.ravel()
    return everything


@pytest.fixture
def dense(rng):
    return rng.poisson(0.8, (6, 6)).astype(np.float32)


@pytest.mark.parametrize("keep_zeros", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_rows_are_gathered_as_a_loop_would(dense, form, keep_zeros, tmp_path):
    matrix = Matrix("rna", FORMS[form](dense, tmp_path))
    packed = matrix.pack(ROWS, VOCABULARY_OF_COLUMN, keep_zeros)
    ids, values, offsets = naive(dense, keep_zeros)
    assert packed.offsets.tolist() == offsets
    assert packed.ids.tolist() == ids
    assert packed.values.tolist() == values
    assert (packed.ids.dtype, packed.values.dtype, packed.offsets.dtype) == (np.int32, np.float32, np.int64)


@pytest.mark.parametrize("dtype", ["bool", "int64", "float64"])
@pytest.mark.parametrize("form", ["csr", "dense"])
def test_the_type_of_numbers_does_not_matter(dense, form, dtype, tmp_path):
    x = (dense > 0).astype(dtype)
    packed = Matrix("rna", FORMS[form](x, tmp_path)).pack(ROWS, VOCABULARY_OF_COLUMN, False)
    assert packed.ids.tolist() == naive(x, False)[0]
    assert (packed.values == 1).all()


def test_nan_is_not_measured_and_zero_is(dense):
    dense[3, 0] = np.nan
    packed = Matrix("meth", dense).pack(ROWS, VOCABULARY_OF_COLUMN, True)
    ids, values, offsets = naive(dense, True)
    assert (packed.offsets.tolist(), packed.ids.tolist(), packed.values.tolist()) == (offsets, ids, values)
    assert offsets[1] == 3, "row 3 has four columns in the vocabulary, one of them NaN"


def test_no_rows_and_only_absent_rows(dense):
    for x in (dense, sparse.csr_matrix(dense)):
        for keep_zeros in (False, True):
            assert Matrix("rna", x).pack(np.array([], int), VOCABULARY_OF_COLUMN, keep_zeros).offsets.tolist() == [0]
            nothing = Matrix("rna", x).pack(np.array([-1, -1]), VOCABULARY_OF_COLUMN, keep_zeros)
            assert nothing.offsets.tolist() == [0, 0, 0]


def test_the_matrix_that_is_read_is_the_users_own_and_stays_so(dense):
    x = sparse.csr_matrix(dense)
    before = x.data.copy(), x.indices.copy(), x.indptr.copy()
    matrix = Matrix("rna", x)
    matrix.pack(ROWS, VOCABULARY_OF_COLUMN, False)
    matrix.summary()
    assert matrix.values is x
    for part, kept in zip((x.data, x.indices, x.indptr), before, strict=True):
        assert np.array_equal(part, kept)


def test_duplicates_are_summed_in_a_copy(dense):
    x = unsorted_with_duplicates(dense)
    n_stored = x.nnz
    Matrix("rna", x).pack(ROWS, VOCABULARY_OF_COLUMN, False)
    assert x.nnz == n_stored


@pytest.mark.parametrize("form", [form for form in FORMS if form != "unsorted"])
def test_the_summary_scans_every_value(dense, form, tmp_path):
    dense[5, 5] = 7.5
    dense[0, 0] = -2
    summary = Matrix("rna", FORMS[form](dense, tmp_path)).summary()
    assert (summary.minimum, summary.maximum) == (-2, 7.5)
    assert not summary.all_integers
    assert not (summary.has_nan)
    assert not (summary.has_infinity)
    assert not (summary.all_zero)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_the_summary_sees_what_is_not_finite(dense, form):
    dense[1, 1] = np.nan
    summary = Matrix("rna", form(dense)).summary()
    assert summary.has_nan
    assert not summary.has_infinity
    assert summary.all_integers, "NaN says nothing of the other values"
    dense[2, 2] = -np.inf
    summary = Matrix("rna", form(dense)).summary()
    assert summary.has_nan
    assert summary.has_infinity
    assert summary.minimum == 0 or form is sparse.csr_matrix


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_the_summary_of_zeros_and_of_integers(form):
    zeros = Matrix("rna", form(np.zeros((3, 2), np.float32))).summary()
    assert zeros.all_zero
    assert zeros.all_integers
    assert (zeros.minimum, zeros.maximum) == (0, 0)
    ones = Matrix("rna", form(np.eye(3, dtype=int))).summary()
    assert ones.all_integers
    assert not ones.all_zero


def test_a_scan_holds_a_block_at_a_time(monkeypatch, dense):
    monkeypatch.setattr("omicsmlm.data._matrix.BLOCK", 2)
    dense[5, 5] = 9.5
    assert Matrix("rna", dense).summary().maximum == 9.5
    many = sparse.csr_matrix(np.r_[np.ones((200, 6)), [[0, 0, 0, 0, 0, 0.5]]])
    assert not Matrix("rna", many).summary().all_integers


def test_x_or_a_layer(dense):
    adata = AnnData(dense, layers={"counts": dense * 2})
    assert Matrix.of("rna", adata, None).values.max() == dense.max()
    assert Matrix.of("rna", adata, "counts").values.max() == 2 * dense.max()


def test_an_h5_dataset_of_strings_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file, pytest.raises(ValueError, match="expected numbers"):
        Matrix("rna", file.create_dataset("x", data=np.array([[b"a"]])))


def test_a_matrix_of_another_library_is_refused(dense):
    with pytest.raises(ValueError, match=r"^rna: expected a CSR or .*, got torch\.Tensor; convert it first"):
        Matrix("rna", torch.from_numpy(dense))


@pytest.mark.parametrize("keep_zeros", [False, True])
@pytest.mark.parametrize("index", [1000, -1, 2**31 - 1])
@pytest.mark.parametrize("form", ["csr", "csc", "repeated"])
def test_a_damaged_matrix_is_told(form, index, keep_zeros, rng):
    dense = rng.poisson(0.9, (6, 6)).astype(np.float32)
    matrix = unsorted_with_duplicates(dense) if form == "repeated" else sparse.csr_matrix(dense).asformat(form)
    matrix.indices[matrix.nnz // 2] = index
    with pytest.raises(
        ValueError, match="^sparse matrix: expected column indices from 0 to 5, got others; it is damaged"
    ):
        Matrix("rna", matrix).pack(np.arange(6), VOCABULARY_OF_COLUMN, keep_zeros)


def test_a_matrix_with_damaged_pointers_is_told(rng):
    matrix = sparse.csr_matrix(rng.poisson(0.9, (6, 6)).astype(np.float32))
    matrix.indptr[3] = 10**6
    with pytest.raises(ValueError, match="^rna: expected a sparse matrix whose row pointers ascend"):
        Matrix("rna", matrix)


@pytest.mark.parametrize("keep_zeros", [False, True])
@pytest.mark.parametrize("kind", ["float16", ">f4", ">f8"])
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix])
def test_values_of_types_that_loops_do_not_know(form, kind, keep_zeros, rng):
    dense = rng.poisson(0.9, (6, 6)).astype(np.float32)
    matrix = form(dense)
    matrix.data = matrix.data.astype(kind)
    found = Matrix("rna", matrix)
    packed, expected = found.pack(ROWS, VOCABULARY_OF_COLUMN, keep_zeros), naive(dense, keep_zeros)
    for one, two in zip(packed, expected, strict=True):
        np.testing.assert_array_equal(one, two)
    assert found.summary().are_counts


def test_a_matrix_whose_columns_were_put_in_disorder_after_scipy_looked(rng):
    dense = rng.poisson(2, (6, 6)).astype(np.float32)
    matrix = sparse.csr_matrix(dense)
    assert matrix.has_canonical_format  # scipy remembers this
    at = slice(matrix.indptr[3], matrix.indptr[4])
    matrix.indices[at], matrix.data[at] = matrix.indices[at][::-1].copy(), matrix.data[at][::-1].copy()
    for one, two in zip(
        Matrix("rna", matrix).pack(ROWS, VOCABULARY_OF_COLUMN, False), naive(dense, False), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("keep_zeros", [False, True])
def test_repeated_entries_of_a_file_are_summed_as_in_memory(keep_zeros, rng, tmp_path):
    dense = rng.poisson(0.9, (6, 6)).astype(np.float32)
    AnnData(unsorted_with_duplicates(dense)).write_h5ad(tmp_path / "x.h5ad")
    backed = read_h5ad(tmp_path / "x.h5ad", backed="r")
    for values in (backed.X, unsorted_with_duplicates(dense)):
        found = Matrix("rna", values).pack(ROWS, VOCABULARY_OF_COLUMN, keep_zeros)
        for one, two in zip(found, naive(dense, keep_zeros), strict=True):
            np.testing.assert_array_equal(one, two)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _matrix.BLOCK == 4096
    assert _matrix.SCAN_BYTES == 2**26
    assert _matrix.LONG_SCAN == 2**30


def test_a_layer_that_is_not_there_and_an_x_that_is_none_are_refused():
    adata = AnnData(np.ones((2, 3), np.float32), layers={"raw": np.ones((2, 3), np.float32)})
    assert Matrix.of("rna", adata, "raw").shape == (2, 3)
    with pytest.raises(ValueError, match=r"^rna: expected a layer 'counts', got layers \['raw'\]; pass the name of"):
        Matrix.of("rna", adata, "counts")
    with pytest.raises(ValueError, match='^rna: expected values in X, got none; pass layer="…" to name the layer'):
        Matrix.of("rna", AnnData(shape=(2, 3)), None)


def test_a_matrix_that_was_put_out_of_order_is_sorted_and_stays_as_it_is():
    values = sparse.csr_matrix(np.array([[1.0, 2, 0], [0, 3, 4]], np.float32))
    matrix = Matrix("rna", values)
    values.indices[:2] = [1, 0]
    lut = np.arange(3, dtype=np.int32)
    found = matrix.pack(np.array([0, 1]), lut, False)
    assert (found.ids.tolist(), found.values.tolist()) == ([0, 1, 1, 2], [2, 1, 3, 4])
    assert values.indices[:2].tolist() == [1, 0]
