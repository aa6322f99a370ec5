"""TxFM: its initial state, visible genes, data sets with different gene panels, and what it predicts."""

import math
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData

from omicsmlm import Classifier, TxFM, datasets
from omicsmlm.models.txfm import _model
from omicsmlm.objectives import rectified_tanh
from tests.objects import QUIET, SMALL_TXFM, draws_for, modality, multiome, rna

# ---- initialization ----------------------------------------------------------------------------------------------------


def views_of(model, data=None):
    manager = model.manager_for(data)
    batch = manager.create_torch_dataset()[list(range(manager.adata.n_obs))]
    return model.parts.tokenizer(batch), batch


@pytest.mark.parametrize("gene_start", ["components", "random"])
def test_gradients_are_alive_at_the_start(gene_start):
    data = rna()
    data.X = data.X.toarray()
    data.X[:, 3] = 0
    data.X[5, 3] = 1  # a gene that is hardly ever found
    model = TxFM(data, replace(SMALL_TXFM, gene_start=gene_start))
    views, batch = views_of(model)
    masked = model.parts.masking(views, draws_for(views))
    outputs = model.module.train()(masked.inputs, batch)
    assert (outputs.logits > 0).float().mean() > 0.999
    sum(model.parts.objective(outputs, masked, batch, 0.0).values()).backward()
    for name, weight in model.module.named_parameters():
        if not name.endswith("attention.key.bias"):  # which a softmax does not see
            assert (weight.grad != 0).any(), name
    assert (model.module.decoder.out.bias.grad != 0).all(), "of every gene"
    assert (model.module.tokens.features.weight.grad != 0).any(1).all()


def test_the_decoder_starts_at_the_mean_profile_where_the_loss_is_stationary():
    model = TxFM(rna(), replace(SMALL_TXFM, gene_start="random"))
    views, batch = views_of(model)
    with torch.no_grad():
        expected = rectified_tanh(model.module(views, batch).logits, model.config.library_size)
    counts = torch.expm1(views["rna"].values)
    torch.testing.assert_close(expected.expm1(), counts.mean(0).expand_as(expected), rtol=0.2, atol=3)
    value_g = torch.log1p(counts.mean(0)).requires_grad_()
    (value_g.exp() - value_g * views["rna"].values.exp()).mean().backward()
    assert float(value_g.grad.abs().max()) < 1e-2 * float(value_g.exp().max()) / 30, "a stationary point"


def test_genes_start_at_their_loadings_and_cells_at_their_components():
    model = TxFM(rna(), SMALL_TXFM)
    values = views_of(model)[0]["rna"].values.numpy()
    centred = values - values.mean(0)
    _, strength, turned = np.linalg.svd(centred, full_matrices=False)
    weight = model.module.tokens.features.weight.detach().numpy()
    for k in range(4):
        assert abs(np.corrcoef(weight[:, k], turned[k])[0, 1]) > 0.95
    np.testing.assert_allclose(np.square(weight).mean(0), 1, rtol=1e-4)
    scores = centred @ turned.T
    found = model.get_latent_representation()
    for k in range(2):
        assert abs(np.corrcoef(found[:, k], scores[:, k])[0, 1]) > 0.9, (
            "blocks add little to what the token starts with"
        )


# ---- visible genes ------------------------------------------------------------------------------------------------


def test_in_training_so_many_genes_are_visible_zeros_among_them_and_all_are_evaluated():
    model = TxFM(rna(), SMALL_TXFM)
    views, _ = views_of(model)
    masked = model.parts.masking(views, draws_for(views))
    shown = masked.inputs["rna"].visible
    assert shown.sum(1).tolist() == [12] * 72
    assert (shown & (views["rna"].values == 0)).any()
    assert masked.targets["rna"].visible.all()
    few = TxFM(rna(), replace(SMALL_TXFM, most_visible=0.2))
    assert few.parts.masking(views, draws_for(views)).inputs["rna"].visible.sum(1).tolist() == [6] * 72


def test_genes_that_are_detected_more_often_are_visible_more_often_if_asked():
    model = TxFM(rna(400), replace(SMALL_TXFM, visible_genes="frequency", n_visible=6))
    frequency = np.asarray((model.adata.X > 0).mean(0)).ravel()
    np.testing.assert_allclose(model.derived.frequencies, frequency, rtol=1e-4)
    shown = model.parts.masking(views_of(model)[0], draws_for(views_of(model)[0])).inputs["rna"].visible
    assert np.corrcoef(shown.float().mean(0).numpy(), frequency)[0, 1] > 0.8


# ---- data sets with different gene panels ----------------------------------------------------------------------


def three_sets():
    """Genes 0-24, 10-34 and 5-39."""
    return {
        name: rna(30, 40, first=first)[:, part].copy()
        for name, first, part in (("a", 0, slice(0, 25)), ("b", 30, slice(10, 35)), ("c", 60, slice(5, 40)))
    }


@pytest.fixture(scope="module")
def of_sets():
    model = TxFM(datasets.read_many(three_sets()), SMALL_TXFM)
    model.train(2, **QUIET)
    return model


