import anndata as ad
import mudata as md
import numpy as np
import pytest
import torch
from scipy import sparse

from omicsmlm.evaluation import baselines
from omicsmlm.evaluation.baselines._linear import _variable_genes, log_normalise, tf_idf
from tests.objects import modality, multiome, state_of


def dense(data):
    return data.X.toarray().astype(float)


def scores_by_hand(x_ng, n_comps):
    u, s, _ = np.linalg.svd(x_ng - x_ng.mean(0), full_matrices=False)
    return (u * s)[:, :n_comps]


def same_up_to_sign(first_nd, second_nd, **tolerance):
    sign = np.sign((first_nd * second_nd).sum(0))
    np.testing.assert_allclose(first_nd, second_nd * sign, **tolerance)


def test_pca_by_hand():
    adata = modality("counts", 60, 40)
    x = dense(adata)
    logged = np.log1p(1e4 * x / x.sum(1, keepdims=True))
    z = np.clip((logged - logged.mean(0)) / logged.std(0, ddof=1), -10, 10)
    same_up_to_sign(baselines.pca(adata, 6), scores_by_hand(z, 6), rtol=2e-3, atol=2e-3)
    same_up_to_sign(baselines.pca(adata, 6, scale=False), scores_by_hand(logged, 6), rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_pca_keeps_the_genes_that_vary():
    adata = modality("counts", 80, 60)
    adata = ad.AnnData(sparse.hstack([adata.X, sparse.csr_matrix(np.ones((80, 40)))]).tocsr())
    # constant genes carry nothing: taking 60 of 100 must give what the 60 alone give, up to the total of an observation
    z = baselines.pca(adata, 3, n_top_genes=60, scale=False)
    logged = log_normalise(adata.X).toarray()
    kept = np.argsort(-logged.var(0))[:60]
    assert np.abs(np.corrcoef(z[:, 0], scores_by_hand(logged[:, kept], 1)[:, 0])[0, 1]) > 0.98


def test_values_that_are_not_counts_are_taken_as_they_are():
    adata = modality("fraction", 50, 20)
    x = np.where(np.isnan(adata.X), np.nanmean(adata.X, axis=0), adata.X)
    same_up_to_sign(baselines.pca(adata, 4, scale=False), scores_by_hand(x, 4), rtol=2e-3, atol=2e-3)


def test_a_row_of_zeros_is_embedded():
    adata = modality("counts", 30, 20)
    adata.X = sparse.csr_matrix(sparse.diags_array((np.arange(30) != 3).astype(np.float32)) @ adata.X)
    assert np.isfinite(baselines.pca(adata, 5)).all()
    assert (log_normalise(adata.X).toarray()[3] == 0).all()


def test_no_more_components_than_the_data_has():
    assert baselines.pca(modality("counts", 8, 20), 50).shape == (8, 7)
    assert baselines.lsi(modality("accessibility", 30, 12), 50).shape == (30, 11)


def test_lsi_by_hand():
    adata = modality("accessibility", 50, 30)
    open_np = (dense(adata) > 0).astype(float)
    tf = open_np / open_np.sum(1, keepdims=True)
    idf = np.log(1 + 50 / (1 + open_np.sum(0)))
    weights = np.log(1 + 1e4 * tf * idf)
    np.testing.assert_allclose(tf_idf(adata.X).toarray(), weights, rtol=1e-10)
    u, s, _ = np.linalg.svd(weights, full_matrices=False)  # not centred, and the first component stays
    same_up_to_sign(baselines.lsi(adata, 5), (u * s)[:, :5], rtol=1e-3, atol=1e-3)


def test_clr_by_hand():
    adata = modality("protein", 20, 6)
    ratios = np.array([[np.log(1 + c) - np.mean([np.log(1 + k) for k in row]) for c in row] for row in dense(adata)])
    np.testing.assert_allclose(baselines.clr(adata), ratios, rtol=1e-5, atol=1e-5)
    same_up_to_sign(baselines.clr(adata, 3), scores_by_hand(ratios, 3), rtol=1e-3, atol=1e-3)
    assert np.abs(baselines.clr(adata).sum(1)).max() < 1e-4


def test_rows_of_an_unpaired_object_stand_at_their_place():
    mdata = multiome()
    placed = baselines.clr(mdata)
    assert placed.shape == (72, 8)
    assert placed.dtype == np.float32
    alone = dict(zip(mdata["prot"].obs_names, baselines.clr(mdata["prot"].copy()), strict=True))
    for name, row in zip(mdata.obs_names, placed, strict=True):
        np.testing.assert_array_equal(row, alone.get(name, np.full(8, np.nan)))


@pytest.mark.parametrize(("together", "second", "scale"), [("pca_lsi", "lsi", 1 / 3), ("pca_clr", "clr", 1)])
def test_two_blocks_beside_each_other(together, second, scale):
    mdata = multiome()
    both = getattr(baselines, together)(mdata, 16)
    n_second = 6
    first, other = baselines.pca(mdata, 10), getattr(baselines, second)(mdata, n_second)
    assert both.shape == (72, 16)
    has_both = np.isfinite(first).all(1) & np.isfinite(other).all(1)
    assert np.array_equal(np.isfinite(both).all(1), has_both)
    scaled = first / np.sqrt(np.nanvar(first, axis=0).sum())
    np.testing.assert_allclose(both[has_both, :10], scaled[has_both], rtol=1e-4, atol=1e-5)
    expected = scale * other / np.sqrt(np.nanvar(other, axis=0).sum())
    np.testing.assert_allclose(both[has_both, 10:], expected[has_both], rtol=1e-4, atol=1e-5)


def test_few_proteins_leave_the_dimensions_to_the_rna():
    assert baselines.pca_clr(multiome(), 24).shape == (72, 24)  # 8 proteins give 7 components at most


def test_the_object_stays_as_it_was():
    mdata = multiome()
    before = state_of(mdata)
    baselines.pca(mdata), baselines.lsi(mdata), baselines.clr(mdata), baselines.pca_lsi(mdata, 8)
    assert state_of(mdata) == before


def test_the_same_twice():
    mdata = multiome()
    assert np.array_equal(baselines.pca_lsi(mdata, 12), baselines.pca_lsi(mdata, 12), equal_nan=True)


def test_a_modality_that_is_not_there_gets_a_sentence():
    mdata = md.MuData({"x": modality("counts"), "y": modality("protein")})
    with pytest.raises(ValueError, match="modality: expected the rna modality, got 'x', 'y'; pass modality="):
        baselines.pca(mdata)
    with pytest.raises(ValueError, match="modality: expected 'z', got 'x', 'y'"):
        baselines.pca(mdata, modality="z")
    assert np.isfinite(baselines.pca(mdata, 3, modality="x")).all()


def test_the_threads_of_torch_are_left_alone():
    torch.set_num_threads(3)
    adata = ad.AnnData(np.random.default_rng(0).poisson(1.0, (40, 30)).astype(np.float32))
    _variable_genes(log_normalise(adata.X), 10)
    assert torch.get_num_threads() == 3
