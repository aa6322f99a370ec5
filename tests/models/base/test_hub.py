import os
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from omicsmlm import Classifier, OmicsMLM
from tests.fixtures.make import FIXTURES, OBJECTS, says
from tests.objects import SMALL
from tests.test_bad_input import refused

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model():
    return OmicsMLM.load(FIXTURES / "OmicsMLM", OBJECTS["OmicsMLM"]())


def test_a_folder_holds_the_model_and_its_card(model, tmp_path):
    metrics = pd.DataFrame({"k-NN": [0.92, 0.9], "set": ["a", "b"]}, index=["OmicsMLM", "PCA"])
    model.save_to_hub(tmp_path / "shared", description="Cells of **two** kinds.", license="mit", metrics=metrics)
    found = OmicsMLM.from_hub(tmp_path / "shared", OBJECTS["OmicsMLM"]())
    np.testing.assert_array_equal(says(found), says(model))
    card = (tmp_path / "shared" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "mit"
    assert head["library_name"] == "omicsmlm"
    assert "omicsmlm" in head["tags"]
    for line in (
        "Cells of **two** kinds.",
        "| OmicsMLM | 0.920 | a |",
        "| PCA | 0.900 | b |",
        *repr(model).splitlines(),
    ):
        assert line in card.splitlines()
    last = float(model.history["train_loss"].iloc[-1, 0])
    assert f"| train_loss | {len(model.history['train_loss'])} | {last:.4g} |" in card
    assert not list((tmp_path / "shared").rglob("*.h5*")), "no observations are shared"


def test_a_folder_is_not_overwritten_unasked(model, tmp_path):
    model.save_to_hub(tmp_path / "shared")
    with refused("^save: expected a new directory, got "):
        model.save_to_hub(tmp_path / "shared")
    model.save_to_hub(tmp_path / "shared", description="anew", overwrite=True)
    assert "anew" in (tmp_path / "shared" / "README.md").read_text()


def test_a_head_is_shared_alike(tmp_path):
    data = OBJECTS["Classifier"]()
    head = Classifier.load(FIXTURES / "Classifier", data)
    head.save_to_hub(tmp_path / "shared")
    assert Classifier.from_hub(tmp_path / "shared", data).predict().equals(head.predict())
    assert "omicsmlm.Classifier.from_hub(" in (tmp_path / "shared" / "README.md").read_text()


def test_a_card_without_what_was_not_given(model):
    card = model.model_card()
    assert "No description was given." in card
    assert "license: unknown" in card
    assert "None were given." in card
    assert "Not trained" in OmicsMLM(OBJECTS["OmicsMLM"](), SMALL).model_card()


@pytest.mark.parametrize("name", ["model", "a/b/c", "", "../x/y", 3])
def test_what_is_no_name_of_a_repository(model, name):
    with refused(
        r'^repository: expected the name of a repository, got .*; pass "owner/name", or pathlib.Path\(folder\)'
    ):
        model.save_to_hub(name)
    with refused("^repository: expected the name of a repository"):
        OmicsMLM.from_hub(name)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """The hub's library without a network, with an empty cache of its own."""
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_repository_that_cannot_be_reached_is_one_sentence(model, offline):
    with refused(
        "^repository: expected a repository 'nobody/nothing' that can be used, got .*; check the name, your network"
    ):
        OmicsMLM.from_hub("nobody/nothing")
    with refused("^repository: expected a repository 'nobody/nothing' that can be used, got "):
        model.save_to_hub("nobody/nothing")


def test_what_the_library_has_fetched_is_opened(model, offline, tmp_path):
    """Its cache holds links to files by their hashes, which lead out of the folder of the model."""
    model.save_to_hub(tmp_path / "shared")
    repository = offline / "models--us--cells"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for i, file in enumerate(sorted(path for path in (tmp_path / "shared").rglob("*") if path.is_file())):
        blob = repository / "blobs" / f"blob{i}"
        link = snapshot / file.relative_to(tmp_path / "shared")
        blob.parent.mkdir(exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    for revision in (None, COMMIT):
        found = OmicsMLM.from_hub("us/cells", OBJECTS["OmicsMLM"](), revision=revision)
        np.testing.assert_array_equal(says(found), says(model))
