"""IsoFormer: what may be missing, prediction, pre-training, published encoders."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from omicsmlm import IsoFormer, SequenceEncoder
from omicsmlm.models.isoformer import _model
from tests.objects import QUIET, SMALL_ISOFORMER, draws_for, state_of, transcripts


@pytest.fixture(scope="module")
def trained():
    """Must not be changed."""
    adata = transcripts()
    IsoFormer.setup_anndata(adata, dna_key="dna", protein_key="protein", group_key="gene")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(4, **QUIET)
    return model


def without(adata: AnnData, column: str) -> AnnData:
    adata = adata.copy()
    adata.obs[column] = None
    return adata


# ---- inputs and leaks --------------------------------------------------------------------------------


def test_expression_never_reaches_the_embedding(trained):
    other = transcripts()
    other.X = other.X * 3 + 1
    np.testing.assert_array_equal(trained.get_latent_representation(other), trained.get_latent_representation())
    np.testing.assert_array_equal(trained.predict(other), trained.predict())


def test_a_query_needs_no_expression_and_no_column_but_one(trained):
    query = AnnData(obs=transcripts().obs[["dna"]].copy())
    expected = trained.predict(without(transcripts(), "protein"))
    pd.testing.assert_frame_equal(trained.predict(query), expected)
    assert list(expected.columns) == ["liver", "brain", "heart"]


def test_a_query_of_none_of_the_columns_is_refused(trained):
    query = transcripts().copy()
    query.obs = query.obs[[]]
    before = state_of(query)
    message = (
        "data: expected a column or an entry with one of 'dna', 'protein', got an object without 'dna', 'protein'; name"
    )
    for ask in (trained.get_latent_representation, lambda q: IsoFormer.load_query_data(q, trained)):
        with pytest.raises(ValueError, match=message):
            ask(query)
    assert state_of(query) == before


def test_targets_are_matched_by_name():
    model = IsoFormer(transcripts(), SMALL_ISOFORMER)
    turned = transcripts()[:, ["heart", "liver", "brain"]].copy()
    views = [
        model.parts.tokenizer(model.manager_for(data).create_torch_dataset()[list(range(72))])["expression"]
        for data in (transcripts(), turned)
    ]
    assert torch.equal(views[0].values, views[1].values)
    assert torch.equal(views[0].visible, views[1].visible)


def test_case_and_uracil_do_not_matter(trained):
    other = transcripts()
    other.obs["dna"] = [s if pd.isna(s) else s.replace("T", "u").lower() for s in other.obs["dna"]]
    np.testing.assert_array_equal(trained.get_latent_representation(other), trained.get_latent_representation())


def test_a_lost_modality_cannot_leak(trained):
    batch = trained.adata_manager.create_torch_dataset()[list(range(72))]
    views = trained.parts.tokenizer(batch)
    lose = replace(SMALL_ISOFORMER, modality_rate=1.0)
    masking = IsoFormer(transcripts(), lose).parts.masking
    inputs = masking(views, draws_for(views)).inputs
    assert "expression" not in inputs
    lost_n = batch.present["protein"] & (inputs["protein"].of_obs < 0)
    assert lost_n.any()
    with torch.no_grad():
        found = trained.module.encode(inputs).mean[lost_n].numpy()
    expected = trained.get_latent_representation(without(transcripts(), "protein"))[lost_n]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_absent_modality_has_zeros_in_its_stream_and_each_modality_counts(trained):
    whole, d = trained.get_latent_representation(), SMALL_ISOFORMER.width
    part = trained.get_latent_representation(without(transcripts(), "protein"))
    assert np.abs(part[:, d:]).max() == 0
    has = transcripts().obs["protein"].notna().to_numpy()
    assert (np.abs(whole - part)[has].max(1) > 1e-3).all()
    np.testing.assert_allclose(whole[~has], part[~has], atol=1e-6)


def test_a_vector_is_one_more_modality():
    adata = transcripts()
    adata.obsm["beta"] = np.random.default_rng(0).random((72, 5)).astype(np.float32)
    adata.obsm["beta"][::3] = np.nan
    adata.obsm["beta"][1, 2] = np.nan
    IsoFormer.setup_anndata(adata, dna_key="dna", vector_keys={"methylation": "beta"})
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(1, **QUIET)
    assert adata.obsm["X_isoformer"].shape == (72, 2 * SMALL_ISOFORMER.width)
    assert np.abs(adata.obsm["X_isoformer"][::3, SMALL_ISOFORMER.width :]).max() == 0
    narrow = adata.copy()
    narrow.obsm["beta"] = narrow.obsm["beta"][:, :4]
    with pytest.raises(ValueError, match="methylation: expected vectors of width 5"):
        model.predict(narrow)


# ---- prediction ---------------------------------------------------------------------------------------------------


def test_it_learns_what_sequences_say():
    adata = transcripts(300)
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(6, **QUIET)
    fresh = transcripts(100, seed=1)
    truth, found = fresh.X, model.predict(fresh).to_numpy()
    has = fresh.obs["dna"].notna().to_numpy()
    for t in (0, 1):
        known = has & np.isfinite(truth[:, t])
        assert np.corrcoef(truth[known, t], found[known, t])[0, 1] > 0.8
    hidden = model.predict(without(without(fresh, "dna"), "protein")).to_numpy()
    assert np.ptp(hidden, axis=0).max() < 1e-5, "a row of nothing gets the same as every other"


@pytest.mark.parametrize("fusion", ["concatenation", "linear", "perceiver"])
def test_each_fusion_trains_and_is_independent_of_the_batch(fusion):
    model = IsoFormer(transcripts(), replace(SMALL_ISOFORMER, fusion=fusion))
    model.train(2, **QUIET)
    np.testing.assert_allclose(model.predict(batch_size=5), model.predict(), atol=1e-5)
    losses = model.history["train_loss"]["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_it_works_without_composition_and_kernels(tmp_path):
    model = IsoFormer(transcripts(), replace(SMALL_ISOFORMER, composition=False, kernel_expert=False))
    model.train(2, **QUIET)
    assert model.module.experts == ["network"]
    model.save(tmp_path / "model")
    loaded = IsoFormer.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.predict(transcripts()), model.predict())


def test_a_saved_model_predicts_alike(trained, tmp_path):
    trained.save(tmp_path / "model")
    pd.testing.assert_frame_equal(IsoFormer.load(tmp_path / "model").predict(transcripts()), trained.predict())


# ---- pre-training -------------------------------------------------------------------------------------------------


def test_pretraining_lowers_the_cross_entropy_of_masked_residues_and_moves_the_encoders_alone():
    model = IsoFormer(transcripts(), SMALL_ISOFORMER)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    model.pretrain(6, progress_bar=False, accelerator="cpu")
    after = model.module.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"encoders"}
    losses = model.history["pretrain_validation_dna"]["pretrain_validation_dna"]
    assert losses.iloc[-1] < losses.iloc[0]
    model.train(1, **QUIET)
    assert not model.module.training


# ---- published encoders -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def esm(tmp_path_factory):
    """A random ESM-2 of the real class, saved as a directory."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("esm")
    residues = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(residues))
    tokenizer = transformers.EsmTokenizer(str(folder / "vocab.txt"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.EsmConfig(
        vocab_size=len(residues), pad_token_id=1, mask_token_id=31, position_embedding_type="rotary", **sizes
    )
    torch.manual_seed(0)
    transformers.EsmModel(config).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_frozen_encoder_is_asked_once_per_sequence_and_lies_on_disk(esm, tmp_path):
    encoders = {"protein": SequenceEncoder("transformers", str(esm))}
    config = replace(SMALL_ISOFORMER, encoders=encoders, cache_dir=str(tmp_path / "cache"))
    adata = transcripts()
    model = IsoFormer(adata, config)
    model.train(2, **QUIET)
    store = model.module.frozen["protein"].store
    assert len(store) == adata.obs["protein"].nunique()
    assert not any(name.startswith("encoders.protein") for name in model.module.state_dict())
    model.save(tmp_path / "model")
    loaded = IsoFormer.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.get_latent_representation(transcripts()), adata.obsm["X_isoformer"])
    assert loaded.module.frozen["protein"]._encoder is None, "its weights were never read"


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_published_encoder_can_be_tuned(esm, tmp_path, tuning):
    pytest.importorskip("peft")
    encoders = {"protein": SequenceEncoder("transformers", str(esm), tuning=tuning)}
    model = IsoFormer(transcripts(24), replace(SMALL_ISOFORMER, encoders=encoders, kernel_expert=False))
    before = {name: value.clone() for name, value in model.module.encoders["protein"].state_dict().items()}
    model.train(1, **QUIET)
    after = model.module.encoders["protein"].state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert all("lora" in name for name in moved) == (tuning == "lora")
    model.save(tmp_path / "model")
    pd.testing.assert_frame_equal(IsoFormer.load(tmp_path / "model").predict(transcripts(24)), model.predict())


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _model.GRADIENT_LIMIT == 5.0
    assert _model.AVERAGING == 0.98


@pytest.mark.parametrize(
    ("n_obs", "batch_size", "expected"),
    [(100, 64, 15), (1707, 64, 15), (1708, 64, 15), (3200, 64, 8), (6400, 64, 4), (10**6, 64, 4), (3200, 32, 4)],
)
def test_an_untold_number_of_epochs_makes_400_steps_but_4_to_15(trained, n_obs, batch_size, expected):
    assert trained._sensible_epochs(n_obs, batch_size) == expected
    assert trained.embedding_batch_size == 256
