"""MOJO: the published sizes to the parameter, one axis for all modalities, and what it says of rows."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm import MOJO, Classifier, ClassifierConfig
from omicsmlm._draws import Draws
from omicsmlm.masking import WithModalitySubsets
from omicsmlm.models.mojo import _model
from tests.objects import QUIET, SMALL_MOJO, bulk, factor_profiles, modality


def obs_of(model: MOJO):
    return model.adata_manager.create_torch_dataset()[list(range(model.adata.n_obs))]


# ---- the published network ------------------------------------------------------------------------------------------


def test_without_a_state_the_embedding_is_the_mean_of_what_the_transformer_gives():
    trained = MOJO(bulk(), replace(SMALL_MOJO, row_width=0, genes_per_position=1, n_levels=2))
    batch = obs_of(trained)
    module = trained.module
    kept = []
    handle = module.transformer.register_forward_hook(lambda layer, inputs, output: kept.append(output))
    with torch.no_grad():
        found = module(trained.parts.tokenizer(batch), batch)
    handle.remove()
    assert kept[0].shape == (72, 32 // 4, 16), "30 genes are padded to 32 and halved twice"
    torch.testing.assert_close(found.encoded.mean, kept[0].mean(1))
    np.testing.assert_allclose(trained.get_latent_representation(), kept[0].mean(1), atol=1e-5)


@pytest.mark.parametrize("row_width", [0, 12])
def test_the_default_start_predicts_masked_values_better_than_random_weights(row_width):
    adata, losses = factor_profiles(200, 32)[0], []
    for start in ("random", SMALL_MOJO.start):
        model = MOJO(adata.copy(), replace(SMALL_MOJO, row_width=row_width, start=start))
        batch = obs_of(model)
        masked = model.parts.masking(model.parts.tokenizer(batch), Draws(3, batch.indices))
        with torch.no_grad():
            terms = model.parts.objective(model.module(masked.inputs, batch), masked, batch, 1.0)
        losses.append(float(terms["rna"]))
    assert SMALL_MOJO.start != "random"
    assert losses[1] < 0.995 * losses[0]


def test_of_a_long_axis_few_samples_are_embedded_at_once(trained):
    assert trained.embedding_batch_size == 1024
    long = MOJO(bulk(), replace(SMALL_MOJO, n_levels=13, start="random"))  # 30 genes on 2^14 positions
    assert long.embedding_batch_size == 2**26 // (2**14 * 16) == 256


# ---- the axis -------------------------------------------------------------------------------------------------------


def test_the_axis_holds_each_gene_once(trained):
    rna, methylation = (trained.adata[name].var_names for name in ("rna", "methylation"))
    assert sorted(trained.derived.genes) == sorted(rna)
    assert set(methylation) < set(rna)
    in_order = replace(SMALL_MOJO, order="data", start="random")
    assert MOJO(bulk(), in_order).derived.genes == list(rna)
    only_shared = MOJO(bulk(), replace(in_order, axis="intersection"))
    assert only_shared.derived.genes == [gene for gene in rna if gene in set(methylation)]


def test_genes_that_vary_together_stand_together_and_their_order_is_saved(tmp_path):
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(3), 8))
    x = rng.normal(size=(80, 3))[:, group] + 0.3 * rng.normal(size=(80, 24))
    genes = pd.DataFrame(index=[f"gene{j}" for j in range(24)])
    data = AnnData(x.astype(np.float32), pd.DataFrame(index=[f"s{i}" for i in range(80)]), genes)
    model = MOJO(data, SMALL_MOJO)
    assert (np.diff(group[genes.index.get_indexer(model.derived.genes)]) != 0).sum() == 2
    model.save(tmp_path / "model")
    turned = data[:, rng.permutation(24)].copy()
    loaded = MOJO.load(tmp_path / "model", turned)
    assert loaded.derived.genes == model.derived.genes
    np.testing.assert_allclose(
        loaded.get_latent_representation(), model.get_latent_representation(), rtol=1e-4, atol=1e-5
    )


def test_modalities_meet_at_the_same_gene_wherever_it_stands():
    trained = MOJO(bulk(), replace(SMALL_MOJO, scaling="auto", start="random"))
    batch = obs_of(trained)
    grids = trained.parts.tokenizer(batch)
    for name, part in trained.adata.mod.items():
        frame = part.to_df().reindex(trained.adata.obs_names)
        for j, gene in enumerate(trained.derived.genes):
            visible = frame[gene].notna().to_numpy() if gene in frame else np.zeros(72, dtype=bool)
            np.testing.assert_array_equal(grids[name].visible[:, j], visible)
    fraction = trained.adata["methylation"].to_df().reindex(trained.adata.obs_names)["gene3"].to_numpy()
    column = grids["methylation"].values[:, trained.derived.genes.index("gene3")].numpy()
    expected = np.digitize(np.nan_to_num(fraction), np.linspace(0, 1, 16, dtype=np.float32))
    np.testing.assert_array_equal(column[~np.isnan(fraction)], expected[~np.isnan(fraction)])


def disjoint() -> MuData:
    mdata = bulk()
    part = mdata["methylation"].copy()
    part.var_names = [f"cg{j}" for j in range(part.n_vars)]
    return MuData({"rna": mdata["rna"].copy(), "methylation": part})


def test_modalities_without_a_gene_in_common_are_warned_of(caplog):
    with caplog.at_level(logging.WARNING, logger="omicsmlm"):
        model = MOJO(disjoint(), SMALL_MOJO)
    assert "no gene in common ('gene0', 'gene1' of rna; 'cg0', 'cg1' of methylation)" in caplog.text
    assert "omicsmlm.pp.aggregate_methylation" in caplog.text
    assert len(model.derived.genes) == 56


def test_an_axis_without_genes_is_refused():
    with pytest.raises(
        ValueError,
        match=r"^modalities: expected genes that all of them have, got 'gene0', 'gene1' of rna; 'cg0', 'cg1' of "
        r'methylation; name features by gene, as omicsmlm.pp.aggregate_methylation does, or pass axis="union"\.$',
    ):
        MOJO(disjoint(), replace(SMALL_MOJO, axis="intersection"))


# ---- other data -----------------------------------------------------------------------------------------------------


def test_raw_counts_are_taken_too():
    counts = modality("counts", 48, 20)
    model = MOJO(counts, replace(SMALL_MOJO, scaling="range", order="data"))
    grid = model.parts.tokenizer(obs_of(model))["rna"]
    x = counts.X.toarray()
    log_ng = np.log10(1 + 1e6 * x / x.sum(1, keepdims=True))
    expected = np.minimum(np.digitize(log_ng / log_ng.max(), np.linspace(0, 1, 16)), 15)
    off = grid.values.numpy() - np.where(x > 0, expected, 0)
    assert np.abs(off).max() <= 1, "float32 may fall on the other side of an edge"
    assert (off != 0).mean() < 0.01
    assert grid.visible.all()
    model.train(2, **QUIET)
    table = model.impute()
    assert table.shape == (48, 20)
    assert (table.to_numpy() >= 0).all()


def test_counts_are_scaled_gene_by_gene():
    counts = modality("counts", 48, 20)
    model = MOJO(counts, SMALL_MOJO)
    bins = model.parts.tokenizer(obs_of(model))["rna"].values.numpy()
    x = counts.X.toarray()
    log_ng = np.log10(1 + 1e6 * x / x.sum(1, keepdims=True))[:, counts.var_names.get_indexer(model.derived.genes)]
    for g in range(20):
        level = np.interp(log_ng[:, g], np.quantile(log_ng[:, g], np.linspace(0, 1, 17)), np.linspace(0, 1, 17))
        positive = log_ng[:, g] > np.quantile(log_ng[:, g], 0.5)
        expected = np.minimum(np.digitize(level, np.linspace(0, 1, 16)), 15)
        assert np.abs(bins[:, g] - expected)[positive].max() <= 1, "float32 may fall on the other side of an edge"
        assert (bins[:, g] == 0)[x[:, counts.var_names.get_loc(model.derived.genes[g])] == 0].all()
    model.train(2, **QUIET)
    table = model.impute()
    assert (table.to_numpy() >= 0).all()
    corr = [np.corrcoef(table[gene], counts.to_df()[gene])[0, 1] for gene in counts.var_names]
    assert np.mean(corr) > 0.5, "columns are those of their names"


def test_pre_training_goes_on_with_samples_of_one_modality(trained, tmp_path):
    trained.save(tmp_path / "model")
    part = bulk(seed=1)["methylation"].copy()
    model = MOJO.load(tmp_path / "model", MuData({"methylation": part}))
    before = model.get_latent_representation()
    model.train(2, **QUIET)
    assert not np.allclose(model.get_latent_representation(), before, atol=1e-3)
    losses = model.history["train_rna"]["train_rna"].to_numpy()
    assert (losses[-2:] == 0).all(), "an absent modality is all masks, and judged nowhere"


# ---- results ---------------------------------------------------------------------------------------------------


def test_genes_have_embeddings_of_their_own(trained):
    whole = trained.get_feature_embedding()
    assert list(whole.index) == trained.derived.genes
    assert whole.shape == (30, 16)
    of_one = trained.get_feature_embedding("methylation")
    assert set(of_one.index) == set(trained.adata["methylation"].var_names)
    pd.testing.assert_frame_equal(of_one, whole.loc[of_one.index])
    with pytest.raises(ValueError, match=r"^modality: expected one of \['rna', 'methylation'\], got 'atac'"):
        trained.get_feature_embedding("atac")


def test_the_readout_is_fitted_to_the_samples_that_were_trained_on(trained):
    batch = obs_of(trained)
    with torch.no_grad():
        state = trained.module.row_state(trained.parts.tokenizer(batch))
        before = trained.module.row.whitening_kk.clone()
    own = state[torch.from_numpy(trained.train_indices)]
    torch.testing.assert_close(trained.module.row.centre_k, own.mean(0), rtol=1e-4, atol=1e-5)
    white = ((own - own.mean(0)) @ before).T.cov(correction=0)
    covariance = own.T.cov(correction=0)
    torch.testing.assert_close(white @ white, covariance, rtol=5e-2, atol=5e-3)  # half whitened: the root of it


# ---- views that agree, and labels -----------------------------------------------------------------------------------


def test_consistency_trains_a_doubled_batch():
    model = MOJO(bulk(), replace(SMALL_MOJO, consistency=1.0, modality_rate=0.0))
    assert isinstance(model.parts.masking, WithModalitySubsets)
    model.train(12, train_size=1.0, **QUIET)
    for term in ("agreement", "divergence"):
        losses = model.history[f"train_{term}"][f"train_{term}"].to_numpy()
        assert np.isfinite(losses).all()
    agreement = model.history["train_agreement"]["train_agreement"].to_numpy()
    assert agreement[-1] < agreement[0], "partial views come to tell whose they are"


def test_a_classifier_reads_and_tunes_it(trained):
    before = trained.get_latent_representation()
    config = ClassifierConfig(tuning="full", n_folds=2, freeze_initial=True)
    classifier = Classifier.from_model(trained, "type", config=config)
    classifier.train(3, progress_bar=False, accelerator="cpu")
    right = (classifier.predict(soft=True).idxmax(axis=1) == trained.adata.obs["type"].astype(str)).mean()
    assert right > 0.8
    alone = trained.adata["methylation"].copy()
    assert classifier.predict(alone, soft=True).shape == (alone.n_obs, 3)
    np.testing.assert_array_equal(trained.get_latent_representation(), before)
    assert torch.equal(classifier.model.module.row.whitening_kk, trained.module.row.whitening_kk), (
        "the head was tuned to it"
    )
    tuned, genes = classifier.model.module, trained.module.embedding.features.weight
    assert torch.equal(tuned.embedding.features.weight, genes), "the genes' own weights stay"
    assert not torch.equal(tuned.stem.layer.weight, trained.module.stem.layer.weight)


def test_a_sparse_matrix_of_fractions_has_measured_zeros():
    x = np.array([[0.0, 0.5], [np.nan, 1.0]], dtype=np.float32)
    adata = AnnData(sparse.csr_matrix(x), var=pd.DataFrame(index=["a", "b"]))
    MOJO.setup_anndata(adata, modalities="methylation", kind="fraction")
    model = MOJO(adata, replace(SMALL_MOJO, scaling="auto", order="data"))
    grid = model.parts.tokenizer(obs_of(model))["methylation"]
    assert grid.visible.tolist() == [[True, True], [False, True]]
    assert grid.values.tolist() == [[0, 8], [0, 15]]


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _model.MAX_STATE_ELEMENTS == 2**26
    assert _model.READOUT_SAMPLES == 10_000
    assert _model.STEPS_FRACTION == 3 / 14


def test_the_steps_of_a_training_are_fewer_than_those_of_other_families(trained):
    assert trained._sensible_epochs(1280, 128) == 15, "150 steps of ten batches"
    assert trained._sensible_epochs(10**6, 128) == 1