def test_genes_that_a_set_did_not_measure_are_neither_visible_nor_evaluated(of_sets):
    views, batch = views_of(of_sets)
    profiled = of_sets.adata.varm["profiled"]
    for i, name in enumerate(of_sets.adata.obs["dataset"]):
        assert views["rna"].visible[i].tolist() == profiled[name].tolist()
    masked = of_sets.parts.masking(views, draws_for(views))
    outputs = of_sets.module.train()(masked.inputs, batch)
    outputs.logits.retain_grad()
    sum(of_sets.parts.objective(outputs, masked, batch, 0.0).values()).backward()
    of_sets.module.zero_grad()
    of_sets.module.eval()
    assert not (masked.inputs["rna"].visible & ~views["rna"].visible).any()
    assert (outputs.logits.grad[~views["rna"].visible] == 0).all()


def test_a_set_of_its_own_embeds_as_it_does_among_others(of_sets, tmp_path):
    together = pd.DataFrame(of_sets.get_latent_representation(), index=of_sets.adata.obs_names)
    for part in three_sets().values():
        np.testing.assert_allclose(of_sets.get_latent_representation(part), together.loc[part.obs_names], atol=1e-5)
    others = datasets.read_many({"new b": three_sets()["b"], "new a": three_sets()["a"]})
    np.testing.assert_allclose(of_sets.get_latent_representation(others), together.loc[others.obs_names], atol=1e-5)


def test_it_trains_from_files_as_from_memory(of_sets, tmp_path):
    for name, part in three_sets().items():
        part.write(tmp_path / f"{name}.h5ad")
    files = [tmp_path / f"{name}.h5ad" for name in "abc"]
    model = TxFM(datasets.read_many(files, path=tmp_path / "whole.h5ad"), SMALL_TXFM)
    assert model.adata.isbacked
    model.train(2, **QUIET)
    np.testing.assert_allclose(model.adata.obsm["X_txfm"], of_sets.adata.obsm["X_txfm"], atol=1e-4, rtol=1e-3)


def test_with_the_expected_library_values_do_not_depend_on_the_panel():
    counts = rna(60, 40)
    wide, narrow = counts[:30].copy(), counts[30:, :12].copy()
    model = TxFM(datasets.read_many({"wide": wide, "narrow": narrow}), SMALL_TXFM)
    values = views_of(model)[0]["rna"].values[:, :12].expm1()
    assert float(values[30:].mean() / values[:30].mean()) == pytest.approx(1, abs=0.2)
    plain = TxFM(datasets.read_many({"wide": wide, "narrow": narrow}), replace(SMALL_TXFM, library="profiled"))
    values = views_of(plain)[0]["rna"].values[:, :12].expm1()
    assert float(values[30:].mean() / values[:30].mean()) > 1.5


# ---- results ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["encoder", "decoder"])
def test_embeddings_of_genes_and_their_processing(which):
    model = TxFM(rna(), SMALL_TXFM)
    raw = model.get_feature_embedding(which=which)
    assert list(raw.index) == list(model.adata.var_names)
    assert raw.shape == (30, 15 if which == "encoder" else 16)
    assert raw.to_numpy().dtype == np.float32
    found = model.get_feature_embedding(which=which, processed=True)
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    module = model.module
    table = (module.tokens.features if which == "encoder" else module.decoder.out).weight.detach().numpy()
    expected = PCA(min(30, raw.shape[1])).fit_transform(StandardScaler().fit_transform(table.astype(np.float64)))
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-2)
    with pytest.raises(
        ValueError, match=r"which: expected one of \['encoder', 'decoder'\], got 'middle'; pass one of these"
    ):
        model.get_feature_embedding(which="middle")
    with pytest.raises(ValueError, match=r"modality: expected one of \['rna'\], got 'atac'; name one that the model"):
        model.get_feature_embedding("atac")


def test_dimensions_of_the_codebook_weigh_what_stands_out_of_noise():
    data = rna(200)
    model = TxFM(data, SMALL_TXFM)
    table = model.module.tokens.features.weight.detach().numpy()
    strength = model.module.fit.strength_k.numpy()
    found = model.get_feature_embedding(which="encoder").to_numpy()
    np.testing.assert_allclose(found, table * (1 - (strength[-1] / strength) ** 2), rtol=1e-5)
    assert np.linalg.norm(found[:, 0]) > 2 * np.linalg.norm(found[:, -2]), "though both columns have mean square 1"
    at_random = TxFM(data, replace(SMALL_TXFM, gene_start="random"))
    table = at_random.module.tokens.features.weight.detach().numpy()
    assert (at_random.get_feature_embedding(which="encoder").to_numpy() == table).all(), "there are no components"


def test_the_codebook_of_many_genes_keeps_thirty_two_components():
    model = TxFM(modality("counts", 40, 300), replace(SMALL_TXFM, width=48, n_heads=4))
    assert model.get_feature_embedding(which="encoder", processed=True).shape == (300, 32)
    assert model.get_feature_embedding(which="decoder", processed=True).shape == (300, 48)


