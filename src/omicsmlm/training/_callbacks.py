"""Callbacks of a training: its history, the averaged weights that are kept, a progress bar, checkpoints."""

import math
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor, nn
from tqdm.auto import tqdm

from omicsmlm._former_names import under_current_names
from omicsmlm._writing import written_file

from ._plan import MaskedPlan


class History(Callback):
    """Keeps, per round, the number of steps done and the means of the loss and of each of its terms by name."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.values: dict[str, list[float]] = {}

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """End the round and note its losses; Lightning has validated by now."""
        assert isinstance(pl_module, MaskedPlan)
        pl_module.end_round()
        self.steps.append(trainer.global_step)
        for name, value in pl_module.losses.items():
            self.values.setdefault(name, []).append(value)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.steps = list(state_dict["steps"])
        self.values = {name: list(values) for name, values in state_dict["values"].items()}


AVERAGING_INTERVAL, EVERY_STEP_UNTIL = 4, 64
"""After so many steps (the second number), every fourth one moves the average, by as much as four would: an average over a
hundred steps does not miss the others, and in a large network each costs as much as a third of the optimiser's step."""
WARMUP_STEPS = 10
"""Steps after which a step leaves half of the average in place, where ``decay`` allows more."""


class KeptWeights(Callback):
    """Validates and keeps a moving average of the weights: that of the round with the lowest validation loss, or the last.

    The average smooths the noise of the steps, so that a round in the middle of the schedule is evaluated as if the
    learning rate had come down by then.

    Parameters
    ----------
    decay
        Fraction of the average that a step leaves in place, 0 (the weights themselves) to under 1; less in the first steps.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.n_steps = 0
        self.average: dict[str, Tensor] = {}
        self.loss = math.inf
        self.best: dict[str, Tensor] = {}

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average towards the weights."""
        weights = dict(_network(pl_module).named_parameters())
        if not self.average:
            self.average = {name: weight.detach().clone() for name, weight in weights.items()}
        self.n_steps += 1
        every = AVERAGING_INTERVAL if self.decay and self.n_steps > EVERY_STEP_UNTIL else 1
        if self.n_steps % every:
            return
        # In the first steps the average is short, as it begins at weights that were not trained (as in TensorFlow's
        # ExponentialMovingAverage, whose warm-up is (1 + n) / (10 + n)).
        left = min(self.decay**every, self.n_steps / (WARMUP_STEPS + self.n_steps))
        averages = [average.to(weights[name].device) for name, average in self.average.items()]
        torch._foreach_lerp_(averages, [weights[name] for name in self.average], 1 - left)
        self.average = dict(zip(self.average, averages, strict=True))

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the average in the place of the weights."""
        if not trainer.sanity_checking:
            self._swap(pl_module)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copy the average if it is the best so far, and put the weights back."""
        if trainer.sanity_checking:
            return
        loss = float(trainer.callback_metrics["validation_loss"])
        if loss < self.loss:
            self.loss = loss
            self.best = {name: value.detach().cpu().clone() for name, value in _network(pl_module).state_dict().items()}
        self._swap(pl_module)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave the best average, or the last where nothing was validated."""
        _network(pl_module).load_state_dict(self.best or self.average, strict=False)

    @torch.no_grad()
    def _swap(self, plan: lightning.LightningModule) -> None:
        for name, weight in _network(plan).named_parameters():
            held = weight.detach().clone()
            weight.copy_(self.average[name])
            self.average[name] = held

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"n_steps": self.n_steps, "average": self.average, "loss": self.loss, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.n_steps, self.average = state_dict["n_steps"], under_current_names(state_dict["average"])
        self.loss, self.best = state_dict["loss"], under_current_names(state_dict["best"])


def _network(plan: lightning.LightningModule) -> nn.Module:
    assert isinstance(plan.module, nn.Module)
    return plan.module


class Bar(Callback):
    """One bar over all steps of the training, with the loss and the remaining time."""

    def __init__(self) -> None:
        self.bar = tqdm(disable=True)  # until there is something to show

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Open the bar."""
        assert isinstance(pl_module, MaskedPlan)
        self.bar = tqdm(
            total=pl_module.n_steps, initial=trainer.global_step, desc="Training", unit="step", mininterval=0.5
        )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance to the step."""
        self.bar.update(trainer.global_step - self.bar.n)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the losses."""
        assert isinstance(pl_module, MaskedPlan)
        losses = {name: f"{value:.4g}" for name, value in pl_module.losses.items() if name.endswith("_loss")}
        self.bar.set_postfix(losses, refresh=False)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Close the bar."""
        self.bar.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar when the training is interrupted."""
        self.bar.close()


class LastCheckpoint(Checkpoint):
    """Writes a checkpoint after every round; until the new one is whole on disk, the last one stays.

    Parameters
    ----------
    directory
        Where it is written, as ``last.ckpt``.
    """

    def __init__(self, directory: Path) -> None:
        self.file = directory / "last.ckpt"

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write beside the target, flush to disk, and rename; Lightning calls this after all other callbacks."""
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.file)  # takes part in what the ranks gather, and writes nothing
            return
        with written_file(self.file, "checkpoint_dir", failures=(RuntimeError,)) as part:  # of torch, on a full disk
            trainer.save_checkpoint(part)
