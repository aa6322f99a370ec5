"""The one fit: Lightning's loop around the plan."""

import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader

from omicsmlm._checks import mistake
from omicsmlm._types import Parts

from ._callbacks import Bar, History, KeptWeights
from ._plan import MaskedPlan, Optimisation


@dataclass(frozen=True)
class FitOptions:
    """How a training runs; see :meth:`omicsmlm.models.OmicsModel.train`."""

    max_epochs: int
    accelerator: str = "auto"
    devices: int | list[int] | str = "auto"
    early_stopping: bool = True
    patience: int = 10
    checkpoint_dir: str | Path | None = None
    resume_from: str | Path | None = None
    progress_bar: bool = True
    seed: int = 0


def fit(
    parts: Parts,
    optimisation: Optimisation,
    train_loader: DataLoader,
    validation_loader: DataLoader | None,
    options: FitOptions,
    trainer_options: Mapping[str, Any],
    census_loader: DataLoader | None = None,
) -> dict[str, list[float]]:
    """Train the module of the parts in place and leave it, with its best weights, in evaluation mode.

    The global random state of the caller is left as it was.

    Parameters
    ----------
    parts, optimisation
        What is trained, and how.
    train_loader, validation_loader
        Minibatches; without validation there is no early stopping, and the last average of the weights is kept.
    options
        How the training runs.
    trainer_options
        Passed on to :class:`lightning.Trainer`.
    census_loader
        All training rows, in order, for parts with a census.

    Returns
    -------
    dict
        Mean of every logged value per epoch.
    """
    history = History()
    callbacks = _callbacks(options, optimisation.averaging, validation_loader is not None)
    settings: dict[str, Any] = {
        "accelerator": options.accelerator,
        "devices": 1 if options.devices == "auto" else options.devices,
        "max_epochs": options.max_epochs,
        "gradient_clip_val": optimisation.gradient_limit,
        "precision": "bf16-mixed" if _on_gpu(options.accelerator) else "32-true",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": options.checkpoint_dir is not None,
        "logger": False,
        "num_sanity_val_steps": 0,
        **trainer_options,
        "callbacks": [history, *callbacks, *_listed(trainer_options.get("callbacks"))],
    }
    plan = MaskedPlan(parts, optimisation, options.seed, census_loader)
    with torch.random.fork_rng(), _quiet():
        trainer = lightning.Trainer(**settings)
        start = (
            None if options.resume_from is None else _checkpoint(Path(options.resume_from), plan, trainer.max_epochs)
        )
        try:
            trainer.fit(plan, train_loader, validation_loader, ckpt_path=start, weights_only=True)
        except SystemExit as stop:  # Lightning's answer to Ctrl-C; whether that ends the process is up to the caller
            raise (stop.__context__ if isinstance(stop.__context__, KeyboardInterrupt) else stop) from None
        finally:
            parts.module.eval()
    return history.values


def _listed(callbacks: Callback | Iterable[Callback] | None) -> list[Callback]:
    if callbacks is None:
        return []
    return [callbacks] if isinstance(callbacks, Callback) else list(callbacks)


def _callbacks(options: FitOptions, averaging: float, validated: bool) -> list[Callback]:
    callbacks: list[Callback] = [KeptWeights(averaging)]
    if options.progress_bar:
        callbacks.append(Bar())
    if validated and options.early_stopping:
        callbacks.append(EarlyStopping("validation_loss", patience=options.patience))
    if options.checkpoint_dir is not None:
        _check_writable(Path(options.checkpoint_dir))
        callbacks.append(ModelCheckpoint(options.checkpoint_dir, filename="last", enable_version_counter=False))
    return callbacks


def _check_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise mistake("checkpoint_dir", "a directory that can be written", str(error), "pass another path") from error


def _checkpoint(path: Path, plan: MaskedPlan, max_epochs: int | None) -> str:
    """Give the file of a checkpoint that this plan can go on from."""
    file = path / "last.ckpt" if path.is_dir() else path
    wanted = "a checkpoint that train(checkpoint_dir=…) wrote"
    if not file.is_file():
        raise mistake("resume_from", wanted, f"no file {str(file)!r}", "check the path")
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
        shapes, n_epochs = {name: value.shape for name, value in saved["state_dict"].items()}, saved["epoch"] + 1
    except (OSError, EOFError, KeyError, TypeError, RuntimeError, UnpicklingError) as error:
        raise mistake("resume_from", wanted, f"{str(file)!r}, which cannot be read", "begin anew") from error
    if shapes != {name: value.shape for name, value in plan.state_dict().items()}:
        found = f"{str(file)!r} with other weights"
        raise mistake("resume_from", "a checkpoint of this model", found, "make the model as it was made then")
    if max_epochs is not None and max_epochs < n_epochs:
        wanted = f"at least the {n_epochs} of the checkpoint"
        raise mistake("max_epochs", wanted, str(max_epochs), "pass the number of all epochs")
    return str(file)


def _on_gpu(accelerator: str) -> bool:
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Lightning says of devices and loaders; errors and our own words still come through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
