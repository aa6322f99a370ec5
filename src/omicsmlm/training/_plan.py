"""The one training plan: it takes the four parts of a family and nothing else."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from omicsmlm._draws import Draws
from omicsmlm._former_names import completed
from omicsmlm._types import Batch, Loader, Module, Parts

from ._device import on_device, seed_draws
from ._memory_bank import BankContent, MemoryBank
from ._optimisation import Optimisation
from ._ranks import averaged, count_over_ranks
from ._rounds import Rounds

logger = logging.getLogger(__name__)

VALIDATION_STREAM = 1 << 40
"""Seed of validation draws, which never meets that of a training step."""
MEMORY_STREAM = 1 << 41
"""Seeds of refreshes start here."""
RANK_STREAM = 1 << 42
"""Seeds of what ranks draw each by itself (dropout) start here."""


class Loaders(NamedTuple):
    """The loaders of a training."""

    train: Rounds
    """Batches to train on."""
    validation: Loader | None = None
    """Batches to validate on."""
    memory: Loader | None = None
    """Training observations for parts with a memory bank: all of them, or a sample."""
    memory_is_whole: bool = True
    """Whether these are all."""


class MaskedPlan(lightning.LightningModule):
    """Trains any family; never subclassed.

    The random numbers of a step are keyed by seed, step and observation (:class:`omicsmlm._draws.Draws`), so that a resumed
    training repeats an uninterrupted one, and several ranks do as one. Those of validation are keyed by seed and observation:
    the same each time. Only dropout draws from the global state of the device, which each step seeds.

    Parameters
    ----------
    parts
        Tokenizer, masking, module, objective.
    optimisation
        Hyper-parameters of the optimiser.
    seed
        Seed of all random numbers.
    loaders
        What is read.
    n_steps
        Optimiser steps of the training.
    gradient_limit
        Largest norm of a gradient.
    """

    def __init__(
        self,
        parts: Parts,
        optimisation: Optimisation,
        seed: int,
        loaders: Loaders,
        n_steps: int,
        gradient_limit: float,
    ) -> None:
        super().__init__()
        self.parts = parts
        self.module: Module = parts.module
        if isinstance(parts.tokenizer, nn.Module):
            self.tokenizer = parts.tokenizer
        if isinstance(parts.masking, nn.Module):
            self.masking = parts.masking
        self.optimisation = optimisation
        self.seed = seed
        self.loaders = loaders
        self.n_steps = n_steps
        self.gradient_limit = gradient_limit
        self.bound_to: dict[str, int | float | str] = {}
        """What a checkpoint is written down with, and must be the same where a training goes on from it."""
        self.losses: dict[str, float] = {}
        """Means of the last round, by stage and name."""
        self.n_left_out = 0
        """Steps of the last round that were left out, as their gradients were not finite."""
        self._noted: dict[str, tuple[list[str], Tensor, int | Tensor]] = {}
        self.bank = None if parts.memory is None else MemoryBank(parts.memory, loaders.memory_is_whole)
        self._loaded_bank: dict[str, Any] | None = None
        self._divided: dict[str, int] = {}

    # ---- before and after -----------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Divide what is read among the ranks; train in training mode, as a second ``train()`` finds evaluation mode."""
        self.module.train()
        self._forget()
        self._skipped = torch.zeros((), dtype=torch.int64, device=self.device)
        for name in ("train", "validation", "memory"):
            loader = getattr(self.loaders, name)
            if loader is not None:
                self._divided[name] = self._divide(loader.loader if isinstance(loader, Rounds) else loader, name)

    def _divide(self, loader: Loader, name: str) -> int:
        """Let this process read its part of each batch, all of it where a batch has not one observation for each; return how many share."""
        n_ranks = self.trainer.world_size
        if name != "train" and loader.sampler.smallest_batch < n_ranks:
            n_ranks = 1
        if n_ranks > 1:
            loader.sampler.divide(self.trainer.global_rank, n_ranks)
        return n_ranks

    def on_fit_end(self) -> None:
        """Leave nothing of the training observations behind."""
        self._forget()

    def _forget(self) -> None:
        if self.bank is not None:
            self.bank.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Note the batches of a round, as a training goes on from rounds of the same size only, and the memory it goes on with."""
        checkpoint["round_size"] = self.loaders.train.size
        checkpoint["bound_to"] = self.bound_to
        if self.bank is not None and self.bank.content is not None and not self._is_due:
            checkpoint["memory"] = self.bank.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the memory bank for :meth:`on_train_start`, which fills it: before, the weights are not where they will be."""
        checkpoint["state_dict"] = completed(checkpoint["state_dict"], self.state_dict())
        self._loaded_bank = checkpoint.get("memory")

    def on_train_start(self) -> None:
        """Fill the memory bank as it was in the checkpoint that the training goes on from."""
        noted, self._loaded_bank = self._loaded_bank, None
        if noted is not None and self.bank is not None:
            self._fill_bank(self.bank.load_network(noted, self.module, self.device))

    # ---- the memory bank -------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Refresh the memory bank at the start of a round, if that is due."""
        self._noted.pop("train", None)
        if self._is_due:
            self._refresh()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Refresh the memory bank for the first time within a round, where the next round is far away."""
        is_first = self.bank is not None and self.bank.content is None
        if is_first and self._is_due and 2 * batch_idx <= len(self.loaders.train):
            self._refresh()

    @property
    def _is_due(self) -> bool:
        """Whether a round that begins now refreshes the memory bank, if there is one."""
        return self.bank is not None and self.bank.is_due(self.global_step, self.n_steps, len(self.loaders.train))

    def _refresh(self) -> None:
        """Embed training observations, and fill the memory bank with them."""
        loader = self.loaders.memory
        if loader is None or self.bank is None:
            return
        self.module.eval()
        self.bank.keep_network(self.module)
        with torch.inference_mode(False), torch.no_grad():
            parts = [self._embedded(on_device(batch, self.device)) for batch in loader]
            content = BankContent.of(self.global_step, parts, self._divided["memory"])
        self._fill_bank(content)
        self.module.train()

    def _fill_bank(self, content: BankContent) -> None:
        """Fill the memory bank; what it draws follows from the step."""
        assert self.bank is not None
        self.bank.fill(content, self._seed_of(MEMORY_STREAM + content.step), self.device)

    def _embedded(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the embedding of a batch, its covariates and its positions in the object."""
        return self.module.embed(self.parts.tokenizer(batch), batch).mean.float(), batch.covariates, batch.indices

    # ---- steps ------------------------------------------------------------------------------------------------------

    @property
    def _progress(self) -> float:
        return self.global_step / max(1, self.n_steps)

    def _seed_of(self, stream: int) -> int:
        """Return the seed of a stream of draws, which follows from the seed of the training."""
        return hash((self.seed, stream)) & 0x7FFF_FFFF_FFFF_FFFF

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mask, encode, reconstruct; return the loss."""
        seed = self._seed_of(self.global_step)
        seed_draws(hash((seed, RANK_STREAM + self.global_rank)) & 0x7FFF_FFFF_FFFF_FFFF, self.device)
        batch = batch._replace(draws=Draws(seed, batch.indices), n_ranks=self._divided["train"])
        return self._noted_loss("train", self._terms(batch, self._progress), batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Note the loss of held-out observations with fixed masks, the final weights of the terms and no dropout."""
        draws = Draws(self._seed_of(VALIDATION_STREAM), batch.indices)
        batch = batch._replace(draws=draws, n_ranks=self._divided["validation"])
        self._noted_loss("validation", self._terms(batch, 1.0), batch)

    def _terms(self, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the terms of the loss of a batch, by name."""
        views = self.parts.tokenizer(batch)
        if self.bank is not None:
            batch = batch._replace(unmasked_nd=self.bank.unmasked(views, batch))
        assert batch.draws is not None
        masked = self.parts.masking(views, batch.draws)
        outputs = self.module(masked.inputs, batch)
        return self.parts.objective(outputs, masked, batch, progress)

    def _noted_loss(self, stage: str, terms: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Note the terms on the device, without waiting for it, and return their sum.

        Lightning's log takes as long as a small network's step. Terms are means over all ranks already, each rank's part
        multiplied by their number: their mean over ranks, weighed by the observations of the step, is what one process notes.
        """
        values = torch.stack([term.float() for term in terms.values()])
        loss = values.sum()
        value_s, names = torch.cat([loss[None], values]).detach(), ["loss", *terms]
        n = count_over_ranks(len(batch.indices), batch.n_ranks, self.device)
        _, total_s, n_before = self._noted.get(stage, (names, torch.zeros_like(value_s), 0))
        self._noted[stage] = names, total_s + n * value_s, n_before + n
        return loss

    def _means(self, stage: str) -> dict[str, float]:
        """Return the means of what was noted in a stage, and keep them in ``losses``; the host waits here."""
        names, total_s, n = self._noted[stage]
        mean_s = averaged(total_s / n, self._divided[stage]).tolist()
        means = {f"{stage}_{name}": mean for name, mean in zip(names, mean_s, strict=True)}
        self.losses |= means
        return means

    def on_validation_epoch_start(self) -> None:
        """Begin a validation."""
        self._noted.pop("validation", None)

    def on_validation_epoch_end(self) -> None:
        """Log the losses of a validation."""
        self.log_dict(self._means("validation"))

    def end_round(self) -> None:
        """Log the losses of a round, and warn of steps that were left out."""
        self.log_dict(self._means("train"))
        self.n_left_out, self._skipped = int(self._skipped), torch.zeros_like(self._skipped)
        if self.n_left_out:
            logger.warning("%d steps of this round were left out, as their gradients were not finite.", self.n_left_out)

    # ---- optimiser --------------------------------------------------------------------------------------------------

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Limit the norm of the gradients, and leave out a step whose gradients are not finite.

        Lightning refuses to clip for a fused optimiser, as with a gradient scaler that one unscales by itself: under float16
        the optimiser is therefore not fused, and under bfloat16 gradients have no scale. Fused AdamW takes from the device
        what it divides the gradients by (``grad_scale``) and whether to leave the step out (``found_inf``), as it does for
        gradient scalers: nobody waits, and the gradients are gone through once less.
        """
        gradients = [weight.grad for weight in self._trained() if weight.grad is not None]
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        is_bad = ~norm.isfinite()
        self._skipped += is_bad
        if self._is_fused:
            optimizer.grad_scale = (norm / self.gradient_limit).float().clamp(min=1)  # type: ignore[attr-defined]
            optimizer.found_inf = is_bad.float()  # type: ignore[attr-defined]
        else:
            nn.utils.clip_grads_with_norm_(self._trained(), self.gradient_limit, norm, foreach=True)

    def _trained(self) -> list[nn.Parameter]:
        return [p for p in self.module.parameters() if p.requires_grad]

    @property
    def _is_fused(self) -> bool:
        return self.trainer.precision != "16-mixed"

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimiser of the weights that are trained, and its schedule."""
        return self.optimisation.configured(self._trained(), self.n_steps, is_fused=self._is_fused)
