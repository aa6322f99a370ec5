"""Cross-entropy of labels, and agreement of those that are predicted from partial and from full views."""

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
    agreement
        Weight of the divergence of the labels predicted from partial views from those predicted from full ones; above 0,
        logits are (2 n, c), of the full views and then of the partial ones, and both are compared with the labels.
    """

    def __init__(self, codes_n: Tensor, weight_c: Tensor, agreement: float = 0.0) -> None:
        self.codes_n = codes_n
        self.weight_c = weight_c
        self.agreement = agreement

    def __call__(self, outputs: Tensor, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the cross-entropy, of (n, c) logits, and the divergence, if it has a weight."""
        self.codes_n, self.weight_c = (
            part.to(outputs.device) for part in (self.codes_n, self.weight_c)
        )  # they stay there
        codes_n = self.codes_n[batch.indices]
        if self.agreement:
            codes_n = codes_n.repeat(2)
        total = cross_entropy(outputs.float(), codes_n, self.weight_c, reduction="sum")
        terms = {"labels": step_mean(total, self.weight_c[codes_n].sum(), batch)}
        if self.agreement:
            terms["agreement"] = self.agreement * divergence(*outputs.chunk(2))
        return terms


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
