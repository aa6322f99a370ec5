"""What every family shares: how a training is cut out of the object, its history, its files."""

import json
import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from omicsmlm import OmicsMLM
from omicsmlm._manifest import write_manifest
from omicsmlm.models.base import _model, announce
from tests.objects import QUIET, SMALL, multiome, rna


@pytest.fixture(scope="module")
def model():
    """A model of 72 observations; tests must not train it."""
    return OmicsMLM(rna(), SMALL)


@pytest.mark.parametrize(("train_size", "n_train"), [(0.9, 65), (0.5, 36), (1, 72), (0.001, 1), (0.999, 72)])
def test_observations_are_divided(model, train_size, n_train):
    train, held_out = model._split(train_size)
    assert len(train) == n_train
    assert sorted([*train, *held_out]) == list(range(72))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held_out) > 0).all()
    again = model._split(train_size)
    assert train.tolist() == again[0].tolist()


def test_the_division_follows_from_the_seed(model):
    other = OmicsMLM(rna(), replace(SMALL, seed=1))
    assert other._split(0.5)[0].tolist() != model._split(0.5)[0].tolist()
    expected = np.random.default_rng(1).permutation(72)
    assert other._split(0.5)[0].tolist() == sorted(expected[:36])


@pytest.mark.parametrize("train_size", [0, -0.1, 1.01])
def test_a_division_into_nothing_gets_a_sentence(model, train_size):
    found = f"expected a fraction above 0 and at most 1, got {train_size}; pass 0.9, say"
    with pytest.raises(ValueError, match=f"^train_size: {found}"):
        model._split(train_size)


def spied(monkeypatch):
    """Keep what :func:`fit` is given, and train nothing."""
    calls = []

    class Stop(Exception):
        pass

    def fit(*arguments):
        calls.append(arguments)
        raise Stop

    monkeypatch.setattr(_model, "fit", fit)

    def train(model, *arguments, **options):
        with pytest.raises(Stop):
            model.train(*arguments, **{**QUIET, **options})
        return calls[-1]

    return train


def test_options_of_a_training(model, monkeypatch):
    train = spied(monkeypatch)
    parts, optimisation, training, validation, options, trainer_options, memory = train(
        model, 3, train_size=0.75, max_steps=17, early_stopping=False, precision="32-true", num_nodes=1
    )
    assert parts is model.parts
    assert optimisation == model.optimisation
    assert trainer_options == {"num_nodes": 1}
    assert (options.max_epochs, options.max_steps, options.early_stopping) == (3, 17, False)
    assert (options.patience, options.precision, options.accelerator) == (SMALL.patience, "32-true", "cpu")
    assert len(training) == 3, "54 observations, 24 in a batch"
    expected = model._split(0.75)
    found = [sorted(int(i) for batch in loader for i in batch.indices) for loader in (training, validation)]
    assert found == [expected[0].tolist(), expected[1].tolist()]
    loader, is_whole = memory
    assert is_whole
    assert [int(i) for batch in loader for i in batch.indices] == expected[0].tolist()


def test_large_sets_are_sampled(model, monkeypatch):
    monkeypatch.setattr(_model, "VALIDATION_SIZE", 5)
    monkeypatch.setattr(_model, "MEMORY_SIZE", 30)
    *_, validation, _, _, memory = spied(monkeypatch)(model, train_size=0.5)
    train, held_out = model._split(0.5)
    validated = [int(i) for batch in validation for i in batch.indices]
    assert len(validated) == 5
    assert set(validated) <= set(held_out)
    loader, is_whole = memory
    remembered = [int(i) for batch in loader for i in batch.indices]
    assert len(remembered) == 30
    assert set(remembered) <= set(train)
    assert not is_whole


def test_without_held_out_observations_nothing_is_validated(model, monkeypatch):
    *_, validation, _, _, _ = spied(monkeypatch)(model, train_size=1)
    assert validation is None


