import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from omicsmlm.pp import log_tpm
from tests.objects import multiome, state_of

GENES = ["a", "b", "c"]
LENGTHS = {"a": 1000, "b": 2000, "c": 500, "other": 7}
COUNTS = [[10, 20, 0], [0, 0, 0], [1, 0, 1.5]]


def counted(container=np.asarray):
    obs = pd.DataFrame({"cohort": ["x", "y", "x"]}, index=["s0", "s1", "s2"])
    return AnnData(container(np.array(COUNTS, dtype=np.float32)), obs=obs, var=pd.DataFrame(index=GENES))


def dense(values):
    return values.toarray() if sparse.issparse(values) else values


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("base", [10, 2, np.e, None])
def test_a_case_by_hand(container, base):
    # per base: 0.01, 0.01, 0 | nothing | 0.001, 0, 0.003
    tpm = np.array([[5e5, 5e5, 0], [0, 0, 0], [2.5e5, 0, 7.5e5]])
    adata = counted(container)
    before = state_of(adata)
    made = log_tpm(adata, LENGTHS, base=base)
    expected = tpm if base is None else np.log(1 + tpm) / np.log(base)
    np.testing.assert_allclose(dense(made.X), expected, rtol=1e-6)
    assert made.X.dtype == np.float32
    assert sparse.issparse(made.X) == sparse.issparse(adata.X)
    assert made.obs.equals(adata.obs)
    assert made.var.equals(adata.var)
    assert state_of(adata) == before


def test_the_default_is_log10():
    assert log_tpm(counted(), LENGTHS).X[0, 0] == pytest.approx(np.log10(500_001))


def test_tpm_sum_to_a_million_and_the_unit_of_lengths_does_not_matter(rng):
    adata = AnnData(rng.poisson(3, (5, 40)).astype(float))
    length_g = pd.Series(rng.integers(200, 9000, 40), index=adata.var_names)
    tpm = log_tpm(adata, length_g, base=None)
    np.testing.assert_allclose(tpm.X.sum(1), 1e6, rtol=1e-5)
    np.testing.assert_allclose(tpm.X, log_tpm(adata, length_g / 1000, base=None).X, rtol=1e-5)


def test_lengths_are_matched_by_name():
    expected = log_tpm(counted(), LENGTHS).X
    by_name = pd.Series({"c": 500, "other": np.nan, "b": 2000, "a": 1000})
    np.testing.assert_array_equal(log_tpm(counted(), by_name).X, expected)
    adata = counted()
    adata.var["length"] = [1000, 2000, 500]
    np.testing.assert_array_equal(log_tpm(adata, "length").X, expected)


def test_layers_in_and_out():
    adata = counted()
    expected = log_tpm(adata, LENGTHS).X
    adata.layers["counts"] = sparse.csr_matrix(adata.X)
    adata.X = adata.X - 5
    made = log_tpm(adata, LENGTHS, layer="counts", key_added="log_tpm")
    np.testing.assert_allclose(made.layers["log_tpm"].toarray(), expected, rtol=1e-6)
    np.testing.assert_array_equal(made.X, adata.X)
    made.X[:] = 0
    assert adata.X[0, 1] == 15
    assert "log_tpm" not in adata.layers


def test_counts_in_a_layer_alone():
    adata = AnnData(obs=counted().obs, var=counted().var, layers={"counts": np.array(COUNTS)})
    made = log_tpm(adata, LENGTHS, layer="counts", key_added="log_tpm")
    assert made.X is None
    np.testing.assert_array_equal(made.layers["log_tpm"], log_tpm(counted(), LENGTHS).X)


def test_a_view_and_entries_listed_twice():
    view = counted()[[2, 0], ["c", "a"]]
    np.testing.assert_allclose(log_tpm(view, LENGTHS, base=None).X, [[7.5e5, 2.5e5], [0, 1e6]], rtol=1e-6)
    parts = sparse.csr_matrix(([1.0, 2.0, 3.0], [0, 0, 1], [0, 3]), shape=(1, 2))
    adata = AnnData(parts, var=pd.DataFrame(index=["a", "b"]))
    np.testing.assert_allclose(log_tpm(adata, {"a": 1, "b": 1}).X.toarray(), [[np.log10(500_001)] * 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("lengths", "options", "words"),
    [
        (
            {"a": 1},
            {},
            "gene_lengths: expected a length for each gene, got none for 2 of 3: 'b', 'c'; add them, or leave",
        ),
        (LENGTHS | {"b": None}, {}, "gene_lengths: expected a length for each gene, got none for 1 of 3: 'b'"),
        (LENGTHS | {"b": 0}, {}, "gene_lengths: expected positive lengths, got others for 1 of 3: 'b'; add them"),
        (LENGTHS | {"b": -5, "c": -1}, {}, "gene_lengths: expected positive lengths, got others for 2 of 3: 'b', 'c'"),
        (
            pd.Series([1, 2, 3, 4], index=["a", "a", "b", "c"]),
            {},
            "gene_lengths: expected one length per gene, got several for 'a'; keep one of them",
        ),
        ("length", {}, "gene_lengths: expected a column of var, got 'length', not among none; pass one of these"),
        (
            [1, 2, 3],
            {},
            r"gene_lengths: expected lengths by name, or a column of var, got list; pass pd.Series\(lengths",
        ),
        (LENGTHS, {"base": 1}, "base: expected a number above 1, got 1; pass 10, or None for the TPM itself"),
        (LENGTHS, {"layer": "raw"}, "counts: expected a layer 'raw', got the layers none"),
    ],
)
def test_wrong_input_gets_a_sentence(lengths, options, words):
    with pytest.raises(ValueError, match=words):
        log_tpm(counted(), lengths, **options)


@pytest.mark.parametrize(
    ("value", "found"), [(-1, "values down to -1"), (np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
def test_wrong_counts_get_a_sentence(value, found, container):
    adata = counted()
    adata.X[0, 0] = value
    adata.X = container(adata.X)
    with pytest.raises(
        ValueError, match=rf"counts: expected counts \(non-negative numbers\), got {found}; pass layer="
    ):
        log_tpm(adata, LENGTHS)


def test_other_objects_get_a_sentence():
    with pytest.raises(ValueError, match="counts: expected the AnnData of one modality, got a MuData of 'rna', 'atac'"):
        log_tpm(multiome(), LENGTHS)
