"""What a row's hidden tokens are: their values, and which modality they belong to."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from omicsmlm._types import Batch, Grid, Masked, masked_positions, obs_of

from ._reconstruction import LatentReconstruction
from ._reconstruction import Outputs as CellOutputs
from ._reduction import step_mean

Digitize = Callable[[str, Tensor, Tensor], Tensor]
"""From a modality, (t,) values and the (t,) totals of their rows to (t,) bins."""

NOT_ASKED = -100
"""Target of a token whose modality is not asked for."""


class Outputs(CellOutputs, Protocol):
    """What the objective needs of a module's outputs."""

    value_logits: Mapping[str, Tensor]
    """(s, b) per modality: of each token with a hidden value, in order."""
    modality_logits: Mapping[str, Tensor]
    """(t, m) per modality: of each of its tokens."""


class TokenPrediction:
    r"""Masked value prediction + λ · modality prediction + reconstruction of the whole cell, each a named term.

    .. math:: L = w L_\text{MVP} + \lambda L_\text{DMP} + L_\text{cell}

    Cross-entropies over value bins at the tokens whose value is hidden, and over modalities at those whose feature and
    modality are (Chen et al. 2025); both are sums over a row, averaged over rows, so that all terms are nats per row.

    Parameters
    ----------
    digitize
        What bins the true values.
    value_weight, modality_weight
        w and λ.
    grids
        What lays a batch on the grid of the features that the decoder rebuilds.
    cell
        Judges the rebuilt cells; None to leave them out.
    """

    def __init__(
        self,
        digitize: Digitize,
        value_weight: float,
        modality_weight: float,
        grids: Callable[[Batch], dict[str, Grid]],
        cell: LatentReconstruction | None,
    ) -> None:
        self.digitize = digitize
        self.value_weight = value_weight
        self.modality_weight = modality_weight
        self.grids = grids
        self.cell = cell

    def __call__(self, outputs: Outputs, masked: Masked, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the weighted terms."""
        values = [
            cross_entropy(logits.float(), bins, reduction="sum")
            for logits, bins in zip(outputs.value_logits.values(), self.hidden_bins(masked).values(), strict=True)
        ]
        assert masked.evaluated is not None
        modalities = [
            cross_entropy(
                logits.float(), torch.where(masked.evaluated[name].identity_masked, m, NOT_ASKED), reduction="sum"
            )
            for m, (name, logits) in enumerate(outputs.modality_logits.items())
        ]
        terms = {"values": self.value_weight * step_mean(torch.stack(values).sum(), len(batch.indices), batch)}
        if len(modalities) > 1:
            terms["modality"] = self.modality_weight * step_mean(
                torch.stack(modalities).sum(), len(batch.indices), batch
            )
        if self.cell is not None:
            grids = self.grids(batch)
            terms |= self.cell(outputs, Masked(grids, grids), batch, progress)
        return terms

    def hidden_bins(self, masked: Masked) -> dict[str, Tensor]:
        """Give the true bins of the tokens whose value is hidden, (s,) per modality, in order."""
        assert masked.evaluated is not None
        bins = {}
        for name, part in masked.inputs.items():
            truth, hidden_t = masked.evaluated[name], masked_positions(part)
            total_t = truth.total[obs_of(part)]
            bins[name] = self.digitize(name, truth.values[hidden_t], total_t[hidden_t])
        return bins
