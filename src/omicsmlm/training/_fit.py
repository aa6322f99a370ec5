"""The one fit: Lightning's loop around the plan."""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping

from omicsmlm._checks import check_switch, named, value_error
from omicsmlm._former_names import completed
from omicsmlm._random_state import own_random_state
from omicsmlm._types import Loader, Parts
from omicsmlm._writing import absolute

from ._arguments import (
    check_device,
    check_path,
    check_trainer_options,
    configured,
    in_one_sentence,
    working_directory,
)
from ._callbacks import Bar, History, KeptWeights, LastCheckpoint
from ._divergence import Divergence
from ._optimisation import Optimisation
from ._plan import Loaders, MaskedPlan
from ._ranks import Ranks
from ._rounds import Rounds

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""Precisions that a training can run in; weights are always float32."""
DDP = "ddp_find_unused_parameters_true"
"""A modality that no observation of a rank has leaves weights without a gradient."""


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
    max_steps: int | None = None
    precision: str | None = None
    features: str = ""
    """What tells the features of the observations from others; a checkpoint is of these."""

    def __post_init__(self) -> None:
        """Check the types of what the user asks for."""
        check_device(self.accelerator, self.devices)
        check_switch("early_stopping", self.early_stopping)
        check_switch("progress_bar", self.progress_bar)
        for name in ("checkpoint_dir", "resume_from"):
            if (path := getattr(self, name)) is not None:
                check_path(name, path)


class Fitted(NamedTuple):
    """The record of a training, round by round."""

    steps: list[int]
    """Steps done at its end."""
    losses: dict[str, list[float]]
    """Means of all losses in it, by name."""
    ranks: Ranks
    """Where it was."""


def fit(
    parts: Parts,
    optimisation: Optimisation,
    train_loader: Loader,
    validation_loader: Loader | None,
    options: FitOptions,
    trainer_options: Mapping[str, Any],
    memory: tuple[Loader, bool] | None = None,
) -> Fitted:
    """Train the module of the parts in place and leave it, with its best weights, in evaluation mode.

    The global random state of the caller is left as it was. Of several threads that train, one does at a time, as they share it.

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
    memory
        Training observations, in order, for parts with a memory bank, and whether these are all.

    Returns
    -------
    Fitted
        Steps and losses of each round.

    Raises
    ------
    ValueError
        If an option is unknown, or cannot be had.
    """
    trainer_options = dict(trainer_options)
    check_trainer_options(trainer_options)
    if "precision" in trainer_options:  # of heads, whose train() does not name it
        options = replace(options, precision=trainer_options.pop("precision"))
    if trainer_options.get("limit_val_batches") == 0:
        validation_loader = None
    n_accumulated = trainer_options.get("accumulate_grad_batches", 1)
    limit = float(trainer_options.pop("gradient_clip_val", None) or optimisation.gradient_limit)
    n_batches = options.max_epochs * len(train_loader)
    is_limited = options.max_steps is not None and options.max_steps * n_accumulated < n_batches
    if options.max_steps is not None:
        n_batches = min(n_batches, options.max_steps * n_accumulated)
    rounds = Rounds(train_loader, n_batches, at_most=is_limited)
    loaders = Loaders(rounds, validation_loader, *(memory or (None, True)))
    history = History()
    callbacks = [
        history,
        *_callbacks(options, optimisation.averaging, validation_loader is not None),
        *_listed(trainer_options.get("callbacks")),
    ]
    settings: dict[str, Any] = {
        **_devices(options, trainer_options),
        "max_epochs": rounds.n_rounds,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
        "use_distributed_sampler": False,
        "logger": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": working_directory(),
        **{name: value for name, value in trainer_options.items() if name not in ("strategy", "callbacks")},
        "callbacks": callbacks,
    }
    plan = MaskedPlan(parts, optimisation, options.seed, loaders, _n_steps(rounds, n_accumulated), limit)
    plan.bound_to = {"seed": options.seed, "learning_rate": optimisation.learning_rate, "features": options.features}
    with own_random_state(), _quiet():
        with in_one_sentence():
            trainer = lightning.Trainer(**settings)
        start = None if options.resume_from is None else _checkpoint(absolute(options.resume_from), plan, rounds)
        try:
            with configured():
                trainer.fit(plan, rounds, validation_loader, ckpt_path=start, weights_only=True)
        except SystemExit as stop:  # Lightning's answer to Ctrl-C; whether that ends the process is up to the caller
            raise (stop.__context__ if isinstance(stop.__context__, KeyboardInterrupt) else stop) from None
        finally:
            rounds.close()
            parts.module.eval()
    ranks = Ranks(trainer.global_rank, trainer.world_size, trainer.strategy.root_device)
    return Fitted(history.steps, history.values, ranks)


def _n_steps(rounds: Rounds, n_accumulated: int) -> int:
    """Return the number of steps of the optimiser, which takes one at the end of each round, too."""
    return rounds.n_rounds * -(-rounds.size // n_accumulated)


def _devices(options: FitOptions, trainer_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the Trainer is told of devices: one, unless several are asked for or torchrun has started several."""
    devices, n_nodes = options.devices, trainer_options.get("num_nodes", 1)
    n_started, n_local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if devices == "auto" and "TORCHELASTIC_RUN_ID" in os.environ:
        devices, n_nodes = n_local, n_started // n_local
    elif devices == "auto":
        devices = 1
    several = n_nodes > 1 or (devices not in (1, "1") and not (isinstance(devices, list) and len(devices) == 1))
    if several and hasattr(sys, "ps1"):
        remedy = "write the training as a script and start it with `torchrun --nproc-per-node 2 script.py`"
        raise value_error("devices", "one device in a notebook or an interactive session", repr(devices), remedy)
    strategy = trainer_options.get("strategy", "auto")
    return {
        "accelerator": options.accelerator,
        "devices": devices,
        "num_nodes": n_nodes,
        "strategy": DDP if strategy == "ddp" or (strategy == "auto" and several) else strategy,
        "precision": _precision(options),
    }


