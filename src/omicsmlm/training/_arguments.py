"""Checks of what the user asks of a training, before anything is fitted; what Lightning refuses, in one sentence."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from numbers import Real
from os import PathLike
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from omicsmlm._checks import positive_integer, shortened, value_error

SET_BY_FIT = (
    "enable_checkpointing",
    "max_epochs",
    "max_steps",
    "max_time",
    "min_epochs",
    "min_steps",
    "reload_dataloaders_every_n_epochs",
    "use_distributed_sampler",
    "val_check_interval",
)
"""Options of the Trainer that would cut a training otherwise than in rounds."""
ELSEWHERE = {
    "datamodule": "leave it out: files are opened by omicsmlm.datasets.open_files",
    "datasplitter_kwargs": "pass train_size and batch_size themselves",
    "early_stopping_patience": "set patience in the config",
    "enable_checkpointing": "pass checkpoint_dir to keep checkpoints",
    "epochs": "pass max_epochs",
    "external_indexing": "pass a copy of the observations to train on",
    "gpus": "pass devices",
    "lr": "set learning_rate in the config",
    "n_epochs": "pass max_epochs",
    "n_epochs_kl_warmup": "leave it out: the weight of the KL follows the steps",
    "num_workers": "leave it out: files are read ahead of the steps in a thread",
    "plan_kwargs": "set hyper-parameters of the training in the config",
    "shuffle_set_split": "leave it out: observations are always divided at random",
    "use_gpu": "pass accelerator",
    "val_check_interval": "leave it out: a training is validated after every round of steps",
    "validation_size": "pass train_size; all other observations are for validation",
    "weight_decay": "set it in the config",
}
"""Arguments of other libraries, and what to do here instead."""


def check_trainer_options(options: Mapping[str, Any]) -> None:
    """Check that options of the Trainer are known, not among those that the fit sets, and of the type that it needs.

    Raises
    ------
    ValueError
        If one is not; the message names the argument that does what other libraries call by that name.
    """
    known = set(signature(lightning.Trainer).parameters) - set(SET_BY_FIT)
    for name in options:
        if name in known:
            continue
        remedy = ELSEWHERE.get(name, "see lightning.Trainer for those that are passed on")
        raise value_error("train", "arguments of train() or of lightning.Trainer", f"{name!r}", remedy)
    _check_members("callbacks", options.get("callbacks"), Callback)
    if not isinstance(options.get("logger"), bool):
        _check_members("logger", options.get("logger"), Logger)
    limit = options.get("gradient_clip_val")
    if limit is not None and not (_is_number(limit) and limit >= 0):
        raise value_error(
            "gradient_clip_val", "a number, at least 0", shortened(limit), "leave it out for the family's own"
        )
    if options.get("limit_train_batches") == 0:
        raise value_error("limit_train_batches", "batches to train on", "0", "leave it out to train on all")
    if "accumulate_grad_batches" in options:
        positive_integer("accumulate_grad_batches", options["accumulate_grad_batches"], "leave it out for 1")


def check_device(accelerator: object, devices: object) -> None:
    """Check the types of the device that is asked for; which ones there are, Lightning knows.

    Raises
    ------
    ValueError
        If one is of another type.
    """
    if not isinstance(accelerator, str | Accelerator):
        raise value_error(
            "accelerator", "'auto', 'cpu', 'gpu' or another name", shortened(accelerator), "pass one of these"
        )
    is_list = isinstance(devices, list | tuple) and all(isinstance(device, int) for device in devices)
    is_number = isinstance(devices, int) and not isinstance(devices, bool)
    if not (is_list or is_number or isinstance(devices, str)) or devices in (0, "0", [], ()):
        remedy = "leave it out for one"
        raise value_error("devices", "a number of devices, or a list of them", shortened(devices), remedy)


def check_path(argument: str, path: object) -> None:
    """Check that something is a path.

    Raises
    ------
    ValueError
        If it is of another type, or has a character that no file name has.
    """
    if not isinstance(path, str | PathLike) or not str(path) or "\0" in str(path):
        raise value_error(argument, "a path as text", shortened(path), "pass the name of a directory")


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Turn what Lightning raises while a Trainer is made into an error of ours."""
    try:
        yield
    except (
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        MisconfigurationException,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise _refused(error) from error


@contextmanager
def configured() -> Iterator[None]:
    """Turn what Lightning raises of a wrong setting, once it has met the loaders, into an error of ours."""
    try:
        yield
    except MisconfigurationException as error:
        raise _refused(error) from error


def _refused(error: Exception) -> ValueError:
    found = " ".join(str(error).split()).rstrip(".;") or type(error).__name__
    expected = "accelerator, devices, precision and other arguments that lightning.Trainer accepts"
    return value_error("train", expected, f"{found[:300]!r}", "correct that argument, or leave it out")


def _check_members(argument: str, value: object, wanted: type) -> None:
    """Check that something is one or several objects of a class, or None."""
    members = (
        [] if value is None else [value] if isinstance(value, wanted) or not isinstance(value, Iterable) else [*value]
    )
    for member in members:
        if not isinstance(member, wanted):
            remedy = "see lightning.Trainer"
            raise value_error(argument, f"{wanted.__name__} objects of Lightning", shortened(member), remedy)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def working_directory() -> str:
    """Return where loggers write if they are not told; another place if the directory of the process was removed."""
    try:
        return os.getcwd()
    except OSError:
        return tempfile.gettempdir()
