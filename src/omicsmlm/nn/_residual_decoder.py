"""From the state of an observation alone to a logit per feature, through residual layers."""

import torch
from torch import Tensor, nn


class ResidualLayer(nn.Module):
    """h + W₂ GELU(W₁ LayerNorm(h)), of one width throughout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, h_nd: Tensor) -> Tensor:
        """Return (n, d)."""
        return h_nd + self.branch(h_nd)


class ResidualDecoder(nn.Module):
    """LayerNorm → residual layers → LayerNorm → linear, with a bias per feature.

    Parameters
    ----------
    width
        Width of the state, and of all layers.
    n_layers
        Residual layers; 0 for a linear decoder (then with one LayerNorm).
    n_features
        Features.
    """

    def __init__(self, width: int, n_layers: int, n_features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        last = [nn.LayerNorm(width)] if n_layers else []
        self.layers = nn.Sequential(*(ResidualLayer(width) for _ in range(n_layers)), *last)
        self.out = nn.Linear(width, n_features)
        self.initialize(torch.full((n_features,), 0.5, device=self.out.weight.device))

    @torch.no_grad()
    def initialize(self, bias_g: Tensor, scale: float = 0.01) -> None:
        """Initialise near some logits, those of the mean expression profile, say; differences between observations start small.

        Parameters
        ----------
        bias_g
            Logits.
        scale
            Standard deviation of what the state initially adds to them.
        """
        self.out.bias.copy_(bias_g)
        nn.init.normal_(self.out.weight, std=scale * self.out.in_features**-0.5)

    def forward(self, state_nd: Tensor) -> Tensor:
        """Return (n, g) logits."""
        return self.out(self.layers(self.norm(state_nd)))
