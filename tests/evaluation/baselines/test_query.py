import random

import numpy as np
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm.evaluation import baselines
from tests.objects import modality, multiome, rna, state_of

EPOCHS = {"max_epochs": 1, "query_epochs": 1}


def pair():
    """A reference of two batches and a query of a third, whose genes have another order, one less and one more."""
    reference, query = rna(60), rna(24, first=60)
    query.obs["batch"] = "new"
    query = query[:, np.random.default_rng(0).permutation(30)].copy()
    names = np.where(query.var_names == "gene4", "unheard of", query.var_names)
    query.var_names = list(names)
    return reference, query


def logged(x_ng):
    return np.log1p(1e4 * x_ng / x_ng.sum(1, keepdims=True))


def test_projection_by_hand():
    reference, query = pair()
    x_ng = logged(reference.X.toarray().astype(float))
    mean_g, std_g = x_ng.mean(0), x_ng.std(0, ddof=1)
    z_ng = np.clip((x_ng - mean_g) / std_g, -10, 10)
    log_query = dict(zip(query.var_names, logged(query.X.toarray().astype(float)).T, strict=True))
    columns = [
        np.clip((log_query[gene] - mean_g[j]) / std_g[j], -10, 10) if gene != "gene4" else np.zeros(24)
        for j, gene in enumerate(reference.var_names)
    ]
    centre_g = z_ng.mean(0)
    directions_dg = np.linalg.svd(z_ng - centre_g, full_matrices=False)[2][:6]
    first, second = baselines.projected_pca(reference, query, 6)
    expected = (z_ng - centre_g) @ directions_dg.T
    sign_d = np.sign((first * expected).sum(0))
    np.testing.assert_allclose(first, expected * sign_d, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(
        second, (np.stack(columns, 1) - centre_g) @ directions_dg.T * sign_d, rtol=2e-3, atol=2e-3
    )
    assert first.dtype == second.dtype == np.float32


def test_the_query_has_no_say_in_the_components():
    reference, query = pair()
    first, _ = baselines.projected_pca(reference, query, 5)
    alone, _ = baselines.projected_pca(reference, query[:3].copy(), 5)
    np.testing.assert_array_equal(first, alone)
    np.testing.assert_allclose(np.abs(first), np.abs(baselines.pca(reference, 5)), rtol=2e-3, atol=2e-3)


@pytest.mark.slow  # scanpy is imported
def test_only_the_variable_genes_of_the_reference_count():
    reference, query = pair()
    constant = AnnData(sparse.hstack([reference.X, sparse.csr_matrix(np.ones((60, 5)))]).tocsr())
    constant.var_names = [*reference.var_names, *(f"flat{j}" for j in range(5))]
    wild = AnnData(sparse.hstack([query.X, sparse.csr_matrix(np.ones((24, 5)))]).tocsr())
    wild.var_names = [*query.var_names, *(f"flat{j}" for j in range(5))]
    own, full = (baselines.projected_pca(constant, wild, 4, n_top_genes=n)[1] for n in (20, 10**9))
    assert np.isfinite(own).all()
    assert not np.allclose(own, full)


def test_expected_counts_are_log_normalised_like_counts():
    reference, query = pair()
    expected = query.copy()
    expected.X = expected.X * 0.37
    first, second = (baselines.projected_pca(reference, data, 5)[1] for data in (query, expected))
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_values_that_are_not_counts_are_taken_as_they_are():
    data = modality("real", 60, 20)
    data.X = np.nan_to_num(data.X)
    reference, query = data[:40].copy(), data[40:].copy()
    z_ng = (reference.X - reference.X.mean(0)) / reference.X.std(0, ddof=1)
    found = baselines.projected_pca(reference, query, 19)[1]
    # 19 of 20 directions: distances between observations are all but kept
    own_ng = (query.X - reference.X.mean(0)) / reference.X.std(0, ddof=1)
    assert (
        np.abs(np.corrcoef(np.linalg.norm(found, axis=1), np.linalg.norm(own_ng - z_ng.mean(0), axis=1))[0, 1]) > 0.95
    )


def test_scvi_maps_a_query_and_leaves_no_trace():
    reference, query = pair()
    before = [state_of(data, without_registry=False) for data in (reference, query)]
    states = random.getstate(), torch.get_rng_state().tolist()
    first, second = baselines.scvi_query(reference, query, "batch", n_latent=4, **EPOCHS)
    assert (first.shape, second.shape) == ((60, 4), (24, 4))
    assert first.dtype == second.dtype == np.float32
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()
    again, other = baselines.scvi_query(reference, query[:12].copy(), "batch", n_latent=4, max_epochs=1, query_epochs=2)
    np.testing.assert_array_equal(first, again)  # whatever the query and however long it is trained
    assert not np.allclose(second[:12], other)
    assert [state_of(data, without_registry=False) for data in (reference, query)] == before
    assert (random.getstate(), torch.get_rng_state().tolist()) == states


def test_surgery_trains_nothing_but_the_weights_of_the_new_batch(monkeypatch):
    from omicsmlm.evaluation.baselines import _query

    models = []
    plain = _query._adapt
    monkeypatch.setattr(_query, "_adapt", lambda model, *rest: (models.append(model), plain(model, *rest)))
    start = _query._reference_scvi

    def kept(*arguments):
        models.append(start(*arguments))
        return models[-1]

    monkeypatch.setattr(_query, "_reference_scvi", kept)
    baselines.scvi_query(*pair(), "batch", n_latent=4, max_epochs=1, query_epochs=3)
    reference, adapted = (model.module.state_dict() for model in models)
    moved = {name for name in reference if not torch.equal(reference[name], adapted[name])}
    assert "decoder.px_decoder.fc_layers.Layer 0.0.weight" in moved
    for name in moved:  # a column for the new batch, beside columns that stay to the last bit
        n_out, n_in = reference[name].shape
        assert adapted[name].shape == (n_out, n_in + 1)
        assert torch.equal(adapted[name][:, :n_in], reference[name])


def test_scanvi_carries_labels_to_a_query_without_any():
    reference, query = pair()
    reference.obs["type"] = reference.obs["type"].astype(object)
    reference.obs.loc[reference.obs_names[:7], "type"] = None
    del query.obs["type"]
    before = [state_of(data, without_registry=False) for data in (reference, query)]
    found = baselines.scanvi_query(reference, query, "batch", "type", **EPOCHS)
    assert (found.reference_nd.shape, found.query_nd.shape) == ((60, 10), (24, 10))
    assert list(found.probabilities.index) == list(found.labels.index) == list(query.obs_names)
    assert list(found.probabilities.columns) == ["t0", "t1", "t2"]
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-4)
    for label, (_, row) in zip(found.labels, found.probabilities.iterrows(), strict=True):
        assert row[label] == row.max()
    assert [state_of(data, without_registry=False) for data in (reference, query)] == before