def test_imputed_counts_are_at_the_depth_of_the_cell():
    model = TxFM(rna(), SMALL_TXFM)
    found = model.impute()
    assert found.shape == (72, 30)
    total = np.asarray(model.adata.X.sum(1)).ravel()
    np.testing.assert_allclose(found.sum(axis=1), total, rtol=0.3)
    views, batch = views_of(model)
    with torch.no_grad():
        logits = model.module.decoder(model.module.encode(views).mean)[3]
    by_hand = [
        math.expm1(math.log1p(1e4) * max(0.0, math.tanh(float(z) / (4 * math.e)))) * total[3] / 1e4 for z in logits
    ]
    np.testing.assert_allclose(found.iloc[3], by_hand, rtol=1e-3)


@pytest.mark.parametrize("loss", ["negative binomial", "squares", "smooth L1"])
@pytest.mark.parametrize("activation", ["rectified tanh", "clamped ReLU", "softmax"])
def test_the_alternatives_train(loss, activation):
    library = "none" if loss == "squares" else "profiled"
    config = replace(SMALL_TXFM, loss=loss, activation=activation, library=library, learning_rate=2e-3)
    model = TxFM(rna(), config)
    model.train(8, train_size=1.0, **QUIET)
    losses = model.history["train_loss"]["train_loss"]
    assert np.isfinite(losses).all()
    assert losses.iloc[-1] < losses.iloc[0]
    assert (model.module.log_dispersion is not None) == (loss == "negative binomial")


def test_stochastic_depth_and_a_linear_decoder_train():
    model = TxFM(rna(), replace(SMALL_TXFM, stochastic_depth=0.3, n_decoder_layers=0, n_layers=3))
    model.train(2, **QUIET)
    assert np.isfinite(model.get_latent_representation()).all()


def test_a_query_embeds_at_once_and_training_leaves_the_reference_alone(tmp_path):
    reference = TxFM(rna(), SMALL_TXFM)
    reference.train(2, **QUIET)
    before = reference.get_latent_representation()
    query = rna(40, first=100)[:, ::-1][:, 4:].copy()
    model = TxFM.load_query_data(query, reference)
    zero_shot = model.get_latent_representation()
    np.testing.assert_array_equal(zero_shot, reference.get_latent_representation(query))
    model.train(2, **QUIET)
    assert not np.allclose(query.obsm["X_txfm"], zero_shot, atol=1e-3)
    np.testing.assert_array_equal(reference.get_latent_representation(), before)
    reference.save(tmp_path / "model")
    again = TxFM.load_query_data(query, tmp_path / "model")
    np.testing.assert_array_equal(again.get_latent_representation(), zero_shot)
    with pytest.raises(ValueError, match="reference: expected a trained TxFM, got one that is not; call train"):
        TxFM.load_query_data(query, TxFM(rna(), SMALL_TXFM))


def test_a_classifier_reads_it():
    data = rna()
    model = TxFM(data, SMALL_TXFM)
    model.train(2, **QUIET)
    classifier = Classifier.from_model(model, "type")
    classifier.train()
    assert (classifier.predict() == data.obs["type"].astype(str)).mean() > 0.6


def test_the_rna_of_a_mudata_is_named():
    mdata = multiome()
    with pytest.raises(
        ValueError,
        match=r"modalities: expected one modality of raw counts, got 'rna \(counts\)', 'atac \(accessibility\)'",
    ):
        TxFM(mdata, SMALL_TXFM)
    mdata = multiome()
    TxFM.setup_mudata(mdata, modalities=["rna"])
    model = TxFM(mdata, SMALL_TXFM)
    model.train(1, **QUIET)
    found = pd.DataFrame(mdata.obsm["X_txfm"], index=mdata.obs_names)
    assert np.isfinite(found.to_numpy()).all()
    np.testing.assert_allclose(
        model.get_latent_representation(mdata["rna"].copy()), found.loc[mdata["rna"].obs_names], atol=1e-5
    )
    without = found.drop(mdata["rna"].obs_names)
    assert np.ptp(without.to_numpy(), axis=0).max() < 1e-5, "of rows without RNA it knows nothing"


def test_other_values_than_counts_are_refused():
    with pytest.raises(
        ValueError, match=r"modalities: expected one modality of raw counts, got 'rna \(real\)'; name the"
    ):
        TxFM(modality("real"), SMALL_TXFM)
    protein = MuData({"prot": modality("protein", 20, 8)})
    with pytest.raises(ValueError, match=r"got 'prot \(protein\)'; name the one that holds RNA: TxFM.setup_mudata"):
        TxFM(protein, SMALL_TXFM)


def test_the_embedding_does_not_change_when_the_object_is_a_file(tmp_path):
    data = rna()
    model = TxFM(data, SMALL_TXFM)
    data.write(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    np.testing.assert_allclose(model.get_latent_representation(backed), model.get_latent_representation(), atol=1e-6)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _model.COMPONENT_CELLS == 3000
    assert _model.MIN_LOGIT == 0.1
    assert _model.MAX_FRACTION == 0.99
    assert _model.MIN_GENE_FRACTION == 1e-08
    assert _model.NO_STEP_LIMIT == 2**62
    assert _model.N_PROCESSED == {"encoder": 32, "decoder": 256}
