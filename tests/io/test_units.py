"""Values are known for what they are and turned into what models take; checked against formulas worked by hand."""

import numpy as np
import pytest
from scipy import sparse

from omicsmlm.io._units import WHOLE_TRANSCRIPTOME, converted, range_of, unit_of

RNG = np.random.default_rng(0)
LINEAR = RNG.gamma(0.5, 100, (6, 50))
TPM = LINEAR / LINEAR.sum(1, keepdims=True) * 1e6


@pytest.mark.parametrize(
    ("role", "values", "hint", "unit"),
    [
        ("rna", np.round(LINEAR), "", "counts"),
        ("rna", TPM, "", "tpm"),
        ("rna", np.round(TPM), "", "tpm"),
        ("rna", TPM[:, :9] + 30, "my_tpm.tsv", "tpm"),
        ("rna", LINEAR, "x.FPKM-UQ.tsv.gz", "fpkm"),
        ("rna", LINEAR, "data_mrna_seq_v2_rsem.txt", "rsem"),
        ("rna", np.log2(TPM + 1), "tpm.tsv", "log"),
        ("rna", np.log2(np.where(RNG.random(TPM.shape) < 0.3, 0, TPM) + 0.001), "", "log2_offset"),
        ("rna", RNG.normal(size=(5, 9)), "", "real"),
        ("atac", RNG.integers(0, 3, (5, 9)), "", "counts"),
        ("protein", RNG.integers(0, 900, (5, 9)), "", "counts"),
        ("protein", RNG.normal(size=(5, 9)), "", "real"),
        ("methylation", RNG.random((5, 9)), "", "beta"),
        ("methylation", RNG.normal(0, 3, (5, 9)), "", "m"),
        ("methylation", RNG.random((5, 9)) * 100, "", "percent"),
    ],
)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_units_are_known(role, values, hint, unit, form):
    values = form(np.asarray(values, dtype=np.float64))
    assert unit_of(role, role, range_of(role, values), None, hint)[0] == unit


@pytest.mark.parametrize(
    ("role", "values", "given", "said"),
    [
        ("rna", LINEAR, None, r"counts, TPM or log values, got values up to .*; say what they are: units=.*expected_c"),
        ("rna", [[1.0, np.nan], [3, 4]], None, "a count of each feature in each observation, got missing values"),
        ("rna", LINEAR, "counts", 'pass units "expected_counts"'),
        ("rna", -LINEAR, "tpm", "tpm values from 0"),
        ("rna", LINEAR, "log", "log values from -30 to 30"),
        ("rna", LINEAR, "TPM", "a unit among"),
        ("atac", LINEAR, None, "read the raw matrix of counts"),
        ("methylation", LINEAR * 100, None, "beta values .0 to 1., M values or percentages"),
        ("methylation", [[0.5, 1.5]], "beta", "beta values from 0 to 1, got values from 0.5 to 1.5"),
        ("rna", [[np.nan, np.nan]], None, "nothing but missing values"),
    ],
)
def test_what_cannot_be_told_or_contradicts_is_refused(role, values, given, said):
    with pytest.raises(ValueError, match=rf"^{role}: expected .*{said}"):
        unit_of(role, role, range_of(role, np.asarray(values, dtype=np.float64)), given, "")


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_linear_values_become_logs(form):
    made, line = converted("tpm", form(np.array([[0.0, 1, 3], [7, 0, 15]])))
    np.testing.assert_allclose(made.toarray() if sparse.issparse(made) else made, [[0, 1, 2], [3, 0, 4]], rtol=1e-6)
    assert made.dtype == np.float32
    assert "log2(TPM + 1)" in line


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_fpkm_of_a_transcriptome_becomes_tpm_and_that_of_a_panel_does_not(form):
    fpkm = np.zeros((2, WHOLE_TRANSCRIPTOME))
    fpkm[:, :2] = [[1, 3], [5, 5]]
    made, line = converted("fpkm", form(fpkm))
    dense = made.toarray() if sparse.issparse(made) else made
    np.testing.assert_allclose(dense[:, :2], np.log2(np.array([[250_000, 750_000], [500_000] * 2]) + 1.0), rtol=1e-6)
    assert "scaled to TPM" in line
    panel, line = converted("fpkm", form(fpkm[:, :2]))
    dense = panel.toarray() if sparse.issparse(panel) else panel
    np.testing.assert_allclose(dense, np.log2(fpkm[:, :2] + 1), rtol=1e-6)
    assert line == "FPKM, turned into log2(FPKM + 1)"


def test_other_conversions():
    np.testing.assert_allclose(converted("m", np.array([[0.0, 1, -1]]))[0], [[1 / 2, 2 / 3, 1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(converted("percent", np.array([[50.0, np.nan]]))[0], [[0.5, np.nan]])
    offset = np.log2(np.array([[0.0, 1, 3]]) + 0.001)
    np.testing.assert_allclose(converted("log2_offset", offset)[0], [[0, 1, 2]], atol=1e-6)
    np.testing.assert_array_equal(converted("expected_counts", np.array([[0.4, 2.6]]))[0], [[0, 3]])
    np.testing.assert_array_equal(converted("real", np.array([[-1.0, 2.5]]))[0], [[-1, 2.5]])