def test_scanvi_learns_labels():
    reference = rna(120)
    query = rna(60, first=120)
    query.obs["batch"] = "new"
    reference.obs["type"] = reference.obs["type"].astype(object).where(np.arange(120) % 4 > 0, None)
    found = baselines.scanvi_query(reference, query, "batch", "type", max_epochs=20, query_epochs=5)
    assert (found.labels == query.obs["type"].astype(str)).mean() > 0.8


def test_rows_without_rna_are_empty():
    reference = multiome()
    query = MuData({"rna": rna(10, first=72), "prot": modality("protein", 14, 8, first=72)})
    query.obs["batch"] = "new"
    lacking = ~query.obs_names.isin(query["rna"].obs_names)
    assert lacking.sum() == 4
    found = baselines.scanvi_query(reference, query, "batch", "type", **EPOCHS)
    _, projected = baselines.projected_pca(reference, query, 5)
    for embedding in (found.query_nd, projected):
        np.testing.assert_array_equal(np.isnan(embedding).all(1), lacking)
        np.testing.assert_array_equal(np.isnan(embedding).any(1), lacking)
    np.testing.assert_array_equal(found.probabilities.isna().all(axis=1), lacking)
    np.testing.assert_array_equal(found.labels.isna(), lacking)
    np.testing.assert_array_equal(
        np.isnan(found.reference_nd).all(1), ~reference.obs_names.isin(reference["rna"].obs_names)
    )


def test_wrong_input_gets_a_sentence():
    reference, query = pair()
    strange = query.copy()
    strange.var_names = [f"ENSG{j}" for j in range(30)]
    message = r"query: expected genes of the reference \('gene0', .*\), got 'ENSG0', .*; name the genes of both alike"
    with pytest.raises(ValueError, match=message):
        baselines.projected_pca(reference, strange)
    with pytest.raises(
        ValueError, match=r"batch_key 'donor': expected a column of the top-level .obs, got no such column"
    ):
        baselines.scvi_query(reference, query, "donor")
    with pytest.raises(
        ValueError, match=r"labels_key 'fate': expected a column of the top-level .obs, got no such column"
    ):
        baselines.scanvi_query(reference, query, "batch", "fate")
