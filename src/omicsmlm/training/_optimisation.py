"""How a family is optimised: AdamW, its weight decay, and a rate that warms up and falls."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from ._schedule import warmup_cosine


@dataclass(frozen=True)
class Optimisation:
    """How a family is optimised.

    Parameters
    ----------
    learning_rate
        Highest rate of AdamW.
    betas
        Its moment decays.
    epsilon
        What it adds to the root of the second moment.
    weight_decay
        Its decoupled weight decay; None for 1 / (learning rate × number of steps), so that the weights' memory is as long as
        the training.
    n_warmup_steps
        Steps over which the rate rises; at most a tenth of all.
    gradient_limit
        Largest norm of a gradient; larger ones are scaled down.
    averaging
        Fraction that a step leaves in place of the moving average of the weights, which is what is validated and kept;
        0 for the weights themselves.
    """

    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-8
    weight_decay: float | None = 1e-4
    n_warmup_steps: int = 50
    gradient_limit: float = 50.0
    averaging: float = 0.99

    def configured(
        self, weights: Sequence[nn.Parameter], n_steps: int, *, is_fused: bool
    ) -> OptimizerLRSchedulerConfig:
        """Return AdamW, with a learning rate that warms up and then falls as a cosine, step by step of ``n_steps``."""
        decay = 1 / (self.learning_rate * max(1, n_steps)) if self.weight_decay is None else self.weight_decay
        optimizer = torch.optim.AdamW(
            weights,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
            weight_decay=decay,
            fused=is_fused,
        )
        n_warmup = min(self.n_warmup_steps, max(1, n_steps // 10))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, n_steps, n_warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
