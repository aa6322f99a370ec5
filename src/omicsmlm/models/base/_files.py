"""A saved model: plain files of one writing, none of which can run code when it is read, and what may be believed of them."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from packaging.version import InvalidVersion, Version
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save_file

from omicsmlm._checks import check_switch, named, value_error
from omicsmlm._former_names import under_current_names
from omicsmlm._manifest import (
    MANIFEST,
    MOST_BYTES,
    has_manifest,
    parse_json,
    read_bounded,
    read_directory,
    write_manifest,
)
from omicsmlm._writing import check_directory, whole, written_directory
from omicsmlm.training import is_first_rank

WEIGHTS, CONFIG, REGISTRY, HISTORY = "weights.safetensors", "config.json", "registry.json", "history.json"
FILES = (WEIGHTS, CONFIG, REGISTRY, HISTORY)
AGAIN = "save the model again"


class Saved(NamedTuple):
    """What the files of a model hold."""

    weights: dict[str, torch.Tensor]
    config: dict[str, Any]
    """Class, hyper-parameters (``config``), those derived from the data (``choice``), state of the training."""
    registry: dict[str, Any]
    history: dict[str, list[float]]


# ---- writing ------------------------------------------------------------------------------------------------------------


def write_model(
    directory: str | Path, saved: Saved, *, overwrite: bool, inner: Mapping[str, Saved] | None = None
) -> None:
    """Write the files of a model, whole or not at all: a process that is killed meanwhile leaves what was there.

    Parameters
    ----------
    directory
        Where; its parents are made.
    saved
        The model.
    overwrite
        Whether a model that is there may be replaced.
    inner
        Models that this one is made of, by the name of their folder in the directory.

    Raises
    ------
    ValueError
        If the directory exists and is not to be overwritten, is not a model's, or cannot be written.
    """
    check_switch("overwrite", overwrite)
    if not is_first_rank():
        return  # the processes that trained a model have the same; two would write over one another
    inner, ours = inner or {}, (MANIFEST, *FILES)
    check_directory(directory, overwrite=overwrite, ours=ours)  # a folder with the name of an inner one makes no model
    with written_directory(
        directory, overwrite=overwrite, ours=(*ours, *inner), finish=write_manifest, failures=(SafetensorError,)
    ) as part:
        _write_files(part, saved)
        for name, own in inner.items():
            (part / name).mkdir()
            _write_files(part / name, own)
            write_manifest(part / name)  # so that it is also a saved model by itself


def _write_files(directory: Path, saved: Saved) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in saved.weights.items()}, directory / WEIGHTS)
    _write_json(directory / REGISTRY, saved.registry)
    _write_json(directory / HISTORY, saved.history)
    _write_json(directory / CONFIG, {"version": version("omicsmlm"), **saved.config})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


# ---- reading ------------------------------------------------------------------------------------------------------------


def read_model(directory: str | Path, class_name: str) -> Saved:
    """Return what the files of a model hold, once they are known to be whole and meant for this class and version.

    Raises
    ------
    ValueError
        If files are missing, unreadable or changed, or belong to another class or to a newer version.
    """
    return parse_model(read_files(directory), class_name)


def read_files(directory: str | Path, inner: str | None = None) -> dict[str, bytes]:
    """Return the content of the files of a model, and of one that it is made of, all of one writing.

    Parameters
    ----------
    directory
        The directory.
    inner
        Folder of the model within; the names of its files begin with it and ``/``.

    Raises
    ------
    ValueError
        If files are missing, unreadable or changed.
    """
    names = [*FILES, *(f"{inner}/{file}" for file in FILES if inner is not None)]
    try:
        return read_directory(directory, names)
    except ValueError:
        missing = [name for name in names if not os.path.isfile(whole(directory) / name)]
        is_closed = os.path.exists(directory) and not os.access(whole(directory), os.R_OK | os.X_OK)
        if missing and not is_closed:
            found = f"a directory without {named(missing)}"
            remedy = f"check the path, or {AGAIN}"
            raise value_error(f"load {str(directory)!r}", f"the files {named(names)}", found, remedy) from None
        if is_closed or has_manifest(directory):
            raise
    files = _files_of_old(whole(directory))
    if inner is not None:
        files |= {f"{inner}/{name}": content for name, content in _files_of_old(whole(directory) / inner).items()}
    return files


def _files_of_old(directory: Path) -> dict[str, bytes]:
    """Return the files of a model of omicsmlm 0.1, whose config has the hash of each of the others."""
    files = {name: read_bounded(directory / name, f"load {name}", MOST_BYTES) for name in FILES}
    digests = parse_json(files[CONFIG], f"load {CONFIG}").get("sha256")
    others = [name for name in FILES if name != CONFIG]
    if not isinstance(digests, dict) or set(digests) != set(others):
        found = "a directory without it, or whose config.json lost its hashes"
        raise value_error("load", f"the {MANIFEST} that every model has", found, AGAIN)
    for name in others:
        if sha256(files[name]).hexdigest() != digests[name]:
            raise value_error("load", f"the {name} that was saved", "a file that has been changed", AGAIN)
    return files


def parse_model(files: Mapping[str, bytes], class_name: str | None) -> Saved:
    """Return what the files of a model of a class, or of any, hold.

    Raises
    ------
    ValueError
        If that is no model of this class and of this or an older version, or a weight is NaN.
    """
    config = parse_json(files[CONFIG], f"load {CONFIG}")
    _check_config(config, class_name)
    try:
        weights = tensors_of(files[WEIGHTS])
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        found = " ".join(str(error).split())
        raise value_error("load", "a readable tensor file", found, AGAIN) from error
    nan = [name for name, value in weights.items() if value.is_floating_point() and bool(value.isnan().any())]
    if nan:
        remedy = "train it again, with a lower learning rate, and save that"
        raise value_error(f"load {WEIGHTS}", "weights that are numbers", f"NaN in {named(nan, 2)}", remedy)
    registry, history = (parse_json(files[name], f"load {name}") for name in (REGISTRY, HISTORY))
    return Saved(under_current_names(weights), config, registry, history)


def read_registry(directory: str | Path) -> dict[str, Any]:
    """Return the registry of a saved model, of any class.

    Raises
    ------
    ValueError
        As :func:`read_model` does.
    """
    return parse_model(read_files(directory), None).registry


def _check_config(config: dict[str, Any], class_name: str | None) -> None:
    """Check that a file of a model is whole, of this class, and of this version or an older one."""
    absent = {"class", "version", "config", "choice"} - set(config)
    if absent:
        raise value_error(f"load {CONFIG}", "a whole file", f"one without {named(sorted(absent))}", AGAIN)
    if class_name is not None and config["class"] != class_name:
        raise value_error("load", f"a saved {class_name}", f"a {config['class']}", "load it with its own class")
    ours, theirs = Version(version("omicsmlm")), None
    with suppress(InvalidVersion, TypeError):
        theirs = Version(config["version"])
    if theirs is None or theirs > ours:
        found = f"one of {str(config['version'])[:40]}"
        raise value_error("load", f"a model of omicsmlm {ours} or older", found, "update omicsmlm")


def state_under(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the part of a state whose names begin with a prefix, without it.

    Examples
    --------
    >>> state_under({"a.x": torch.zeros(1), "b.x": torch.ones(1)}, "b.")
    {'x': tensor([1.])}
    """
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
