"""The files of a saved model: plain, whole, and the same when read."""

import hashlib
import json
import os
import shutil
from importlib.metadata import version

import numpy as np
import pytest
import torch

from omicsmlm._manifest import MANIFEST
from omicsmlm.models.base._files import (
    Saved,
    parse_model,
    read_files,
    read_model,
    read_registry,
    state_under,
    write_model,
)

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


# ---- what may have become of the files ------------------------------------------------------------------------------------

N_FLIPS = 108


def test_every_bit_that_flips_is_told(tmp_path):
    write_model(tmp_path / "m", SAVED, overwrite=False, inner={"model": SAVED})
    files = sorted(file for file in (tmp_path / "m").rglob("*") if file.is_file())
    rng, told = np.random.default_rng(0), 0
    read_files(tmp_path / "m", "model")
    for k in range(N_FLIPS):
        file = files[k % len(files)]
        whole = file.read_bytes()
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        file.write_bytes(content)
        is_read = (
            (tmp_path / "m" / "model", None)
            if file.name == MANIFEST and "model" in file.parts
            else (tmp_path / "m", "model")
        )
        with pytest.raises(ValueError, match=r"^load.*: expected .*, got .*; .*\.$"):
            read_files(*is_read)
        told += 1
        file.write_bytes(whole)
    read_files(tmp_path / "m", "model")
    assert told == N_FLIPS


def test_a_head_and_its_encoder_are_of_one_writing(tmp_path):
    first, second = SAVED, SAVED._replace(weights={"a": torch.ones(2)})
    write_model(tmp_path / "m", first, overwrite=False, inner={"model": first})
    write_model(tmp_path / "n", second, overwrite=False, inner={"model": second})
    assert read_model(tmp_path / "m" / "model", "Toy").history == SAVED.history, "it is a model by itself, too"
    shutil.rmtree(tmp_path / "m" / "model")
    shutil.copytree(tmp_path / "n" / "model", tmp_path / "m" / "model")
    with pytest.raises(ValueError, match="^load: expected the model/manifest.json that was saved, got a file that has"):
        read_files(tmp_path / "m", "model")


def test_a_folder_of_that_name_makes_no_model(tmp_path):
    (tmp_path / "project" / "model").mkdir(parents=True)
    (tmp_path / "project" / "model" / "thesis").touch()
    with pytest.raises(ValueError, match="^save: expected a directory that holds a model, got .* with other files"):
        write_model(tmp_path / "project", SAVED, overwrite=True, inner={"model": SAVED})
    assert (tmp_path / "project" / "model" / "thesis").exists()


def test_weights_that_are_no_numbers_are_told(tmp_path):
    bad = SAVED._replace(weights={"a.b": torch.tensor([1.0, torch.nan])})
    write_model(tmp_path / "m", bad, overwrite=False)
    with pytest.raises(
        ValueError, match="^load weights.safetensors: expected weights that are numbers, got NaN in 'a.b'"
    ):
        read_model(tmp_path / "m", "Toy")


def of_old(folder):
    """A model as omicsmlm 0.1 saved it."""
    write_model(folder, SAVED, overwrite=False)
    (folder / MANIFEST).unlink()
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    del digests["config.json"]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "sha256": digests}))
    return digests


def test_models_without_a_manifest_are_read_as_they_were_checked(tmp_path):
    digests = of_old(tmp_path / "m")
    assert read_model(tmp_path / "m", "Toy").history == SAVED.history
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    others = ({}, {"/dev/zero": "x"}, {**digests, "../m/config.json": "x"}, [], None, {"weights.safetensors": "x"})
    for named in others:
        (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "sha256": named}))
        with pytest.raises(
            ValueError, match="^load: expected the manifest.json that every model has, got a directory without"
        ):
            read_model(tmp_path / "m", "Toy")
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "sha256": {**digests, "history.json": "x"}}))
    with pytest.raises(ValueError, match="^load: expected the history.json that was saved"):
        read_model(tmp_path / "m", "Toy")


def test_a_pipe_is_not_waited_for(tmp_path):
    write_model(tmp_path / "m", SAVED, overwrite=False)
    (tmp_path / "m" / "history.json").unlink()
    os.mkfifo(tmp_path / "m" / "history.json")
    with pytest.raises(ValueError, match="^load .*: expected the files .*, got a directory without 'history.json'"):
        read_model(tmp_path / "m", "Toy")


# ---- what a file may say ------------------------------------------------------------------------------------------------


def files_of(tmp_path, **config):
    """Files of a model whose config says something else."""
    write_model(tmp_path / "m", SAVED, overwrite=True)
    files = dict(read_files(tmp_path / "m"))
    said = json.loads(files["config.json"])
    said |= config
    files["config.json"] = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
    return files


def test_what_a_config_says_is_checked(tmp_path):
    assert parse_model(files_of(tmp_path), "Toy").history == SAVED.history
    assert parse_model(files_of(tmp_path), None).history == SAVED.history
    assert parse_model(files_of(tmp_path, version="0.0.1"), "Toy").registry == SAVED.registry
    with pytest.raises(
        ValueError, match="^load config.json: expected a whole file, got one without 'choice', 'config'"
    ):
        parse_model(files_of(tmp_path, config=None, choice=None), "Toy")
    with pytest.raises(ValueError, match="^load: expected a saved Other, got a Toy; load it with its own class"):
        parse_model(files_of(tmp_path), "Other")
    for theirs in ("999.1", "no version", 7):
        with pytest.raises(
            ValueError, match=f"^load: expected a model of omicsmlm .* or older, got one of {theirs}; update"
        ):
            parse_model(files_of(tmp_path, version=theirs), "Toy")


def test_weights_that_cannot_be_read_get_one_sentence(tmp_path):
    files = files_of(tmp_path) | {"weights.safetensors": b"nothing of the kind"}
    with pytest.raises(ValueError, match="^load: expected a readable tensor file, got "):
        parse_model(files, "Toy")


def test_the_registry_is_read_by_itself(tmp_path):
    write_model(tmp_path / "m", SAVED, overwrite=False)
    assert read_registry(tmp_path / "m") == SAVED.registry


def test_only_the_first_rank_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("omicsmlm.models.base._files.is_first_rank", lambda: False)
    write_model(tmp_path / "m", SAVED, overwrite=False)
    assert not (tmp_path / "m").exists()


def test_states_and_weights_of_other_names():
    state = {"a.x": torch.zeros(1), "b.x": torch.ones(1), "b.y.z": torch.ones(2)}
    assert list(state_under(state, "b.")) == ["x", "y.z"]
    assert state_under(state, "c.") == {}
