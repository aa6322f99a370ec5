"""From an embedding to the risk of an event: a deep part that reads the embedding, a wide one that reads features."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

N_STRATUM = 8
"""Width of the embedding of a stratum."""


class RiskHead(nn.Module):
    r"""Log hazards as a sum of a small network and of a linear layer on the features themselves.

    The strata have an embedding, so that what the deep part makes of an observation may differ between them; their baseline
    hazards are no matter of the head. The wide part starts at zero.

    Parameters
    ----------
    n_latent, n_covariates, n_features
        d, k and g: widths of the embedding, of the covariates and of the features.
    n_strata
        Strata that are known; an observation of another one has code -1 and an embedding of zeros.
    n_outputs
        o: 1 for a log relative hazard, the number of intervals for discrete hazards.
    hidden_widths
        Widths of the hidden layers.
    dropout, feature_dropout
        Dropout before the hidden layers, and of the features.
    wide_scale
        Factor of the wide part's weights: how fast they learn beside all others.
    """

    centre_d: Tensor
    scale: Tensor

    def __init__(
        self,
        n_latent: int,
        n_covariates: int,
        n_features: int,
        n_strata: int,
        n_outputs: int = 1,
        *,
        hidden_widths: Sequence[int] = (64,),
        dropout: float = 0.3,
        feature_dropout: float = 0.5,
        wide_scale: float = 0.3,
    ) -> None:
        super().__init__()
        self.strata = nn.Embedding(n_strata + 1, N_STRATUM, padding_idx=0)
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        for before, after in pairwise([n_latent + N_STRATUM + n_covariates, *hidden_widths]):
            layers += [nn.Linear(before, after), nn.SELU(), nn.LayerNorm(after)]
        self.deep = nn.Sequential(*layers, nn.Linear(hidden_widths[-1], n_outputs))
        self.wide = nn.Linear(n_features, 1, bias=False)
        nn.init.zeros_(self.wide.weight)
        self.feature_dropout = nn.Dropout(feature_dropout)
        self.wide_scale = wide_scale
        self.register_buffer("centre_d", torch.zeros(n_latent))
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def fit_scale(self, z_nd: Tensor) -> None:
        """Set the centre and the one scale of an embedding, so that its weak dimensions, mostly noise, stay weak."""
        self.centre_d.copy_(z_nd.mean(0))
        self.scale.copy_(z_nd.var(0, correction=0).mean().sqrt().clamp(min=1e-6))

    def forward(self, z_nd: Tensor, stratum_n: Tensor, covariate_nk: Tensor, x_ng: Tensor) -> Tensor:
        """Return (n, o) from embeddings, codes of strata, covariates and scaled features."""
        scaled_nd = (z_nd - self.centre_d) / self.scale
        deep_no = self.deep(torch.cat([scaled_nd, self.strata(stratum_n + 1), covariate_nk], 1))
        return deep_no + self.wide_scale * self.wide(self.feature_dropout(x_ng))
