"""Cross-entropy of labels."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from omicsmlm._types import Batch, Masked, Memory, Objective

from ._consistency import divergence
from ._reduction import step_mean


class LabelObjective:
    """Weighted cross-entropy between logits and the labels of the observations.

    Parameters
    ----------
    codes_n
        (n_obs,) int64: label of each observation of the object; a batch finds its own by ``batch.indices``.
    weight_c
        (c,) float32: weight of an observation of each label; the mean over a batch is weighted by it.
    """

    def __init__(self, codes_n: Tensor, weight_c: Tensor) -> None:
        self.codes_n = codes_n
        self.weight_c = weight_c

    def __call__(self, outputs: Tensor, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the one term, of (n, c) logits."""
        self.codes_n, self.weight_c = (
            part.to(outputs.device) for part in (self.codes_n, self.weight_c)
        )  # they stay there
        codes_n = self.codes_n[batch.indices]
        total = cross_entropy(outputs.float(), codes_n, self.weight_c, reduction="sum")
        return {"labels": step_mean(total, self.weight_c[codes_n].sum(), batch)}

    def distance(self, full: Tensor, partial: Tensor, batch: Batch) -> Tensor:
        """Return the mean Kullback-Leibler divergence of the labels that (n, c) logits of partial views predict: :func:`divergence`."""
        return divergence(full, partial)


class LabelOutputs(Protocol):
    """What the semi-supervised objective needs of a module's outputs, beside what the unsupervised one does."""

    label_logits: Tensor | None


class MemoryObjective(Objective, Memory, Protocol):
    """An objective that is its own memory bank."""


class SemiSupervised:
    """An unsupervised objective, and the cross-entropy of the labels that some observations have.

    Parameters
    ----------
    unsupervised
        The objective of all observations.
    weight
        Weight of the cross-entropy, the mean over the labelled observations of a step.
    """

    def __init__(self, unsupervised: MemoryObjective, weight: float) -> None:
        self.unsupervised = unsupervised
        self.weight = weight
        self.start = unsupervised.start
        self.codes_n = torch.empty(0, dtype=torch.int64)
        """(n_obs,) label of each observation of the object, -1 where it has none; a batch finds its own by ``batch.indices``."""

    def __call__(self, outputs: LabelOutputs, masked: Masked, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the terms of the unsupervised objective, and ``labels``: 0 where no observation of the step has one."""
        terms = dict(self.unsupervised(outputs, masked, batch, progress))
        assert outputs.label_logits is not None
        self.codes_n = self.codes_n.to(outputs.label_logits.device)  # they stay there
        label_n = self.codes_n[batch.indices]
        total = cross_entropy(outputs.label_logits.float(), label_n, ignore_index=-1, reduction="sum")
        terms["labels"] = self.weight * step_mean(total, (label_n >= 0).sum(), batch)
        return terms

    def refresh(self, embedding_md: Tensor, covariates_mk: Tensor, indices_m: Tensor, *, is_whole: bool) -> None:
        """Refresh the memory bank of the unsupervised objective."""
        self.unsupervised.refresh(embedding_md, covariates_mk, indices_m, is_whole=is_whole)

    def clear(self) -> None:
        """Clear the memory bank of the unsupervised objective."""
        self.unsupervised.clear()
