"""Normal quantiles of ranks, against scipy's ranks."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.stats import norm, rankdata

from omicsmlm.pp import normal_scores
from tests.objects import multiome, state_of
from tests.test_bad_input import refused


def values(rng, n=9):
    x_ng = np.round(rng.normal(size=(n, 3)) * 2)  # with ties
    x_ng[2, 1] = np.nan
    return AnnData(
        x_ng, pd.DataFrame({"label": "a"}, index=[f"s{i}" for i in range(n)]), pd.DataFrame(index=list("abc"))
    )


def test_ranks_are_those_of_scipy_and_nan_stays(rng):
    adata = values(rng)
    before = state_of(adata)
    found = normal_scores(adata)
    for g in range(3):
        x_n = adata.X[:, g]
        has_n = ~np.isnan(x_n)
        expected = norm.ppf((rankdata(x_n[has_n]) - 0.5) / has_n.sum())
        np.testing.assert_allclose(found.X[has_n, g], expected, rtol=1e-5, atol=1e-6)
        assert np.isnan(found.X[~has_n, g]).all()
    assert found.X.dtype == np.float32
    assert found.obs.equals(adata.obs)
    assert state_of(adata) == before
    as_sparse = AnnData(sparse.csr_matrix(np.nan_to_num(adata.X)), adata.obs, adata.var)
    filled = AnnData(np.nan_to_num(adata.X), adata.obs, adata.var)
    np.testing.assert_allclose(normal_scores(as_sparse).X, normal_scores(filled).X)


def test_other_observations_are_placed_among_those_of_the_reference(rng):
    reference, test = values(rng), values(rng)
    test.X[0] = [-99.0, 99.0, 0.0]
    found = normal_scores(test, reference[:, ["c", "a", "b"]].copy())
    n = 9 - np.isnan(reference.X).sum(0)
    assert found.X[0, 0] == pytest.approx(norm.ppf(0.5 / n[0]), rel=1e-5)
    assert found.X[0, 1] == pytest.approx(norm.ppf(1 - 0.5 / n[1]), rel=1e-5)
    by_hand = norm.ppf(np.clip(((reference.X[:, 2] < 0).sum() + (reference.X[:, 2] <= 0).sum()) / 18, 1 / 18, 17 / 18))
    assert found.X[0, 2] == pytest.approx(by_hand, rel=1e-5)
    alone = normal_scores(test[:1].copy(), reference)
    np.testing.assert_allclose(alone.X[0], found.X[0])
    reference.X[:, 0] = np.nan
    assert np.isnan(normal_scores(test, reference).X[:, 0]).all()


def test_a_feature_that_the_reference_lacks_is_an_error(rng):
    adata = values(rng)
    with refused("reference: expected the features of the object, got none named 'b'", adata):
        normal_scores(adata, adata[:, ["a", "c"]].copy())
    with refused("normal_scores: expected the AnnData of one modality, got a MuData of 'rna', 'atac', 'prot'"):
        normal_scores(multiome(8))
