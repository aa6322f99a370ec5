"""One modality and its values, as the functions take them, or one sentence."""

import anndata as ad
import dask.array
import h5py
import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm.pp._input import check_amounts, one_modality, values_of

X = np.array([[1.0, 0, 2], [0, 3, 0]])


def test_the_one_modality_is_given_back():
    adata = AnnData(X)
    assert one_modality("atac", adata) is adata


@pytest.mark.parametrize(("place", "proposed"), [("atac", "atac"), ("cpg", "rna")])
def test_of_a_mudata_one_modality_is_proposed(place, proposed):
    mdata = MuData({"rna": AnnData(X.copy()), "atac": AnnData(X.copy())})
    sentence = (
        rf"^{place}: expected the AnnData of one modality, got a MuData of 'rna', 'atac'; .* mdata\['{proposed}'\]\.$"
    )
    with pytest.raises(ValueError, match=sentence):
        one_modality(place, mdata)


def test_an_array_is_no_anndata():
    with pytest.raises(ValueError, match=r"^atac: expected an AnnData, got ndarray; put the values into one"):
        one_modality("atac", X)


def backed(folder, values):
    AnnData(values).write_h5ad(folder / "x.h5ad")
    return ad.read_h5ad(folder / "x.h5ad", backed="r")


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_values_in_memory_and_in_a_file(kind, tmp_path):
    for adata in (AnnData(kind(X)), backed(tmp_path, kind(X))):
        found = values_of("rna", adata, None)
        assert sparse.issparse(found) == (kind is not np.asarray)
        assert not sparse.issparse(found) or found.format == "csr"
        assert (found.toarray() if sparse.issparse(found) else found).tolist() == X.tolist()
        if adata.isbacked:
            assert isinstance(adata.X, h5py.Dataset) or not sparse.issparse(adata.X)
            adata.file.close()


def test_a_layer_by_its_name():
    adata = AnnData(X, layers={"counts": 2 * X})
    assert values_of("rna", adata, "counts").tolist() == (2 * X).tolist()
    with pytest.raises(
        ValueError, match=r"^rna: expected a layer 'raw', got the layers 'counts'; pass one of these, or none"
    ):
        values_of("rna", adata, "raw")


def test_an_array_that_is_not_computed_is_refused():
    adata = AnnData(dask.array.from_array(X))
    with pytest.raises(
        ValueError, match=r"^rna: expected a sparse or dense matrix, got dask.*Array; convert it .*compute"
    ):
        values_of("rna", adata, None)


@pytest.mark.parametrize("kind", [np.float32, np.int64, bool, np.uint8])
@pytest.mark.parametrize("whole", [False, True])
def test_counts_are_taken(kind, whole):
    check_amounts("rna", np.array([[0, 1]]).astype(kind), whole=whole)
    check_amounts("rna", sparse.csr_matrix(np.array([[0, 1]]).astype(kind)), whole=whole)
    check_amounts("rna", np.empty((0, 2), kind), whole=whole)


def test_estimates_are_counts_unless_whole_numbers_are_asked_for():
    check_amounts("rna", np.array([[0.5, 7.25]]), whole=False)
    sentence = r"^rna: expected raw counts \(non-negative integers\), got floats up to 7.25; pass layer="
    with pytest.raises(ValueError, match=sentence):
        check_amounts("rna", np.array([[0.5, 7.25]]), whole=True)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([[0.0, np.nan]], "NaN"),
        ([[0.0, np.inf]], "infinity"),
        ([[-np.inf, 0.0]], "infinity"),
        ([[3, -2]], "values down to -2"),
        ([["a", "b"]], "values of type <U1"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_what_is_no_amount(values, found, whole):
    wanted = r"raw counts \(non-negative integers\)" if whole else r"counts \(non-negative numbers\)"
    with pytest.raises(ValueError, match=rf"^rna: expected {wanted}, got {found}; (pass layer=|convert them)"):
        check_amounts("rna", np.array(values), whole=whole)
