"""What the user asks of a training is looked at before anything is fitted; what Lightning refuses is one sentence."""

import os
import tempfile

import pytest
import torch

from omicsmlm import OmicsMLM
from omicsmlm.training._arguments import ELSEWHERE, check_trainer_options, working_directory
from tests.objects import QUIET, SMALL, rna


@pytest.fixture(scope="module")
def model():
    """A model that every wrong argument must leave as it is."""
    return OmicsMLM(rna(), SMALL)


WRONG = [
    ("max_epochs", "3", "max_epochs: expected a whole number, at least 1, got '3'"),
    ("max_epochs", 1.5, "max_epochs: expected a whole number, at least 1, got 1.5"),
    ("max_epochs", 2**70, "max_epochs: expected at most 2,147,483,647, got"),
    ("max_steps", "3", "max_steps: expected a whole number, at least 1, got '3'"),
    ("max_steps", 0, "max_steps: expected at least 1, got 0"),
    ("batch_size", [4], r"batch_size: expected a whole number, at least 1, got \[4\]"),
    ("batch_size", int, "batch_size: expected a whole number, at least 1, got <class 'int'>"),
    ("train_size", "0.9", "train_size: expected a fraction above 0 and at most 1, got '0.9'"),
    ("train_size", None, "train_size: expected a fraction above 0 and at most 1, got None"),
    ("train_size", 1.5, "train_size: expected a fraction above 0 and at most 1, got 1.5"),
    ("key_added", 1, "key_added: expected a key of .obsm as text, without '/', got 1"),
    ("key_added", ("a", "b"), "key_added: expected a key of .obsm as text"),
    ("key_added", "", "key_added: expected a key of .obsm as text"),
    ("key_added", "a/b", "key_added: expected a key of .obsm as text"),
    ("accelerator", "gpu9", "train: expected accelerator, devices, precision .* accepts, got .*gpu9"),
    ("accelerator", 1, "accelerator: expected 'auto', 'cpu', 'gpu' or another name, got 1"),
    ("accelerator", None, "accelerator: expected 'auto', 'cpu', 'gpu' or another name, got None"),
    ("devices", 0, "devices: expected a number of devices, or a list of them, got 0"),
    ("devices", [], r"devices: expected a number of devices, or a list of them, got \[\]"),
    ("devices", 1.5, "devices: expected a number of devices, or a list of them, got 1.5"),
    ("devices", "two", "train: expected accelerator, devices, .* accepts, got"),
    ("devices", -5, "train: expected accelerator, devices, .* accepts, got"),
    ("precision", 32, "precision: expected one of '32-true', 'bf16-mixed', '16-mixed', got 32"),
    ("precision", "int3", "precision: expected one of '32-true', 'bf16-mixed', '16-mixed', got 'int3'"),
    ("strategy", "nothing", "train: expected accelerator, devices, .* accepts, got .*nothing"),
    ("limit_val_batches", -1, "train: expected accelerator, devices, .* accepts, got"),
    ("limit_val_batches", "all", "train: expected accelerator, devices, .* accepts, got"),
    ("limit_train_batches", 0, "limit_train_batches: expected batches to train on, got 0"),
    ("gradient_clip_val", "x", "gradient_clip_val: expected a number, at least 0, got 'x'"),
    ("gradient_clip_val", -1, "gradient_clip_val: expected a number, at least 0, got -1"),
    ("accumulate_grad_batches", 0, "accumulate_grad_batches: expected at least 1, got 0"),
    ("early_stopping", "yes", "early_stopping: expected True or False, got 'yes'"),
    ("callbacks", 3, "callbacks: expected Callback objects of Lightning, got 3"),
    ("callbacks", [3], "callbacks: expected Callback objects of Lightning, got 3"),
    ("logger", 3, "logger: expected Logger objects of Lightning, got 3"),
    ("checkpoint_dir", 1, "checkpoint_dir: expected a path as text, got 1"),
    ("checkpoint_dir", "a\0b", "checkpoint_dir: expected a path as text"),
    ("resume_from", 1, "resume_from: expected a path as text, got 1"),
    ("max_epoch", 3, r"train: expected arguments of train\(\) or of lightning.Trainer, got 'max_epoch'"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG, ids=[f"{name}={value!r}"[:40] for name, value, _ in WRONG])
def test_a_wrong_argument_is_one_sentence(model, name, value, said):
    before = {key: tensor.clone() for key, tensor in model.module.state_dict().items()}
    with pytest.raises(ValueError, match=f"^{said}") as caught:
        model.train(**{"max_epochs": 1, **QUIET, name: value})
    assert "\n" not in str(caught.value)
    assert not model.is_trained_
    assert dict(model.adata.obsm) == {}
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.module.state_dict().items())


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_arguments_of_other_libraries_are_named_as_ours(name):
    with pytest.raises(ValueError, match=rf"^train: expected arguments of train\(\) .*, got '{name}'; ") as caught:
        check_trainer_options({name: 1})
    assert str(caught.value).endswith(f"; {ELSEWHERE[name]}.")


@pytest.mark.parametrize(
    "right",
    [{"max_steps": 1}, {"max_epochs": 2.0}, {"batch_size": 16.0}, {"limit_val_batches": 0}, {"train_size": 1}],
    ids=str,
)
def test_what_is_unusual_and_right_trains(right):
    model = OmicsMLM(rna(), SMALL)
    model.train(**{"max_epochs": 1, **QUIET, **right})
    assert model.is_trained_


def test_a_working_directory_that_was_removed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert working_directory() == os.getcwd()
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert working_directory() == tempfile.gettempdir()
