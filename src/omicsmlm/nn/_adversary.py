"""An adversary that guesses the batch from the latent, and a gradient that teaches the latent to prevent it."""

import torch
from torch import Tensor, nn


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # type: ignore[override]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return -gradient


def reverse_gradient(x: Tensor) -> Tensor:
    """Pass values on as they are and gradients with their sign changed (Ganin & Lempitsky 2015)."""
    return _Reversed.apply(x)


class Adversary(nn.Module):
    """Two hidden layers from the latent to a logit per batch; its input's gradient is reversed."""

    def __init__(self, n_latent: int, n_batches: int, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_latent, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, n_batches)
        )

    def forward(self, z_nd: Tensor) -> Tensor:
        """Return (n, n_batches) logits."""
        return self.layers(reverse_gradient(z_nd))
