"""IsoFormer: what may be missing, prediction, pre-training, published encoders."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from omicsmlm import Classifier, ClassifierConfig, IsoFormer, IsoFormerConfig, SequenceEncoder
from omicsmlm.models.isoformer import _model
from omicsmlm.models.isoformer._derived import IsoFormerDerived
from omicsmlm.models.isoformer._held_out import targets_of
from omicsmlm.tokenizers import TARGETS
from tests import encoders
from tests.cuda_stand_in import OnCuda, move, noted, pretend
from tests.objects import QUIET, SMALL_ISOFORMER, draws_for, letters_of, state_of, transcripts


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
    adata = transcripts(200)
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(5, **QUIET)
    fresh = transcripts(100, seed=1)
    truth, found = fresh.X, model.predict(fresh).to_numpy()
    has = fresh.obs["dna"].notna().to_numpy()
    for t in (0, 1):
        known = has & np.isfinite(truth[:, t])
        assert np.corrcoef(truth[known, t], found[known, t])[0, 1] > 0.8
    hidden = model.predict(without(without(fresh, "dna"), "protein")).to_numpy()
    assert np.ptp(hidden, axis=0).max() < 1e-5, "a row of nothing gets the same as every other"


def test_regressions_end_up_fitted_to_training_and_validation_observations():
    adata = transcripts()
    IsoFormer.setup_anndata(adata, dna_key="dna", protein_key="protein")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(1, **QUIET)
    assert len(model.validation_indices) > 0
    kept = {name: value.clone() for name, value in model.module.kernels.state_dict().items()}
    state = {name: value.clone() for name, value in model.module.state_dict().items()}
    model.finish_training(model.train_indices)  # as after the training of a head, which fits no regressions before
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, state[name]), name
    chosen = model._fit_regressions(model.train_indices, {}).chosen
    assert any(not torch.equal(value, kept[name]) for name, value in model.module.kernels.state_dict().items())
    model._fit_regressions(np.arange(adata.n_obs), chosen)
    for name, value in model.module.kernels.state_dict().items():
        assert torch.equal(value, kept[name]), name


def test_how_often_differences_count_can_be_said(trained):
    adata, at = trained.adata.copy(), np.arange(40)

    def group_weight(model):
        return model._group_weight(targets_of(model._views(at), TARGETS), torch.from_numpy(model._groups()[at]))

    for weight, expected in ((None, 0.0), (2.5, 2.5)):
        IsoFormer.setup_anndata(adata, dna_key="dna", group_key="gene")
        model = IsoFormer(adata, type(SMALL_ISOFORMER)(group_weight=weight))
        assert group_weight(model) == expected, "fragments have none by themselves"
    IsoFormer.setup_anndata(adata, dna_key="dna")
    assert group_weight(IsoFormer(adata, type(SMALL_ISOFORMER)(group_weight=2.5))) == 0


@pytest.mark.parametrize("fusion", ["concatenation", "linear", "perceiver", "c_abstractor"])
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


# ---- published encoders -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def esm(checkpoints):
    """Return the folder of a small ESM-2."""
    return checkpoints("esm").source.path


def test_a_frozen_encoder_is_asked_once_per_sequence_and_lies_on_disk(esm, tmp_path):
    by_name = {"protein": SequenceEncoder("transformers", str(esm))}
    config = replace(SMALL_ISOFORMER, encoders=by_name, cache_dir=str(tmp_path / "cache"))
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
    by_name = {"protein": SequenceEncoder("transformers", str(esm), tuning=tuning)}
    model = IsoFormer(transcripts(24), replace(SMALL_ISOFORMER, encoders=by_name, kernel_expert=False))
    before = {name: value.clone() for name, value in model.module.encoders["protein"].state_dict().items()}
    model.train(1, **QUIET)
    after = model.module.encoders["protein"].state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert all("lora" in name for name in moved) == (tuning == "lora")
    model.save(tmp_path / "model")
    pd.testing.assert_frame_equal(IsoFormer.load(tmp_path / "model").predict(transcripts(24)), model.predict())


def of_kind(checkpoint, tuning, **changes):
    """A model that reads proteins, or DNA, by a published encoder of a kind."""
    source = checkpoint.source
    encoder = SequenceEncoder(
        source.library,
        source.path,
        tuning=tuning,
        spaced=checkpoint.reading.spaced,
        trust_remote_code=source.trust_remote_code,
    )
    name = "protein" if checkpoint.reading.kind == "protein" else "dna"
    config = replace(SMALL_ISOFORMER, encoders={name: encoder}, kernel_expert=False, **changes)
    return IsoFormer(transcripts(24), config), name


CELLS = [(kind, tuning) for kind in encoders.KINDS for tuning in ("frozen", "lora", "full")]
QUICK = [("sixmers", "frozen"), ("t5", "full")]


@pytest.mark.parametrize(
    ("kind", "tuning"), [*QUICK, *(pytest.param(*cell, marks=pytest.mark.slow) for cell in CELLS if cell not in QUICK)]
)
def test_each_kind_of_encoder_is_trained_asked_in_batches_and_by_region_saved_and_loaded(
    kind, tuning, checkpoints, tmp_path
):
    pytest.importorskip("peft")
    model, name = of_kind(checkpoints(kind), tuning, cache_dir=str(tmp_path / "cache"))
    model.train(1, **QUIET)
    predicted = model.predict()
    np.testing.assert_allclose(model.predict(batch_size=5), predicted, atol=1e-3)  # frozen states are half precision
    changes = model.attribute_regions(name, "liver", n_regions=2)
    has = model.adata.obs[name].notna().to_numpy()
    assert np.isfinite(changes[has].to_numpy()).all()
    assert (np.abs(changes[has]).max(axis=1) > 1e-6).all()
    model.save(tmp_path / "model")
    loaded = IsoFormer.load(tmp_path / "model", trust_remote_code=kind == "d_model")
    pd.testing.assert_frame_equal(loaded.predict(transcripts(24)), predicted)


def test_an_encoder_of_other_sequences_is_refused_when_the_model_is_made(checkpoints):
    for name, kind in (("dna", "esm"), ("protein", "sixmers"), ("protein", "enformer")):
        source = checkpoints(kind).source
        config = replace(SMALL_ISOFORMER, encoders={name: SequenceEncoder(source.library, source.path)})
        adata = transcripts(24)
        before = state_of(adata)
        with pytest.raises(ValueError, match="encoder: expected (a tokenizer of|DNA for Enformer)"):
            IsoFormer(adata, config)
        assert state_of(adata) == before


def test_a_model_of_version_0_1_reads_published_encoders_as_it_did(esm, tmp_path):
    by_name = {"protein": SequenceEncoder("transformers", esm)}
    config = replace(SMALL_ISOFORMER, encoders=by_name, kernel_expert=False, cache_dir=str(tmp_path / "cache"))
    model = IsoFormer(transcripts(24), config)
    assert not model.derived.former_states
    saved = {f.name: getattr(model.derived, f.name) for f in fields(model.derived) if f.name != "former_states"}
    former = IsoFormerDerived(**saved)
    assert former.former_states
    module = model._assemble(former).module
    assert module.frozen["protein"].reading.former_states
    of_specials = module.frozen["protein"](letters_of("MKV")).lengths
    assert (of_specials, model.module.frozen["protein"](letters_of("MKV")).lengths) == ([4], [3])


@pytest.mark.slow
def test_a_step_in_the_setting_of_the_paper_by_narrow_encoders(tmp_path, checkpoints):
    """196,608 base pairs become 896 positions, 12,288 nucleotides 2,048 words, 2,047 residues as many states."""
    (tmp_path / "enformer").mkdir()
    encoders.enformer(tmp_path / "enformer", num_downsamples=7, target_length=896)
    paper = IsoFormerConfig.paper(
        str(tmp_path / "enformer"), checkpoints("sixmers").source.path, checkpoints("esm").source.path
    )
    rng = np.random.default_rng(0)
    sizes = {"dna": ("ACGT", 200_000), "rna": ("ACGT", 13_000), "protein": ("ACDEFGHIKLMNPQRSTVWY", 2100)}
    obs = pd.DataFrame(
        {name: ["".join(rng.choice(list(letters), n)) for _ in range(2)] for name, (letters, n) in sizes.items()},
        index=["a", "b"],
    )
    adata = AnnData(rng.random((2, 30)).astype(np.float32), obs=obs)
    model = IsoFormer(adata, replace(paper, width=16, n_heads=2))
    views = model.parts.tokenizer(model.adata_manager.create_torch_dataset()[[0]])
    found = {name: model.module.encoders[name](views[name]) for name in sizes}
    assert {name: states.lengths for name, states in found.items()} == {"dna": [896], "rna": [2048], "protein": [2047]}
    before = {name: weight.clone() for name, weight in model.module.named_parameters()}
    model.train(1, batch_size=1, train_size=0.5, progress_bar=False, accelerator="cpu")
    moved = {name.split(".")[1] for name, w in model.module.named_parameters() if not torch.equal(w, before[name])}
    assert {"dna", "rna", "protein"} <= moved
    assert np.isfinite(model.predict().to_numpy()).all()


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


def test_a_model_on_a_device_is_trained_on(monkeypatch):
    """Its regressions are fitted on the CPU, where a training leaves it."""
    made = IsoFormer(transcripts(), SMALL_ISOFORMER)
    made.train(1, **QUIET)
    pretend(monkeypatch)
    assert isinstance(made.parts.tokenizer, torch.nn.Module)
    move(made.parts.tokenizer)
    with noted():
        made._prepare_training(made.train_indices)
    assert made._fitted is not None
    assert not any(isinstance(buffer, OnCuda) for buffer in made.parts.tokenizer.buffers())


@pytest.mark.parametrize("is_loaded", [False, True])
def test_labels_can_tune_its_encoders(is_loaded, tmp_path):
    adata = transcripts()
    adata.obs["half"] = np.where(np.arange(adata.n_obs) % 2, "one", "other")
    model = IsoFormer(adata, SMALL_ISOFORMER)
    model.train(1, **QUIET)
    before = model.get_latent_representation()
    if is_loaded:
        model.save(tmp_path / "model")
        model = IsoFormer.load(tmp_path / "model", adata)
    classifier = Classifier.from_model(model, "half", config=ClassifierConfig(tuning="full"))
    classifier.train(1, **QUIET)
    assert set(classifier.predict()) <= {"one", "other", "Unknown"}
    assert np.abs(classifier.model.get_latent_representation() - before).max() > 1e-3
    np.testing.assert_array_equal(model.get_latent_representation(), before)