def _precision(options: FitOptions) -> str:
    """Return what is computed in: bfloat16 on a CUDA device, float32 elsewhere, unless one is asked for."""
    if options.precision is None:
        return "bf16-mixed" if on_cuda(options.accelerator) else "32-true"
    if options.precision not in PRECISIONS:
        remedy = "weights stay float32; pass one of these, or leave it out"
        raise value_error("precision", f"one of {named(PRECISIONS)}", repr(options.precision), remedy)
    if options.precision == "16-mixed" and not on_cuda(options.accelerator):
        raise value_error("precision", "a CUDA device for '16-mixed'", "none", "pass 'bf16-mixed' or '32-true'")
    return options.precision


def on_cuda(accelerator: str) -> bool:
    """Return whether a training of this accelerator runs on a CUDA device."""
    return accelerator == "cuda" or (accelerator in ("gpu", "auto") and torch.cuda.is_available())


def _listed(callbacks: Callback | Iterable[Callback] | None) -> list[Callback]:
    """Return the user's callbacks as a list."""
    if callbacks is None:
        return []
    return [callbacks] if isinstance(callbacks, Callback) else list(callbacks)


def _callbacks(options: FitOptions, averaging: float, validated: bool) -> list[Callback]:
    """Return the callbacks that the options ask for."""
    kept = KeptWeights(averaging)
    callbacks: list[Callback] = [kept, Divergence(kept)]
    if options.progress_bar:
        callbacks.append(Bar())
    if validated and options.early_stopping:
        callbacks.append(EarlyStopping("validation_loss", patience=options.patience))
    if options.checkpoint_dir is not None:
        directory = absolute(options.checkpoint_dir)
        _check_writable(directory)
        callbacks.append(LastCheckpoint(directory))
    return callbacks


def _check_writable(directory: Path) -> None:
    """Check, before the training, that checkpoints can be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise value_error(
            "checkpoint_dir", "a directory that can be written", str(error), "pass another path"
        ) from error


def _checkpoint(path: Path, plan: MaskedPlan, rounds: Rounds) -> str:
    """Return the file of a checkpoint that this plan can go on from."""
    file = path / "last.ckpt" if os.path.isdir(path) else path
    wanted = "a checkpoint that train(checkpoint_dir=…) wrote"
    if not os.path.isfile(file):
        raise value_error("resume_from", wanted, f"no file {str(file)!r}", "check the path")
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
        weights, n_rounds = completed(saved["state_dict"], plan.state_dict()), saved["epoch"] + 1
        shapes = {name: value.shape for name, value in weights.items()}
        size, bound_to = saved["round_size"], dict(saved.get("bound_to", plan.bound_to))  # 0.1 wrote none
    except (
        OSError,
        EOFError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
        RuntimeError,
        UnpicklingError,
    ) as error:
        raise value_error("resume_from", wanted, f"{str(file)!r}, which cannot be read", "begin anew") from error
    if shapes != {name: value.shape for name, value in plan.state_dict().items()}:
        found = f"{str(file)!r} with other weights"
        raise value_error("resume_from", "a checkpoint of this model", found, "make the model as it was made then")
    others = [name for name, value in plan.bound_to.items() if bound_to.get(name) != value]
    if others:
        wanted = "a checkpoint of the same seed, learning_rate and features"
        remedy = "pass the object and the config of the training that wrote it"
        raise value_error("resume_from", wanted, f"{str(file)!r} with another {' and '.join(others)}", remedy)
    if size != rounds.size or rounds.n_rounds < n_rounds:
        found = f"one of {n_rounds} rounds of {size} batches for a training of {rounds.n_rounds} of {rounds.size}"
        remedy = "pass the max_epochs, max_steps, batch_size and train_size of the training that wrote it"
        raise value_error("resume_from", "a checkpoint of a training as long as this", found, remedy)
    return str(file)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's messages about devices and loaders; errors and our own messages still come through."""
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
