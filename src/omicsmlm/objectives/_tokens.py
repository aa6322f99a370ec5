"""Which bin stood where a token was masked, and whether a partial view of a row says the same."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from omicsmlm._types import Batch, Corrupted, Encoded

from ._consistency import divergence, info_nce
from ._reduction import step_mean


class Reading(Protocol):
    """A head that is read where it is asked: see :class:`omicsmlm.nn.TokenReading`."""

    def logits(self, at_ng: Tensor) -> Tensor:
        """Give (t, n_tokens) logits of the t tokens that are true, row by row."""
        ...


class TokenOutputs(Protocol):
    """What the objective needs of a module's outputs."""

    @property
    def encoded(self) -> Encoded:
        """Embedding of the rows."""
        ...

    @property
    def readings(self) -> Mapping[str, Reading]:
        """A head per modality."""
        ...


class BinCrossEntropy:
    """Cross-entropy of the bins of the judged tokens: their mean in each modality, summed over modalities.

    Parameters
    ----------
    consistency
        Weight of two more terms, for batches that :class:`omicsmlm.corruption.WithPartialView` has doubled: the InfoNCE
        loss of the partial views' embeddings among those of the full views, and the divergence of their predictions of
        the judged tokens, averaged over modalities. 0 for plain batches.
    temperature
        Of InfoNCE.
    """

    def __init__(self, consistency: float = 0.0, temperature: float = 0.1) -> None:
        self.consistency, self.temperature = consistency, temperature

    def __call__(self, outputs: TokenOutputs, corrupted: Corrupted, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return a term per modality, and those of consistency."""
        assert corrupted.scored is not None
        terms, divergences = {}, []
        for name, reading in outputs.readings.items():
            scored_ng = corrupted.scored[name]
            logits_tb = reading.logits(scored_ng).float()
            bins_t = corrupted.targets[name].values[scored_ng].long()
            total = F.cross_entropy(logits_tb, bins_t, reduction="sum")
            terms[name] = step_mean(total, len(bins_t), batch)
            if self.consistency:
                divergences.append(divergence(*logits_tb.chunk(2)))  # both halves are judged at the same tokens
        if self.consistency:
            full_nd, partial_nd = outputs.encoded.mean.chunk(2)
            terms["agreement"] = self.consistency * info_nce(full_nd, partial_nd, self.temperature)
            terms["divergence"] = self.consistency * torch.stack(divergences).mean()
        return terms
