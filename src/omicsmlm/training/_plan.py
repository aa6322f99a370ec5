"""The one training plan: it asks a family for its four parts and for nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader

from omicsmlm._types import Batch, Module, Parts

from ._device import on_device, seed_draws
from ._schedule import warmup_cosine

VALIDATION_STREAM = 1 << 40
"""Seeds of validation batches start here, so that they never meet those of training steps."""
CENSUS_STREAM = 1 << 41
"""Seeds of censuses start here."""


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
        Share that a step leaves in place of the moving average of the weights, which is what is validated and kept;
        0 for the weights themselves.
    """

    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-8
    weight_decay: float | None = 1e-4
    n_warmup_steps: int = 50
    gradient_limit: float = 50.0
    averaging: float = 0.99


class MaskedPlan(lightning.LightningModule):
    """Trains any family; never subclassed.

    All randomness of a step (masks, noise, dropout) follows from the seed and the number of the step, so that a resumed
    training repeats an uninterrupted one. Validation masks follow from the seed and the number of the batch: the same
    in every epoch.

    Parameters
    ----------
    parts
        Tokenizer, corruption, module, objective.
    optimisation
        Hyper-parameters of the optimiser.
    seed
        Seed of all randomness.
    census_loader
        All training rows, in order, for parts with a census.
    """

    def __init__(
        self, parts: Parts, optimisation: Optimisation, seed: int, census_loader: DataLoader[Batch] | None = None
    ) -> None:
        super().__init__()
        self.parts = parts
        self.module: Module = parts.module
        if isinstance(parts.tokenizer, nn.Module):
            self.tokenizer = parts.tokenizer
        self.optimisation = optimisation
        self.seed = seed
        self.census_loader = census_loader
        self._noted: dict[str, tuple[Tensor, int]] = {}

    def on_fit_start(self) -> None:
        """Train in training mode: a second ``train()`` finds the module in evaluation mode."""
        self.module.train()
        self._forget()

    def on_fit_end(self) -> None:
        """Leave nothing of the training rows behind."""
        self._forget()

    def _forget(self) -> None:
        if self.parts.census is not None:
            self.parts.census.forget()

    def on_train_epoch_start(self) -> None:
        """Take the census; at the start of an epoch, so that a training resumed there sees the same."""
        census = self.parts.census
        self._noted.clear()
        if census is None or self.census_loader is None or self._progress < census.start:
            return
        seed_draws(self._seed_of(CENSUS_STREAM + self.current_epoch), self.device)
        self.module.eval()
        with torch.inference_mode(False), torch.no_grad():
            batches = [on_device(batch, self.device) for batch in self.census_loader]
            means = [self.module.embed(self.parts.tokenizer(batch), batch).mean for batch in batches]
            census.take(
                torch.cat(means), torch.cat([b.covariates for b in batches]), torch.cat([b.rows for b in batches])
            )
        self.module.train()

    @property
    def _progress(self) -> float:
        return self.global_step / max(1.0, float(self.trainer.estimated_stepping_batches))

    def _seed_of(self, stream: int) -> int:
        return hash((self.seed, stream)) & 0x7FFF_FFFF_FFFF_FFFF

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Hide, encode, rebuild, judge."""
        terms = self._terms(batch, self.global_step, self._progress)
        return self._logged("train", terms, len(batch.rows))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Judge held-out rows with fixed masks, the final weights of the terms and no dropout."""
        with torch.random.fork_rng(devices=[]):
            terms = self._terms(batch, VALIDATION_STREAM + batch_idx, 1.0)
        self._logged("validation", terms, len(batch.rows))

    def _terms(self, batch: Batch, stream: int, progress: float) -> Mapping[str, Tensor]:
        seed = self._seed_of(stream)
        seed_draws(seed, self.device)
        generator = Generator(self.device).manual_seed(seed)
        corrupted = self.parts.corruption(self.parts.tokenizer(batch), generator)
        outputs = self.module(corrupted.inputs, batch)
        return self.parts.objective(outputs, corrupted, batch, progress)

    def _logged(self, stage: str, terms: Mapping[str, Tensor], n_rows: int) -> Tensor:
        """Log the loss, and note its terms by ourselves: Lightning's log takes as long as a small network's step."""
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        self.log(f"{stage}_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=n_rows)
        for name, value in terms.items():
            total, n_before = self._noted.get(f"{stage}_{name}", (torch.zeros_like(loss), 0))
            self._noted[f"{stage}_{name}"] = total + n_rows * value.detach().float(), n_before + n_rows
        return loss

    def epoch_terms(self) -> dict[str, float]:
        """Give the mean over rows of each term since the epoch began, by stage and name."""
        return {name: float(total) / n_rows for name, (total, n_rows) in self._noted.items()}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with warm-up and cosine, per step."""
        o = self.optimisation
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        n_steps = int(self.trainer.estimated_stepping_batches)
        decay = 1 / (o.learning_rate * max(1, n_steps)) if o.weight_decay is None else o.weight_decay
        optimizer = torch.optim.AdamW(
            parameters, lr=o.learning_rate, betas=o.betas, eps=o.epsilon, weight_decay=decay, fused=True
        )
        n_warmup = min(o.n_warmup_steps, max(1, n_steps // 10))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, n_steps, n_warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
