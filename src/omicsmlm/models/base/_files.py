"""A saved model: four plain files, none of which can run code when it is read."""

import hashlib
import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from packaging.version import Version
from safetensors.torch import load_file, save_file

from omicsmlm._checks import named, value_error
from omicsmlm.training import is_first_rank

WEIGHTS, CONFIG, REGISTRY, HISTORY = "weights.safetensors", "config.json", "registry.json", "history.json"
FILES = (WEIGHTS, CONFIG, REGISTRY, HISTORY)


class Saved(NamedTuple):
    """What the files of a model hold."""

    weights: dict[str, torch.Tensor]
    config: dict[str, Any]
    """Class, hyper-parameters (``config``), those derived from the data (``choice``), state of the training."""
    registry: dict[str, Any]
    history: dict[str, list[float]]


def write_model(directory: str | Path, saved: Saved, *, overwrite: bool) -> None:
    """Write the files of a model, whole or not at all.

    Raises
    ------
    ValueError
        If the directory exists and is not to be overwritten, is not a model's, or cannot be written.
    """
    if not is_first_rank():
        return  # the processes that trained a model have the same; two would write over one another
    directory = Path(directory)
    try:
        _check_free(directory, overwrite)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as name:
            _write_files(Path(name), saved)
            directory.mkdir(exist_ok=True)
            for file in FILES:
                shutil.move(Path(name) / file, directory / file)
    except OSError as error:
        raise value_error("save", "a directory that can be written", str(error), "pass another path") from error


FORMER_WEIGHTS = {
    "share": "fraction",
    "share_g": "fraction_g",
    "memory_md": "reference_md",
    "hidden_feature": "mask_feature",
}
"""Names of weights in models saved by 0.1, and what they are called now."""


def _check_free(directory: Path, overwrite: bool) -> None:
    """Check that a directory is new, or holds a model that may be replaced."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise value_error("save", "a directory", f"{str(directory)!r}, which is a file", "pass another path")
    if not overwrite:
        raise value_error(
            "save", "a new directory", f"{str(directory)!r}, which exists", "pass overwrite=True or another"
        )
    if any(directory.iterdir()) and not (directory / CONFIG).exists():
        found = f"{str(directory)!r} with other files"
        raise value_error("save", "a directory that holds a model", found, "pass another directory")


def _write_files(directory: Path, saved: Saved) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in saved.weights.items()}, directory / WEIGHTS)
    _write_json(directory / REGISTRY, saved.registry)
    _write_json(directory / HISTORY, saved.history)
    digests = {file: _digest(directory / file) for file in (WEIGHTS, REGISTRY, HISTORY)}
    _write_json(directory / CONFIG, {"version": version("omicsmlm"), "sha256": digests, **saved.config})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_model(directory: str | Path, class_name: str) -> Saved:
    """Read the files of a model and check that they are whole and meant for this class and version.

    Raises
    ------
    ValueError
        If files are missing, unreadable or changed, or belong to another class or to a newer version.
    """
    directory = Path(directory)
    config = _checked_files(directory, class_name)
    try:
        weights = load_file(directory / WEIGHTS)
    except safetensors.SafetensorError as error:
        raise value_error("load", "a readable tensor file", str(error), "save the model again") from error
    weights = {_current_name(name): value for name, value in weights.items()}
    return Saved(weights, config, _read_json(directory / REGISTRY), _read_json(directory / HISTORY))


def _checked_files(directory: Path, class_name: str | None) -> dict[str, Any]:
    """Return the content of the config file of a model, once its files are known to be whole and of its class, if one is named."""
    missing = [file for file in FILES if not (directory / file).is_file()]
    if missing:
        raise value_error(
            f"load {str(directory)!r}",
            f"the files {named(FILES)}",
            f"a directory without {named(missing)}",
            "check the path, or save the model again",
        )
    config = _read_json(directory / CONFIG)
    _check_config(config, class_name)
    for file, digest in config["sha256"].items():
        if _digest(directory / file) != digest:
            raise value_error(
                "load", f"the {file} that was saved", "a file that has been changed", "save the model again"
            )
    return config


def read_registry(directory: str | Path) -> dict[str, Any]:
    """Return the registry of a saved model, of any class.

    Raises
    ------
    ValueError
        As :func:`read_model` does.
    """
    directory = Path(directory)
    _checked_files(directory, None)
    return _read_json(directory / REGISTRY)


def _current_name(name: str) -> str:
    """Return what a weight is called now, whatever it was when it was saved.

    Examples
    --------
    >>> _current_name("scalings.in_order.0.share")
    'scalings.in_order.0.fraction'
    """
    *path, last = name.split(".")
    return ".".join([*path, FORMER_WEIGHTS.get(last, last)])


def _check_config(config: dict[str, Any], class_name: str | None) -> None:
    """Check that a file of a model is whole, of this class, and of this version or an older one."""
    absent = {"class", "version", "sha256", "config", "choice"} - set(config)
    if absent:
        raise value_error(
            f"load {CONFIG}", "a whole file", f"one without {named(sorted(absent))}", "save the model again"
        )
    if class_name is not None and config["class"] != class_name:
        raise value_error("load", f"a saved {class_name}", f"a {config['class']}", "load it with its own class")
    ours, theirs = Version(version("omicsmlm")), Version(config["version"])
    if theirs > ours:
        raise value_error("load", f"a model of omicsmlm {ours} or older", f"one of {theirs}", "update omicsmlm")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise value_error(f"load {path.name}", "a whole JSON file", str(error), "save the model again") from error
    if not isinstance(content, dict):
        raise value_error(f"load {path.name}", "a JSON object", type(content).__name__, "save the model again")
    return content


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_under(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the part of a state whose names begin with a prefix, without it.

    Examples
    --------
    >>> state_under({"a.x": torch.zeros(1), "b.x": torch.ones(1)}, "b.")
    {'x': tensor([1.])}
    """
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