def test_each_training_draws_anew(monkeypatch):
    model, train = OmicsMLM(rna(), SMALL), spied(monkeypatch)
    seeds = []
    for model.n_trainings in (0, 0, 1, 2):
        seeds.append(train(model)[4].seed)
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 3


def test_the_number_of_epochs_follows_from_the_observations(model, monkeypatch):
    options = spied(monkeypatch)(model, batch_size=36, train_size=0.5)[4]
    assert options.max_epochs == 700, "36 observations make one step an epoch"
    with pytest.raises(ValueError, match="^max_epochs: expected at least 1, got 0; leave it out for a sensible number"):
        model.train(0)
    with pytest.raises(
        ValueError, match="^max_steps: expected at least 1, got -1; leave it out to train for max_epochs"
    ):
        model.train(max_steps=-1)
    with pytest.raises(ValueError, match="^batch_size: expected at least 1, got 0; pass 128, say"):
        model.train(batch_size=0)


def test_a_history_goes_on_counting_steps(tmp_path):
    model = OmicsMLM(rna(), SMALL)
    model._extend_history([3, 6], {"train_loss": [2.0, 1.0]})
    model._extend_history([4], {"train_loss": [0.5], "pretrain_loss": [7.0]})
    assert model.history["train_loss"]["train_loss"].tolist() == [2.0, 1.0, 0.5]
    assert model.history["train_loss"].index.tolist() == [3, 6, 10]
    assert model.history["pretrain_loss"].index.tolist() == [4]
    assert model.history["train_loss"].index.name == "step"
    model.save(tmp_path / "m")
    loaded = OmicsMLM.load(tmp_path / "m").history
    assert loaded.keys() == model.history.keys()
    for name, frame in loaded.items():
        pd.testing.assert_frame_equal(frame, model.history[name])


def test_a_history_without_steps_is_counted_by_rounds(model, tmp_path):
    """Models saved by 0.1 list no steps."""
    model.save(tmp_path / "m")
    content = json.dumps({"train_loss": [2.0, 1.0]})
    (tmp_path / "m" / "history.json").write_text(content)
    write_manifest(tmp_path / "m")
    assert OmicsMLM.load(tmp_path / "m").history["train_loss"].index.tolist() == [1, 2]


def test_a_loaded_model_is_as_it_was(tmp_path):
    model = OmicsMLM(multiome(), SMALL, batch_key="batch")
    model.train(1, **QUIET)
    model.save(tmp_path / "m")
    loaded = OmicsMLM.load(tmp_path / "m", multiome())
    assert loaded.config == model.config
    assert loaded.derived == model.derived
    assert (loaded.is_trained, loaded.n_trainings) == (True, 1)
    assert loaded.registry["setup_args"] == model.registry["setup_args"]
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.adata.obsm["X_omics"])
    assert not loaded.module.training


def with_config(folder, **fields):
    content = json.loads((folder / "config.json").read_text())
    content["config"] |= fields
    (folder / "config.json").write_text(json.dumps(content))
    write_manifest(folder)


def test_a_field_that_became_a_constant(model, tmp_path, monkeypatch):
    model.save(tmp_path / "m")
    former = OmicsMLM.former_config._replace(constants={"kl_base": 1000.0})
    monkeypatch.setattr(OmicsMLM, "former_config", former)
    with_config(tmp_path / "m", kl_base=1000.0)
    assert OmicsMLM.load(tmp_path / "m").config == model.config
    with_config(tmp_path / "m", kl_base=10.0)
    found = "expected OmicsMLMConfig with kl_base=1000.0, which is no longer a hyper-parameter, got 10.0; load it with"
    with pytest.raises(ValueError, match=f"^load: {found}"):
        OmicsMLM.load(tmp_path / "m")


@pytest.mark.parametrize("n_handlers", [0, 1])
def test_a_line_is_logged_once_and_set_up_only_where_nobody_did(n_handlers, monkeypatch, capsys):
    package = logging.getLogger("omicsmlm")
    monkeypatch.setattr(package, "handlers", [logging.NullHandler()] * n_handlers)
    monkeypatch.setattr(package, "propagate", False)
    monkeypatch.setattr(package, "level", logging.NOTSET)
    announce("one line")
    assert capsys.readouterr().err == ("" if n_handlers else "one line\n")
    assert len(package.handlers) == 1


