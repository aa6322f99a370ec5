"""The state of a whole sample: a linear map of its visible tokens, which also predicts the value of every gene."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._types import Grid

MIXING = 4
"""Width of the hidden layer that mixes the linear state with the mean of the transformer, in widths of the state."""
DECODER_WIDTH = 128
"""Width of the hidden layer through which the state predicts values, beside its linear part."""
LEAST_FRACTION = 1e-3
"""Fraction of visible genes below which the sum over them is not scaled up any further."""
LEAST_VARIANCE = 1e-3
"""Variance, relative to the largest, below which a direction is not brought up: it would be rounding, or noise."""


class RowState(nn.Module):
    r"""State of a sample from its visible tokens, and the predicted value of each gene from the state.

    With :math:`x_{mg}` the standardised value of a token's bin, :math:`V_m` the visible genes of modality m and :math:`f_m` their
    fraction of the genes that it has,

    .. math:: h = \sum_m f_m^{-1/2} \sum_{g \in V_m} x_{mg} w_{mg}, \qquad s = h + \mathrm{MLP}(h, \bar t),

    with a learned vector in the place of a modality of which nothing is visible, and :math:`\bar t` the mean of the transformer's
    outputs. The embedding is the state, partly whitened, with a length of √k: see :meth:`fit_readout`.

    Parameters
    ----------
    modalities
        Names of the modalities.
    n_genes, n_bins
        Genes on the axis, and bins of each modality.
    width, tower_width
        Of the state, k, and of the transformer.
    """

    def __init__(self, modalities: Sequence[str], n_genes: int, n_bins: int, width: int, tower_width: int) -> None:
        super().__init__()
        self.modalities, self.n_bins, self.n_latent = list(modalities), n_bins, width
        for m, _ in enumerate(modalities):
            self.register_buffer(f"value_{m}", torch.zeros(n_genes, n_bins))
            self.register_buffer(f"n_measured_{m}", torch.tensor(float(n_genes)))
        self.weights = nn.ParameterList([torch.randn(n_genes, width) / n_genes**0.5 for _ in modalities])
        self.absent = nn.Parameter(torch.zeros(len(modalities), width))
        self.norm = nn.LayerNorm(width + tower_width)
        self.hidden = nn.Linear(width + tower_width, MIXING * width)
        self.out = nn.Linear(MIXING * width, width)
        self.decoder_hidden = nn.Linear(width, DECODER_WIDTH)
        self.decoders = nn.ModuleList([nn.Linear(width, n_genes) for _ in modalities])
        self.decoders_out = nn.ModuleList([nn.Linear(DECODER_WIDTH, n_genes, bias=False) for _ in modalities])
        self.to_short = nn.Linear(width, tower_width)
        self.value_directions = nn.Parameter(torch.randn(len(modalities), tower_width) / tower_width**0.5)
        self.register_buffer("centre_k", torch.zeros(width))
        self.register_buffer("whitening_kk", torch.eye(width))

    def values(self, name: str, grid: Grid) -> Tensor:
        """Return the standardised value of each bin, (n, g)."""
        table_gb = self.get_buffer(f"value_{self.modalities.index(name)}")
        bin_ng = grid.values.long().clamp(0, self.n_bins - 1)
        first_g = torch.arange(len(table_gb), device=bin_ng.device) * self.n_bins
        return table_gb.flatten()[bin_ng + first_g]

    def linear(self, views: Mapping[str, Grid]) -> Tensor:
        """Return the linear part of the state, (n, k)."""
        state_nk = torch.zeros_like(self.absent[:1])
        for m, (name, weight_gk) in enumerate(zip(self.modalities, self.weights, strict=True)):
            grid = views[name]
            n_visible = grid.visible.sum(1, keepdim=True)
            fraction_n1 = (n_visible / self.get_buffer(f"n_measured_{m}")).clamp(LEAST_FRACTION, 1.0)
            sum_nk = (self.values(name, grid) * grid.visible) @ weight_gk
            state_nk = state_nk + torch.where(n_visible > 0, sum_nk / fraction_n1.sqrt(), self.absent[m])
        return state_nk

    def forward(self, views: Mapping[str, Grid], mean_nd: Tensor) -> Tensor:
        """Return the state, (n, k), from visible tokens and the mean of the transformer's outputs."""
        linear_nk = self.linear(views)
        mixed = F.gelu(self.hidden(self.norm(torch.cat([linear_nk, mean_nd], 1))))
        return linear_nk + self.out(mixed)

    def predicted(self, state_nk: Tensor) -> dict[str, Tensor]:
        """Return the standardised value that a state predicts for each gene, (n, g) per modality."""
        hidden_nd = F.gelu(self.decoder_hidden(state_nk))
        parts = zip(self.modalities, self.decoders, self.decoders_out, strict=True)
        return {name: linear(state_nk) + out(hidden_nd) for name, linear, out in parts}

    def readout(self, state_nk: Tensor) -> Tensor:
        """Return the embedding, (n, k), of a length of √k."""
        return F.normalize((state_nk - self.get_buffer("centre_k")) @ self.get_buffer("whitening_kk"), dim=1) * (
            self.n_latent**0.5
        )

    @torch.no_grad()
    def fit_readout(self, state_nk: Tensor, power: float) -> None:
        r"""Fit mean and whitening of the embedding to the states of training samples, in place.

        With their covariance :math:`C = U Λ U^\top`, states are multiplied by :math:`U Λ^{-p/2} U^\top`: 0 leaves them as they
        are, 1 gives every direction the same variance. Directions of less than ``LEAST_VARIANCE`` are scaled as the largest is.

        Parameters
        ----------
        state_nk
            States of unmasked samples.
        power
            p.
        """
        state_nk = state_nk.double()
        centred_nk = state_nk - state_nk.mean(0)
        variance_k, turned_kk = torch.linalg.eigh(centred_nk.T @ centred_nk / max(1, len(state_nk)))
        largest = float(variance_k[-1])
        scale_k = (
            variance_k.where(variance_k >= LEAST_VARIANCE * largest, largest)
            if largest > 0
            else torch.ones_like(variance_k)
        )
        self.get_buffer("centre_k").copy_(state_nk.mean(0))
        self.get_buffer("whitening_kk").copy_(turned_kk * scale_k ** (-power / 2) @ turned_kk.T)
