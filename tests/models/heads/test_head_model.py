import json
import os
import signal
import time
from copy import deepcopy

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM, Survival, SurvivalConfig
from omicsmlm._manifest import write_manifest
from tests.fixtures.make import FIXTURES, patients
from tests.objects import SMALL, multiome
from tests.test_bad_input import refused


@pytest.fixture(scope="module")
def model():
    """A model of two modalities; tests must not change it."""
    return OmicsMLM(patients(), SMALL)


@pytest.fixture(scope="module")
def classifier(model):
    """A trained classifier of it; tests must not change it."""
    made = Classifier.from_model(model, "type", config=ClassifierConfig(linear_models=False))
    made.train()
    return made


def test_what_a_classifier_shows(model, classifier):
    assert repr(classifier) == str(classifier)
    assert str(classifier).splitlines() == [
        "Classifier",
        "  data: 40 observations",
        "  modalities: rna (12 features, real), meth (10 features, fraction)",
        "  batches: none",
        "  encoder: OmicsMLM with 8 dimensions",
        "  labels: 't0', 't1', 't2' of column 'type'",
        "  tuning: frozen",
        "  trained: yes",
    ]
    assert str(Classifier.from_model(model, "type")).endswith("trained: no")


def test_what_a_survival_model_shows(model):
    made = Survival.from_model(model, "time", "died", "type", ["age"], SurvivalConfig(tuning="lora"))
    assert str(made).splitlines()[5:] == [
        "  event: column 'died' at the time of 'time'",
        "  strata: 't0', 't1', 't2' of column 'type'",
        "  covariates: 'age'",
        "  tuning: lora",
        "  trained: no",
    ]
    assert "  strata: one\n  covariates: none\n" in str(Survival.from_model(model, "time", "died"))


def test_one_loaded_alone_says_that_it_has_no_object(classifier, tmp_path):
    classifier.save(tmp_path / "labels")
    assert "  data: none; pass adata=… to load()\n  modalities: rna (12 features, real)" in str(
        Classifier.load(tmp_path / "labels")
    )


def test_the_model_is_copied(model, classifier):
    own = [dict(m.module.named_parameters()) for m in (model, classifier.model)]
    assert own[0].keys() == own[1].keys()
    assert not {w.data_ptr() for w in own[0].values()} & {w.data_ptr() for w in own[1].values()}
    assert classifier.model.adata is model.adata


def test_files_keep_the_keys_of_the_first_version(classifier, tmp_path):
    classifier.save(tmp_path / "labels")
    before = json.loads((FIXTURES / "Classifier" / "config.json").read_text())
    now = json.loads((tmp_path / "labels" / "config.json").read_text())
    assert now.keys() == before.keys() - {"sha256"}, "the manifest has them now"
    assert now["choice"].keys() == before["choice"].keys()
    assert now["choice"]["anchor"] is None
    assert now["choice"]["model"] == "OmicsMLM"
    assert now["class"] == "Classifier"


@pytest.mark.parametrize("changes", [{"gone": 1}, {"tuning": "never"}])
def test_hyper_parameters_that_no_version_has_are_refused(classifier, tmp_path, changes):
    classifier.save(tmp_path / "labels")
    file = tmp_path / "labels" / "config.json"
    content = json.loads(file.read_text())
    content["config"] |= changes
    file.write_text(json.dumps(content))
    write_manifest(tmp_path / "labels")
    with refused("load: expected fields of ClassifierConfig, got 'gone'|tuning: expected"):
        Classifier.load(tmp_path / "labels")


def test_hyper_parameters_under_their_former_names_are_read():
    anchored = Classifier.load(FIXTURES / "Classifier_anchored")
    assert anchored.config.linear_models is True
    assert anchored.linear_models is not None
    survival = Survival.load(FIXTURES / "Survival")
    assert survival.config.linear_models is True
    assert survival.config.covariate_regularisation == 0.03


def test_one_that_is_not_trained_or_has_no_object_says_so(model, classifier, tmp_path):
    made = Classifier.from_model(model, "type")
    with refused("save: expected a trained classifier, got one that is not; call train"):
        made.save(tmp_path / "labels")
    assert not (tmp_path / "labels").exists()
    with refused("save: expected a trained survival model, got one that is not; call train"):
        Survival.from_model(model, "time", "died").save(tmp_path / "risk")
    classifier.save(tmp_path / "labels")
    with refused("train: expected a classifier with its object, got one loaded alone; load it with adata="):
        Classifier.load(tmp_path / "labels").train()
    with refused("save: expected a new directory"):
        classifier.save(tmp_path / "labels")
    classifier.save(tmp_path / "labels", overwrite=True)


def test_the_history_is_one_table_per_series(classifier, tmp_path):
    history = classifier.history
    assert set(history) == {"strength", "held_out_loss"}
    for name, table in history.items():
        assert table.columns.tolist() == [name]
        assert table.index.name == "step"
    classifier.save(tmp_path / "labels")
    loaded = Classifier.load(tmp_path / "labels").history
    assert all(loaded[name].equals(table) for name, table in history.items())


def test_a_loaded_one_can_be_registered_with_another_object(classifier, tmp_path):
    classifier.save(tmp_path / "labels")
    other = multiome(30)
    data = patients()[:10].copy()
    loaded = Classifier.load(tmp_path / "labels", data)
    assert loaded.model.adata is data
    assert loaded.is_trained
    assert torch.equal(loaded.module.head.linear.weight, classifier.module.head.linear.weight)
    assert len(loaded.predict()) == 10
    with pytest.raises(ValueError, match="rna"):
        Classifier.load(tmp_path / "labels", other)


