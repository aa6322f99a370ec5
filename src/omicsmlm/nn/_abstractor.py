"""An abstractor: convolutions and averages that leave a few states of a stream.

Tensor axes: p positions of all observations, d width.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ._residues import PackedStates, place_of, sequence_of, windowed

N_BLOCKS = 3
"""Blocks before the average, and again behind it (Cha et al., arXiv 2312.06742)."""


class NeighbourBlock(nn.Module):
    """Adds to each state of a stream what a convolution over it and its two neighbours finds; beyond an end there is nothing."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution, self.out = nn.Linear(3 * width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, stream: PackedStates) -> PackedStates:
        """Return the stream with what was found."""
        x_pd, place_p = self.norm(stream.states), place_of(stream)
        is_last_p = place_p == stream.offsets.diff()[sequence_of(stream)] - 1
        before_pd = F.pad(x_pd, (0, 0, 1, 0))[:-1] * (place_p > 0)[:, None]
        after_pd = F.pad(x_pd, (0, 0, 0, 1))[1:] * ~is_last_p[:, None]
        found_pd = self.out(F.gelu(self.convolution(torch.cat([before_pd, x_pd, after_pd], 1))))
        return stream._replace(states=stream.states + self.dropout(found_pd))


class Abstractor(nn.Module):
    """Blocks of convolutions, an average over at most so many windows, and blocks again (Cha et al., arXiv 2312.06742).

    The published one, of images, has bottlenecks with a gate for each channel as blocks; ours are plain.

    Parameters
    ----------
    width
        d.
    n_windows
        Most states that are left of a stream.
    dropout
        Of what blocks add.
    """

    def __init__(self, width: int, n_windows: int, dropout: float) -> None:
        super().__init__()
        self.n_windows = n_windows
        self.before, self.behind = (
            nn.ModuleList([NeighbourBlock(width, dropout) for _ in range(N_BLOCKS)]) for _ in range(2)
        )

    def forward(self, stream: PackedStates) -> PackedStates:
        """Return at most ``n_windows`` states of each observation's stream; of an absent one, none."""
        for block in self.before:
            stream = block(stream)
        stream = windowed(stream, self.n_windows)
        for block in self.behind:
            stream = block(stream)
        return stream
