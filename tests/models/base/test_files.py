"""The files of a saved model: plain, whole, and the same when read."""

import json
from importlib.metadata import version

import pytest
import torch

from omicsmlm.models.base._files import Saved, read_model, write_model

SAVED = Saved(
    weights={"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor([1, 2])},
    config={"class": "Toy", "config": {"seed": 3}, "choice": {"n": 2}},
    registry={"fields": [None, "é"]},
    history={"train_loss": [1.5, 1.25]},
)


def test_what_is_written_is_read(tmp_path):
    write_model(tmp_path / "deep" / "down", SAVED, overwrite=False)
    read = read_model(tmp_path / "deep" / "down", "Toy")
    assert torch.equal(read.weights["a"], SAVED.weights["a"])
    assert torch.equal(read.weights["b"], SAVED.weights["b"])
    assert read.registry == SAVED.registry
    assert read.history == SAVED.history
    assert {key: read.config[key] for key in SAVED.config} == SAVED.config
    assert read.config["version"] == version("omicsmlm")


def test_the_files_are_tensors_and_json(tmp_path):
    write_model(tmp_path / "m", SAVED, overwrite=False)
    names = sorted(path.name for path in (tmp_path / "m").iterdir())
    assert names == ["config.json", "history.json", "manifest.json", "registry.json", "weights.safetensors"]
    for name in names[:4]:
        json.loads((tmp_path / "m" / name).read_text(encoding="utf-8"))
    assert [path.name for path in tmp_path.iterdir()] == ["m"], "nothing temporary is left"


def test_an_empty_directory_is_filled_when_asked(tmp_path):
    write_model(tmp_path, SAVED, overwrite=True)
    assert read_model(tmp_path, "Toy").history == SAVED.history


def test_a_failed_save_leaves_the_old_model(tmp_path, monkeypatch):
    write_model(tmp_path / "m", SAVED, overwrite=False)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("omicsmlm.models.base._files.save_file", full)
    with pytest.raises(ValueError, match="No space left"):
        write_model(tmp_path / "m", SAVED._replace(history={}), overwrite=True)
    assert read_model(tmp_path / "m", "Toy").history == SAVED.history