@pytest.mark.parametrize("config", [{}, {"tuning": "frozen"}, 3])
def test_hyper_parameters_are_those_of_the_head(model, config):
    with pytest.raises(ValueError, match="^config: expected an ClassifierConfig, got .*; pass ClassifierConfig"):
        Classifier.from_model(model, "type", config=config)
    with pytest.raises(ValueError, match="^config: expected an SurvivalConfig, got .*; pass SurvivalConfig"):
        Survival.from_model(model, "time", "died", config=config)


def test_an_object_that_was_changed_in_place_is_told():
    data = patients()
    own = OmicsMLM(data, SMALL)
    made = Classifier.from_model(own, "type")
    name = next(iter(data.mod))
    data[name].var_names = [f"renamed{j}" for j in range(data[name].n_vars)]
    for ask in (made.train, lambda: Classifier.from_model(own, "type")):
        with pytest.raises(ValueError, match=f"^{name}: expected the features that were registered"):
            ask()


@pytest.mark.parametrize("wrong", [{"max_epochs": "3"}, {"batch_size": 0}, {"epochs": 3}])
def test_arguments_are_looked_at_even_where_nothing_needs_them(model, wrong):
    with pytest.raises(ValueError, match=f"^({next(iter(wrong))}|train): expected .*, got "):
        Classifier.from_model(model, "type").train(**wrong)


class Interrupt(Callback):
    """Ctrl-C in the second step."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step >= 2:
            raise KeyboardInterrupt


INTERRUPTED = {"callbacks": [Interrupt()], "progress_bar": False, "accelerator": "cpu", "batch_size": 8}


@pytest.mark.parametrize(
    ("tuning", "is_trained"),
    [
        ("lora", True),
        ("full", False),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("ia3", True), ("full", True), ("lora", False))),
    ],
)
def test_an_interrupted_classifier_is_as_it_was(model, tmp_path, tuning, is_trained):
    config = ClassifierConfig(tuning=tuning, freeze_initial=tuning == "full")
    made = Classifier.from_model(model, "type", config=config)
    if is_trained:
        made.train(1, progress_bar=False, accelerator="cpu")
    before = {name: value.clone() for name, value in made.module.state_dict().items()}
    noted, history = dict(made.held_out), {name: list(values) for name, values in made._series.items()}
    said = made.predict(soft=True) if is_trained else None
    with pytest.raises(KeyboardInterrupt):
        made.train(2, **INTERRUPTED)
    after = made.module.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(weight.requires_grad for weight in made.module.parameters())
    assert (made.is_trained, made.held_out, made._series) == (is_trained, noted, history)
    if is_trained:
        assert made.predict(soft=True).equals(said)
        made.save(tmp_path / "m")
        assert Classifier.load(tmp_path / "m", model.adata).predict(soft=True).equals(said)
    made.train(1, progress_bar=False, accelerator="cpu")
    assert made.is_trained


@pytest.mark.parametrize("tuning", ["lora", "frozen"])
def test_an_interrupted_survival_model_is_as_it_was(model, tuning):
    config = SurvivalConfig(n_networks=1, n_steps=4, n_components=4, n_pooled_components=4, n_folds=2, tuning=tuning)
    made = Survival.from_model(model, "time", "died", covariate_keys="age", config=config)
    made.train(2, progress_bar=False, accelerator="cpu", batch_size=8)
    said, columns, held_out = made.predict(), deepcopy(made.columns), made.held_out.copy()
    with pytest.raises(KeyboardInterrupt):
        made.train(2, **INTERRUPTED)
    assert made.predict().equals(said)
    assert made.columns == columns
    assert made.held_out.equals(held_out)
    assert made.is_trained


N_KILLS = pytest.param(6), pytest.param(120, marks=pytest.mark.slow)


@pytest.mark.parametrize("n_kills", N_KILLS)
def test_a_save_that_is_killed_leaves_head_and_encoder_of_one_writing(tmp_path, n_kills):
    """A process that saves without end, each time another version, is killed at random points."""
    made, target, rng = Classifier.load(FIXTURES / "Classifier"), tmp_path / "m", np.random.default_rng(0)
    own = [made.module.head.linear.weight, next(made.model.module.parameters())]

    def save(version):
        for weight in own:
            torch.nn.init.constant_(weight, version)
        made.save(target, overwrite=True)

    save(0)
    began = time.monotonic()
    save(0)
    took, versions = time.monotonic() - began, []
    for k in range(n_kills):
        before, child = target.stat().st_ino, os.fork()
        if not child:
            try:
                for version in range(1000 * (k + 1), 2**20):
                    save(version)
            finally:
                os._exit(1)
        give_up = time.monotonic() + 120
        while k % 2 and target.stat().st_ino == before and time.monotonic() < give_up:
            time.sleep(0.001)  # every second one has saved at least once, however busy the machine is
        time.sleep(rng.uniform(0, 3 * took))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "it was still saving"
        read = Classifier.load(target)
        found = {
            float(weight.detach().flatten()[0])
            for weight in (read.module.head.linear.weight, next(read.model.module.parameters()))
        }
        assert len(found) == 1, "head and encoder are of one writing"
        versions.append(found.pop())
    save(1)
    assert len(set(versions)) > 1, "some were killed after a save"
    assert [path.name for path in tmp_path.iterdir()] == ["m"], "nothing is left over"


def test_an_untrained_model_is_told(model, caplog):
    Classifier.from_model(model, "type")
    assert "Classifier: the OmicsMLM is not trained, so that its embedding is that of its start" in caplog.text
    caplog.clear()
    trained = OmicsMLM(patients(), SMALL)
    trained.train(1, progress_bar=False, accelerator="cpu", max_steps=1)
    Survival.from_model(trained, "time", "died")
    assert "not trained" not in caplog.text
