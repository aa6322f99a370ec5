"""From the state of an observation to its latent: components on a linear path, and what a network adds."""

import torch
from torch import Tensor, nn

from omicsmlm._draws import Draws
from omicsmlm._types import Encoded


class LatentHead(nn.Module):
    r"""Latent of an observation, from what was summed (h) and from what a network made of it (h'): μ = r ⊙ (W f(h') + S h).

    f is LayerNorm, GELU, dropout, linear, LayerNorm, GELU, dropout. S is initialised as a diagonal from components of h to
    linear dimensions, whose fixed scale r is that of the component, so that components of noise stay small but are not
    lost. Everything but r is trained.

    Parameters
    ----------
    width
        Width of the state.
    n_nonlinear, n_linear
        Dimensions of the latent without and with a component.
    dropout
        Dropout in f.
    """

    scale_d: Tensor

    def __init__(self, width: int, n_nonlinear: int, n_linear: int, dropout: float) -> None:
        super().__init__()
        self.n_nonlinear = n_nonlinear
        self.n_latent = n_nonlinear + n_linear
        self.hidden = nn.Sequential(
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.mean = nn.Linear(width, self.n_latent)
        self.skip = nn.Linear(width, self.n_latent, bias=False)
        self.log_variance = nn.Linear(width, self.n_latent)
        self.register_buffer("scale_d", torch.ones(self.n_latent))

    def forward(self, summed_nd: Tensor, state_nd: Tensor) -> Encoded:
        """Return mean and log variance, (n, n_latent), of h and h'."""
        hidden_nd = self.hidden(state_nd)
        mean_nd = self.scale_d * (self.mean(hidden_nd) + self.skip(summed_nd))
        return Encoded(mean_nd, self.log_variance(hidden_nd).clamp(-8, 4))

    @torch.no_grad()
    def initialize(self, residual_scale: float) -> None:
        """Initialise such that the linear dimensions have next to nothing but the linear path, and the posterior little variance."""
        self.skip.weight.zero_()
        self.mean.weight[self.n_nonlinear :].mul_(residual_scale)
        self.mean.bias.zero_()
        self.log_variance.weight.mul_(0.1)
        self.log_variance.bias.fill_(-2.0)

    @torch.no_grad()
    def initialize_linear(self, first: int, scale_k: Tensor, size: float) -> None:
        """Connect the components from ``first`` on to linear dimensions that are still free, as many as there are."""
        free = (self.skip.weight[self.n_nonlinear :].abs().sum(1) == 0).nonzero()[: len(scale_k), 0]
        for k, dimension in enumerate((self.n_nonlinear + free).tolist()):
            self.skip.weight[dimension, first + k] = size
            self.scale_d[dimension] = scale_k[k]


def drawn(encoded: Encoded, draws: Draws | None) -> Tensor:
    """Draw a latent from its posterior; without draws, return the mean."""
    if draws is None:
        return encoded.mean
    return encoded.mean + draws.normal(encoded.mean.shape[1]) * (encoded.log_variance / 2).exp()
