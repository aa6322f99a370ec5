"""Models and checkpoints that earlier code wrote (``tests/fixtures``) still open, say the same, and train on."""

import json
import lzma

import numpy as np
import pytest
import torch

import omicsmlm
from omicsmlm._former_names import under_current_names
from omicsmlm.models.base import from_json
from tests.fixtures.checkpoints import N_DONE, N_EPOCHS, PACKED, TRAININGS
from tests.fixtures.make import FIXTURES, OBJECTS, SAID, says
from tests.objects import QUIET
from tests.test_bad_input import refused

VERSIONS = ("former", "now")


def opened(name, folder=None):
    family = getattr(omicsmlm, name.split("_")[0])
    return family.load(FIXTURES / name if folder is None else folder, OBJECTS[name]())


@pytest.mark.parametrize("name", OBJECTS)
def test_a_model_saved_before_opens_and_says_the_same_also_when_saved_again(name, tmp_path):
    model = opened(name)
    expected = np.load(FIXTURES / name / SAID)
    assert expected.std() > 0
    said = says(model)
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "again")
    np.testing.assert_array_equal(says(opened(name, tmp_path / "again")), said)


def test_every_family_and_head_has_one_of_each_version():
    classes = {name for name in omicsmlm.models.__all__ if not name.endswith(("Config", "Encoder", "Model"))}
    assert {name.split("_")[0] for name in OBJECTS if "_now" not in name} == classes
    assert {name.split("_")[0] for name in OBJECTS if "_now" in name} == classes
    assert classes - {"Classifier", "Survival"} == set(TRAININGS)


def test_models_of_now_hold_the_kinds_of_state_that_came_since():
    """Else they would test nothing that those of before do not."""
    now = opened("OmicsMLM_now")
    assert now.derived.folds.n_folds > 0
    assert now.adata_manager.labels
    assert now.adata_manager.numbers["keys"] == ["age"]
    assert now.adata_manager.numbers["size_factor_key"] == "size"
    assert opened("OmicsMLM_now_query").derived.added == ["rna+"]
    assert opened("ScMBERT_now").derived.folds.n_folds > 0
    assert opened("MOJO_now").config.row_width > 0
    isoformer = opened("IsoFormer_now")
    assert isoformer.adata_manager.sequences["protein"]["n_translated"] > 0
    assert isoformer.derived.experts.vectors
    assert "tuned" not in repr(opened("Classifier_now").candidates)
    assert opened("Classifier_now").candidates is not None
    assert opened("Classifier_now_tuned").config.tuning == "full"
    assert opened("Survival_now_discrete").config.likelihood == "discrete"


def unpacked(name, version, tmp_path):
    """A model as it was made then, untrained, the folder of its checkpoint, and what the whole training came to."""
    folder = FIXTURES / f"checkpoints_{version}" / name
    (tmp_path / "last.ckpt").write_bytes(lzma.decompress((folder / PACKED).read_bytes()))
    cut = TRAININGS[name]
    config = from_json(
        cut.family.config_class, json.loads((folder / "config.json").read_text()), cut.family.former_config
    )
    return cut.family(cut.make(), config, batch_key="batch"), tmp_path, np.load(folder / SAID)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", TRAININGS)
def test_a_checkpoint_written_before_is_trained_on_from(name, version, tmp_path, monkeypatch):
    monkeypatch.setattr("omicsmlm.models.scmbert._model.MOST_BALANCE", None)  # as it was then
    model, folder, expected = unpacked(name, version, tmp_path)
    model.train(N_EPOCHS, resume_from=folder, **QUIET)
    assert len(model.history["train_loss"]) == N_EPOCHS
    found = model.get_latent_representation()
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    if version == "now":
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    else:  # what is masked, and the losses, are no longer what they were
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("name", TRAININGS)
def test_a_checkpoint_of_before_is_where_the_training_goes_on(name, tmp_path):
    """A finished training is left as it was: its weights are those that the checkpoint holds as the best."""
    model, folder, _ = unpacked(name, "former", tmp_path)
    model.train(N_DONE, resume_from=folder, **QUIET)
    saved = torch.load(folder / "last.ckpt", weights_only=True)["callbacks"]["KeptWeights"]["best"]
    weights, n_same = model.module.state_dict(), 0
    for key, value in under_current_names(saved).items():
        n_same += torch.equal(weights[key].to(value.dtype), value)
    assert n_same >= 0.9 * len(saved)  # all but what the end of a training computes


def test_a_checkpoint_of_before_of_what_has_other_weights_now_is_refused_in_one_sentence(tmp_path):
    """The start of paired data is cross-fitted since."""
    _, folder, _ = unpacked("OmicsMLM", "former", tmp_path)
    data = OBJECTS["OmicsMLM_now"]()
    with refused("^resume_from: expected a checkpoint of this model"):
        omicsmlm.OmicsMLM(data, omicsmlm.OmicsMLMConfig(width=8, n_nonlinear=2, n_linear=4), batch_key="batch").train(
            N_EPOCHS, resume_from=folder, **QUIET
        )


def test_what_earlier_code_wrote_stays_small():
    n_bytes = sum(file.stat().st_size for file in FIXTURES.rglob("*") if file.is_file())
    assert n_bytes < 3.5e6