def test_a_getter_leaves_the_random_state_alone(model):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    OmicsMLM(rna(), SMALL)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _model.SAMPLE_SIZE == 20000
    assert _model.MEMORY_SIZE == 20000
    assert _model.VALIDATION_SIZE == 5000
    assert _model.AHEAD == 4


def test_the_object_is_not_saved_with_the_model(model, tmp_path):
    with pytest.raises(ValueError, match="^save_anndata: expected False, got True; write the object by itself"):
        model.save(tmp_path / "m", save_anndata=True)
    assert not (tmp_path / "m").exists()


def test_one_batch_alone_is_warned_of(caplog):
    adata = rna()
    adata.obs["batch"] = "b0"
    OmicsMLM(adata, SMALL, batch_key="batch")
    said = "OmicsMLM: all observations are of one batch, 'b0' of 'batch'; there is nothing to tell apart from it."
    assert caplog.messages.count(said) == 1
    caplog.clear()
    OmicsMLM(rna(), SMALL, batch_key="batch")
    OmicsMLM(rna(), SMALL)
    assert not any("one batch" in message for message in caplog.messages)


@pytest.mark.parametrize("train_size", [True, "0.9", None])
def test_a_division_by_what_is_no_number_gets_a_sentence(model, train_size):
    with pytest.raises(ValueError, match="^train_size: expected a fraction above 0 and at most 1, got "):
        model._split(train_size)


def test_of_a_large_file_neighbours_are_held_out(model, monkeypatch):
    layout = type("Layout", (), {"block": 4, "window": 71})()
    dataset = type("Dataset", (), {"layout": layout})()
    asked = []
    monkeypatch.setattr(model.adata_manager, "observation_dataset", lambda: dataset)
    monkeypatch.setattr(
        _model, "sample_observations", lambda manager, n, seed: asked.append((n, seed)) or np.arange(8, 8 + n)
    )
    train, held_out = model._split(0.9)
    assert asked == [(7, 0)]
    assert held_out.tolist() == list(range(8, 15))
    assert sorted([*train, *held_out]) == list(range(72))
    layout.window = 72
    model._split(0.9)
    model._split(1)
    assert len(asked) == 1, "where one buffer holds all, or nothing is held out, as in memory"


def test_a_checkpoint_is_kept_in_the_folder_that_is_named(tmp_path):
    model = OmicsMLM(rna(), SMALL)
    model.train(1, checkpoint_dir=tmp_path / "kept", **QUIET)
    assert (tmp_path / "kept" / "last.ckpt").is_file()


class Interruption(Callback):
    """Ctrl-C at the third step."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("fails_at", ["a step", "the end"])
def test_a_trained_model_whose_next_training_is_interrupted_is_as_it_was(fails_at, monkeypatch):
    """The embedding of its reference, and all else that is computed at the end of a training, is of these weights."""
    made = OmicsMLM(multiome(), SMALL, batch_key="batch")

    def interrupt(*_):
        raise KeyboardInterrupt

    def train_interrupted():
        with monkeypatch.context() as patch:
            callbacks = [Interruption()]
            if fails_at == "the end":
                callbacks = patch.setattr(OmicsMLM, "finish_training", interrupt)
            with pytest.raises(KeyboardInterrupt):
                made.train(2, callbacks=callbacks, **QUIET)

    train_interrupted()
    assert not made.is_trained_
    assert made.history_ is None
    made.train(1, **QUIET)
    embedding, history = made.get_latent_representation(), made.history["train_loss"].copy()
    reference = made.module.reference_md.clone()
    train_interrupted()
    assert (made.is_trained_, made.n_trainings) == (True, 1)
    np.testing.assert_array_equal(made.get_latent_representation(), embedding)
    assert torch.equal(made.module.reference_md, reference)
    pd.testing.assert_frame_equal(made.history["train_loss"], history)
