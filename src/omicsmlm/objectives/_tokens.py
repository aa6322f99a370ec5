"""Cross-entropy of masked bins, squared error of values, and agreement of a partial view's predictions with the full view's."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from omicsmlm._sizes import binomial_bound, positions_of_true
from omicsmlm._types import Batch, Encoded, Grid, Masked

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


class ValueOutputs(BinOutputs, Protocol):
    """The same with values that are predicted for the whole observation."""

    @property
    def values(self) -> Mapping[str, Tensor]:
        """(n, g) per modality: predicted standardised values."""
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
        Largest fraction of the tokens that is evaluated; it bounds the number of logits where the host cannot count the tokens.
    weight
        Of the cross-entropies.
    smoothing
        Standard deviation, in bins, of the normal distribution about the true bin that predictions are compared with: a near
        miss then costs less than a far one. 0 for the true bin alone.
    n_bins
        Bins, which alone are smoothed over; the tokens behind them are none. Needed with ``smoothing``.
    """

    def __init__(
        self,
        consistency: float = 0.0,
        temperature: float = 0.1,
        rate: float = 1.0,
        *,
        weight: float = 1.0,
        smoothing: float = 0.0,
        n_bins: int = 0,
    ) -> None:
        self.consistency, self.temperature, self.rate, self.weight = consistency, temperature, rate, weight
        self.smoothing, self.n_bins = smoothing, n_bins

    def __call__(self, outputs: BinOutputs, masked: Masked, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return a term per modality, and those of consistency."""
        assert masked.evaluated is not None
        terms, divergences = {}, []
        for name, at_places in outputs.token_logits.items():
            evaluated_ng = masked.evaluated[name]
            place_t, is_there_t = self._places(evaluated_ng)
            logits_tb = at_places.logits_at(place_t, evaluated_ng.shape[1]).float()
            bins_t = masked.targets[name].values.flatten()[place_t].long()
            total = self._cross_entropy(logits_tb, bins_t, is_there_t)
            terms[name] = self.weight * step_mean(total, is_there_t.sum(), batch)
            if self.consistency:
                full_tb, partial_tb = logits_tb.chunk(2)
                divergences.append(divergence(full_tb, partial_tb, is_there_t.chunk(2)[0]))
        if self.consistency:
            full_nd, partial_nd = outputs.encoded.mean.chunk(2)
            terms["agreement"] = self.consistency * info_nce(full_nd, partial_nd, self.temperature)
            terms["divergence"] = self.consistency * torch.stack(divergences).mean()
        return terms

    def _cross_entropy(self, logits_tb: Tensor, bins_t: Tensor, is_there_t: Tensor) -> Tensor:
        """Return the sum over the tokens that are there."""
        if not self.smoothing:
            return F.cross_entropy(logits_tb, torch.where(is_there_t, bins_t, IGNORED), reduction="sum")
        target_tb = F.embedding(bins_t, _smoothed(self.n_bins, self.smoothing, logits_tb.device))
        log_fraction_tb = F.log_softmax(logits_tb, 1)[:, : self.n_bins]
        return -((log_fraction_tb * target_tb).sum(1) * is_there_t).sum()

    def _places(self, evaluated_ng: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places of the evaluated tokens, and which of these are real; the same in both halves of a doubled batch."""
        if not self.consistency:
            return positions_of_true(evaluated_ng.flatten(), binomial_bound(evaluated_ng.numel(), self.rate))
        half_ng = evaluated_ng[: len(evaluated_ng) // 2]
        place_t, is_there_t = positions_of_true(half_ng.flatten(), binomial_bound(half_ng.numel(), self.rate))
        return torch.cat([place_t, place_t + half_ng.numel()]), is_there_t.repeat(2)


class BinsAndValues:
    """Cross-entropy of the evaluated bins, and squared error of all measured values that the state of an observation predicts.

    Parameters
    ----------
    bins
        The cross-entropy, with its terms.
    values
        From a modality and its grid of bins to their standardised values, (n, g).
    weight
        Of the squared error: its mean over the measured values of a modality, summed over modalities.
    """

    def __init__(self, bins: BinCrossEntropy, values: Callable[[str, Grid], Tensor], weight: float) -> None:
        self.bins, self.values, self.weight = bins, values, weight

    def __call__(self, outputs: ValueOutputs, masked: Masked, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the terms of the bins, and one more per modality."""
        terms = self.bins(outputs, masked, batch, progress)
        for name, predicted_ng in outputs.values.items():
            target = masked.targets[name]
            error_ng = (predicted_ng.float() - self.values(name, target)).square() * target.visible
            terms[f"{name}_values"] = self.weight * step_mean(error_ng.sum(), target.visible.sum(), batch)
        return terms


def _smoothed(n_bins: int, deviation: float, device: torch.device | None = None) -> Tensor:
    """Return what predictions are compared with, for each true bin, (b, b); rows sum to 1.

    Examples
    --------
    >>> _smoothed(3, 1.0)[0]  # in proportion to exp(0), exp(-1/2) and exp(-2)
    tensor([0.5741, 0.3482, 0.0777])
    """
    bin_b = torch.arange(n_bins, dtype=torch.float32, device=device)
    return torch.softmax(-0.5 * ((bin_b[:, None] - bin_b) / deviation).square(), 1)
