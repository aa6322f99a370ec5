"""Prediction of masked tokens: their values, and which modality they belong to."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from omicsmlm._types import Batch, Grid, Masked, TokenSet, masked_positions, obs_of

from ._reconstruction import LatentOutputs, LatentReconstruction
from ._reduction import IGNORED, step_mean

Digitize = Callable[[str, Tensor, Tensor, Tensor, TokenSet], Tensor]
"""From a modality, (t,) values, their (t,) observations, the (n,) totals of these and all of their tokens to (t,) bins."""


class TokenOutputs(LatentOutputs, Protocol):
    """What the objective needs of a module's outputs."""

    value_logits: Mapping[str, Tensor]
    """(s, b) per modality: of each token with a masked value, in order."""
    modality_logits: Mapping[str, Tensor]
    """(t, m) per modality: of each of its tokens."""


class TokenPrediction:
    r"""Masked value prediction + λ · modality prediction + reconstruction of the whole observation, each a named term.

    .. math:: L = w L_\text{MVP} + \lambda L_\text{DMP} + L_\text{cell}

    Cross-entropies over value bins at the tokens whose value is masked, and over modalities at those whose feature and
    modality are (Chen et al. 2025); both are sums over the tokens of an
    observation, averaged over observations, so that all terms are nats per observation.

    Parameters
    ----------
    digitize
        Bins the true values.
    value_weight, modality_weight
        w and λ.
    grids
        Lays a batch on the grid of the features that the decoder reconstructs.
    reconstruction
        Loss of the reconstructed observations; None to leave it out.
    """

    def __init__(
        self,
        digitize: Digitize,
        value_weight: float,
        modality_weight: float,
        grids: Callable[[Batch], dict[str, Grid]],
        reconstruction: LatentReconstruction | None,
    ) -> None:
        self.digitize = digitize
        self.value_weight = value_weight
        self.modality_weight = modality_weight
        self.grids = grids
        self.reconstruction = reconstruction

    def __call__(self, outputs: TokenOutputs, masked: Masked, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the weighted terms."""
        values = [
            cross_entropy(logits.float(), bins, reduction="sum")
            for logits, bins in zip(outputs.value_logits.values(), self.masked_bins(masked).values(), strict=True)
        ]
        assert masked.evaluated is not None
        modalities = [
            cross_entropy(
                logits.float(), torch.where(masked.evaluated[name].identity_masked, m, IGNORED), reduction="sum"
            )
            for m, (name, logits) in enumerate(outputs.modality_logits.items())
        ]
        terms = {"values": self.value_weight * step_mean(torch.stack(values).sum(), len(batch.indices), batch)}
        if len(modalities) > 1:
            terms["modality"] = self.modality_weight * step_mean(
                torch.stack(modalities).sum(), len(batch.indices), batch
            )
        if self.reconstruction is not None:
            grids = self.grids(batch)
            terms |= self.reconstruction(outputs, Masked(grids, grids), batch, progress)
        return terms

    def masked_bins(self, masked: Masked) -> dict[str, Tensor]:
        """Return the true bins of the tokens whose value is masked, (s,) per modality, in order."""
        assert masked.evaluated is not None
        bins = {}
        for name, part in masked.inputs.items():
            truth, masked_t = masked.evaluated[name], masked_positions(part)
            obs_s, whole = obs_of(part)[masked_t], masked.targets[name]
            bins[name] = self.digitize(name, truth.values[masked_t], obs_s, truth.total, whole)
        return bins
