"""Which bin stood where a token was masked, and whether a partial view of a row says the same."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from omicsmlm._sizes import binomial_bound, positions_of_true
from omicsmlm._types import Batch, Encoded, Masked

from ._consistency import divergence, info_nce
from ._reduction import step_mean

NOT_JUDGED = -100
"""Target of a place that is not judged."""


class Reading(Protocol):
    """A head that is read where it is asked: see :class:`omicsmlm.nn.TokenReading`."""

    def logits_at(self, place_t: Tensor, n_features: int) -> Tensor:
        """Give (t, n_tokens) logits at the places row · n_features + feature, (t,) int64."""
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
        Weight of two more terms, for batches that :class:`omicsmlm.masking.WithModalitySubsets` has doubled: the InfoNCE
        loss of the partial views' embeddings among those of the full views, and the divergence of their predictions of
        the judged tokens, averaged over modalities. 0 for plain batches.
    temperature
        Of InfoNCE.
    rate
        Share of the tokens that is judged; how many the head is read at follows from it where the host cannot count them.
    """

    def __init__(self, consistency: float = 0.0, temperature: float = 0.1, rate: float = 1.0) -> None:
        self.consistency, self.temperature, self.rate = consistency, temperature, rate

    def __call__(self, outputs: TokenOutputs, masked: Masked, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return a term per modality, and those of consistency."""
        assert masked.evaluated is not None
        terms, divergences = {}, []
        for name, reading in outputs.readings.items():
            evaluated_ng = masked.evaluated[name]
            place_t, is_there_t = self._places(evaluated_ng)
            logits_tb = reading.logits_at(place_t, evaluated_ng.shape[1]).float()
            bins_t = masked.targets[name].values.flatten()[place_t].long()
            total = F.cross_entropy(logits_tb, torch.where(is_there_t, bins_t, NOT_JUDGED), reduction="sum")
            terms[name] = step_mean(total, is_there_t.sum(), batch)
            if self.consistency:
                full_tb, partial_tb = logits_tb.chunk(2)
                divergences.append(divergence(full_tb, partial_tb, is_there_t.chunk(2)[0]))
        if self.consistency:
            full_nd, partial_nd = outputs.encoded.mean.chunk(2)
            terms["agreement"] = self.consistency * info_nce(full_nd, partial_nd, self.temperature)
            terms["divergence"] = self.consistency * torch.stack(divergences).mean()
        return terms

    def _places(self, evaluated_ng: Tensor) -> tuple[Tensor, Tensor]:
        """Give the places of the judged tokens, and which of these there are; of both halves of a doubled batch alike."""
        if not self.consistency:
            return positions_of_true(evaluated_ng.flatten(), binomial_bound(evaluated_ng.numel(), self.rate))
        half_ng = evaluated_ng[: len(evaluated_ng) // 2]
        place_t, is_there_t = positions_of_true(half_ng.flatten(), binomial_bound(half_ng.numel(), self.rate))
        return torch.cat([place_t, place_t + half_ng.numel()]), is_there_t.repeat(2)
