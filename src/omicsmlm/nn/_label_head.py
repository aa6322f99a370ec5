"""From an embedding to labels: a linear layer, and what makes its answers honest."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class LabelHead(nn.Module):
    r"""Logits of labels, their probabilities, and how far an observation is from all labels.

    The embedding is centred and divided by one common scale, so that its weak dimensions, mostly noise, stay weak.

    Parameters
    ----------
    n_latent
        d, width of the embedding.
    n_labels
        c.
    hidden_widths
        Of the hidden layers of a network whose logits are added to those of the linear layer; () for no network. Its last
        layer is 0 at first.
    """

    centre_d: Tensor
    scale: Tensor
    temperature: Tensor
    means_cd: Tensor
    within_dd: Tensor
    overall_dd: Tensor
    threshold: Tensor

    def __init__(self, n_latent: int, n_labels: int, hidden_widths: Sequence[int] = ()) -> None:
        super().__init__()
        self.linear = nn.Linear(n_latent, n_labels)
        self.hidden = _network(n_latent, hidden_widths, n_labels) if hidden_widths else None
        self.register_buffer("centre_d", torch.zeros(n_latent))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("means_cd", torch.zeros(n_labels, n_latent))
        self.register_buffer("within_dd", torch.eye(n_latent))
        self.register_buffer("overall_dd", torch.eye(n_latent))
        self.register_buffer("threshold", torch.full((), torch.inf))

    def clear_hidden(self) -> None:
        """Set the last layer of the network beside the linear layer to 0, so that it adds nothing."""
        if self.hidden is not None:
            _set_to_zero(self.hidden[-1])

    def scaled(self, z_nd: Tensor) -> Tensor:
        """Centre an embedding and bring it to the head's scale, (n, d)."""
        return (z_nd - self.centre_d) / self.scale

    def forward(self, z_nd: Tensor) -> Tensor:
        """Return the (n, c) logits of an embedding."""
        x_nd = self.scaled(z_nd)
        return self.linear(x_nd) if self.hidden is None else self.linear(x_nd) + self.hidden(x_nd)

    def probabilities(self, z_nd: Tensor) -> Tensor:
        r"""Return (n, c) probabilities, the softmax of the logits divided by the temperature (Guo et al. 2017)."""
        return (self(z_nd) / self.temperature).softmax(1)

    def novelty(self, z_nd: Tensor) -> Tensor:
        r"""Return the (n,) relative Mahalanobis distance to the nearest label (Ren et al. 2021, arXiv:2106.09022).

        .. math:: \min_c (x - m_c)^\top W^{-1} (x - m_c) - x^\top B^{-1} x

        with the means :math:`m_c` of the labels, the covariance :math:`W` within them and that of all observations, :math:`B`.
        What makes an observation unusual in general counts in both terms; what sets it apart from every label only in the
        first.
        """
        x_nd = self.scaled(z_nd)
        whitened_nd, means_cd = x_nd @ self.within_dd, self.means_cd @ self.within_dd
        # the quicker way by products is chosen by the number of observations, on which nothing may depend
        away_nc = torch.cdist(whitened_nd, means_cd, compute_mode="donot_use_mm_for_euclid_dist")
        nearest_n = away_nc.square().amin(1)
        return nearest_n - (x_nd @ self.overall_dd).square().sum(1)


def _network(n_in: int, widths: Sequence[int], n_out: int) -> nn.Sequential:
    """Return linear layers with SELU between them, the last one with weights of 0."""
    layers: list[nn.Module] = []
    for before, after in pairwise([n_in, *widths]):
        layers += [nn.Linear(before, after), nn.SELU()]
    last = nn.Linear(widths[-1], n_out)
    _set_to_zero(last)
    return nn.Sequential(*layers, last)


def _set_to_zero(layer: nn.Module) -> None:
    for weight in layer.parameters():
        nn.init.zeros_(weight)
