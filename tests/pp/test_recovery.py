"""Raw counts come back from log-normalised values, or one sentence says why not."""

import logging

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from mudata import MuData
from scipy import sparse

import omicsmlm


@pytest.fixture
def counts():
    return AnnData(sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, (60, 40)).astype(np.float32)))


def normalised(counts):
    made = counts.copy()
    sc.pp.normalize_total(made, target_sum=1e4)
    sc.pp.log1p(made)
    return made


def test_what_scanpy_has_made_comes_back(counts):
    logs = normalised(counts)
    before = logs.X.copy()
    found = omicsmlm.pp.recover_counts(logs)
    np.testing.assert_array_equal(found.X.toarray(), counts.X.toarray())
    assert found.X.dtype == np.float32
    assert "log1p" not in found.uns
    assert "log1p" in logs.uns
    np.testing.assert_array_equal(logs.X.toarray(), before.toarray())
    logs.layers["logs"], logs.X = logs.X.toarray(), counts.X
    np.testing.assert_array_equal(omicsmlm.pp.recover_counts(logs, layer="logs").X.toarray(), counts.X.toarray())


def test_other_values_are_refused(counts):
    scaled = normalised(counts)
    sc.pp.scale(scaled)
    with pytest.raises(
        ValueError, match=r"recover_counts: expected logarithms .*got values from -.*; look for counts in adata\.raw"
    ):
        omicsmlm.pp.recover_counts(scaled)
    with pytest.raises(ValueError, match="got zeros alone"):
        omicsmlm.pp.recover_counts(AnnData(np.zeros((2, 2))))
    with pytest.raises(ValueError, match="expected the AnnData of one modality"):
        omicsmlm.pp.recover_counts(MuData({"rna": counts}))


def test_a_model_names_the_function_that_helps(counts, caplog):
    logs = normalised(counts)
    del logs.uns["log1p"]  # as files of other tools have it
    with caplog.at_level(logging.WARNING, "omicsmlm"):
        omicsmlm.OmicsMLM.setup_anndata(logs)
    assert "log-normalised values are taken as they are; omicsmlm.pp.recover_counts returns" in caplog.text
    caplog.clear()
    logs.X = np.sqrt(logs.X.toarray())
    with caplog.at_level(logging.WARNING, "omicsmlm"):
        omicsmlm.OmicsMLM.setup_anndata(logs)
    assert "log-normalised" not in caplog.text
    logs.uns["log1p"] = {}
    with caplog.at_level(logging.WARNING, "omicsmlm"):
        omicsmlm.OmicsMLM.setup_anndata(logs)
    assert 'keep raw counts in layers["counts"]' in caplog.text
