"""Cross-entropy of masked bins, and agreement of a partial view's predictions with those of the full view."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from omicsmlm._sizes import binomial_bound, positions_of_true
from omicsmlm._types import Batch, Encoded, Masked

from ._consistency import divergence, info_nce
from ._reduction import IGNORED, step_mean


class LogitsAtPlaces(Protocol):
    """Logits that are computed where they are needed: see :class:`omicsmlm.nn.TokenLogits`."""

    def logits_at(self, place_t: Tensor, n_features: int) -> Tensor:
        """Return (t, n_tokens) logits at the places observation · n_features + feature, (t,) int64."""
        ...


class BinOutputs(Protocol):
    """What the objective needs of a module's outputs."""

    @property
    def encoded(self) -> Encoded:
        """Embedding of the observations."""
        ...

    @property
    def token_logits(self) -> Mapping[str, LogitsAtPlaces]:
        """A head per modality."""
        ...


class BinCrossEntropy:
    """Cross-entropy of the bins of the evaluated tokens: their mean in each modality, summed over modalities.

    Parameters
    ----------
    consistency
        Weight of two more terms, for batches that :class:`omicsmlm.masking.WithModalitySubsets` has doubled: the InfoNCE
        loss of the partial views' embeddings among those of the full views, and the divergence of their predictions of
        the evaluated tokens, averaged over modalities. 0 for plain batches.
    temperature
        Of InfoNCE.
    rate
        Fraction of the tokens that is evaluated; it bounds the number of logits where the host cannot count the tokens.
    """

    def __init__(self, consistency: float = 0.0, temperature: float = 0.1, rate: float = 1.0) -> None:
        self.consistency, self.temperature, self.rate = consistency, temperature, rate

    def __call__(self, outputs: BinOutputs, masked: Masked, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return a term per modality, and those of consistency."""
        assert masked.evaluated is not None
        terms, divergences = {}, []
        for name, at_places in outputs.token_logits.items():
            evaluated_ng = masked.evaluated[name]
            place_t, is_there_t = self._places(evaluated_ng)
            logits_tb = at_places.logits_at(place_t, evaluated_ng.shape[1]).float()
            bins_t = masked.targets[name].values.flatten()[place_t].long()
            total = F.cross_entropy(logits_tb, torch.where(is_there_t, bins_t, IGNORED), reduction="sum")
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
        """Return the places of the evaluated tokens, and which of these are real; the same in both halves of a doubled batch."""
        if not self.consistency:
            return positions_of_true(evaluated_ng.flatten(), binomial_bound(evaluated_ng.numel(), self.rate))
        half_ng = evaluated_ng[: len(evaluated_ng) // 2]
        place_t, is_there_t = positions_of_true(half_ng.flatten(), binomial_bound(half_ng.numel(), self.rate))
        return torch.cat([place_t, place_t + half_ng.numel()]), is_there_t.repeat(2)
