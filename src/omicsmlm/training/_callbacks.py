"""What happens beside the steps of a training: history, best weights, a bar."""

import math
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from tqdm.auto import tqdm


class History(Callback):
    """Keeps the mean of every logged value, per epoch: ``{name: [one float per epoch]}``."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the epoch's values; Lightning has validated by now."""
        for name, value in trainer.logged_metrics.items():
            self.values.setdefault(name, []).append(float(value))

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint keeps."""
        return {"values": self.values}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.values = {name: list(values) for name, values in state_dict["values"].items()}


class BestWeights(Callback):
    """Keeps the weights of the epoch with the lowest validation loss and restores them at the end."""

    def __init__(self) -> None:
        self.loss = math.inf
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copy the weights if they are the best so far."""
        loss = float(trainer.callback_metrics["validation_loss"])
        if loss < self.loss:
            self.loss = loss
            self.weights = {
                name: value.detach().cpu().clone() for name, value in _network(pl_module).state_dict().items()
            }

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the best weights back."""
        if self.weights:
            _network(pl_module).load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint keeps."""
        return {"loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.loss, self.weights = state_dict["loss"], state_dict["weights"]


def _network(plan: lightning.LightningModule) -> nn.Module:
    assert isinstance(plan.module, nn.Module)
    return plan.module


class Bar(Callback):
    """One bar over all steps of the training, with the loss and the remaining time."""

    def __init__(self) -> None:
        self.bar = tqdm(disable=True)  # until there is something to show

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Open the bar."""
        total = int(trainer.estimated_stepping_batches)
        self.bar = tqdm(total=total, initial=trainer.global_step, desc="Training", unit="step", mininterval=0.5)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance by a step."""
        self.bar.update()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the losses."""
        shown = {k: f"{float(v):.4g}" for k, v in trainer.logged_metrics.items() if k.endswith("_loss")}
        self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Close the bar."""
        self.bar.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar when the training is interrupted."""
        self.bar.close()
