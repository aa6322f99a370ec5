"""A compact encoder of sequences, trained from scratch: convolutions that shorten, then a transformer.

Tensor axes: u sequences, l residues or positions of the longest one, p positions of all, d width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._types import Sequences

from ._residues import ALPHABETS, UNKNOWN, PackedStates, chosen, place_of, residue_codes, sequence_of, windowed
from ._transformer import PackedTransformer

RESIDUE_WIDTH = 8
"""Width of the embedding of one residue."""


class ResidueEncoder(nn.Module):
    """Residues → convolution → levels of (average of ``pool`` neighbours, residual convolution) → windows → transformer.

    Sequences are padded to the longest one for the convolutions alone, and what is beyond an end is zeroed before each, so
    that a sequence's states do not depend on the others.

    Parameters
    ----------
    kind
        "nucleotide" or "protein".
    width
        d.
    kernel
        Residues that the first convolution sees.
    n_levels, pool
        Levels, at least one, and neighbours that each averages.
    n_windows
        Most positions that are left of a sequence.
    n_layers, n_heads
        Of the transformer.
    dropout
        Of the transformer's branches, and of the residues' channels.
    """

    def __init__(
        self,
        kind: str,
        width: int,
        kernel: int,
        n_levels: int,
        pool: int,
        n_windows: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width, self.pool, self.n_windows = width, pool, n_windows
        self.n_residues = len(ALPHABETS[kind])
        self.register_buffer(
            "codes", residue_codes(kind) - UNKNOWN + 1, persistent=False
        )  # masked 0, unknown 1, then residues
        self.embedding = nn.Embedding(self.n_residues + 2, RESIDUE_WIDTH)
        self.stem = nn.Conv1d(RESIDUE_WIDTH, width // 2, kernel, padding=kernel // 2)
        self.widening = nn.Linear(width // 2, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(n_levels)])
        self.levels = nn.ModuleList([nn.Conv1d(width, width, 5, padding=2) for _ in range(n_levels)])
        self.places = nn.Parameter(torch.zeros(n_windows, width))
        self.transformer = PackedTransformer(width, n_layers, n_heads, 2 * width, dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, residues: Sequences, lengths: list[int] | None = None) -> PackedStates:
        """Return the states of each distinct sequence; that the host has their lengths spares it to ask for them."""
        states = self.local(residues, lengths)
        length_p = states.offsets.diff()[sequence_of(states)]
        x_pd = states.states + self.places[place_of(states) * self.n_windows // length_p.clamp(min=1)]
        return states._replace(states=self.norm(self.transformer(x_pd, states.offsets, states.lengths)))

    def local(self, residues: Sequences, lengths: list[int] | None = None) -> PackedStates:
        """Return what the convolutions see, in windows; sequences of like length are padded together."""
        lengths = residues.offsets.diff().tolist() if lengths is None else lengths
        sizes = [max(0, length - 1).bit_length() for length in lengths]  # the next power of 2
        order = sorted(range(len(sizes)), key=sizes.__getitem__)
        if len(set(sizes)) < 2:
            return self._local(residues, lengths)
        powers = 2 ** torch.arange(max(sizes) + 1, device=residues.offsets.device)
        order_u = torch.bucketize(residues.offsets.diff(), powers).argsort(stable=True)  # the same, on the device
        parts, first = [], 0
        for size in sorted(set(sizes)):
            own = slice(first, first + sizes.count(size))
            group = chosen(residues, order_u[own], lengths, order[own])
            parts.append(self._local(group, [lengths[u] for u in order[own]]))
            first = own.stop
        length_p = torch.cat([part.offsets.diff() for part in parts])
        offsets = torch.cat([length_p.new_zeros(1), length_p.cumsum(0)])
        joined = PackedStates(
            torch.cat([part.states for part in parts]), offsets, sum((part.lengths for part in parts), [])
        )
        return joined.of_observations(order_u.argsort(), sorted(range(len(order)), key=order.__getitem__))

    def _local(self, residues: Sequences, lengths: list[int]) -> PackedStates:
        x_uld, length_u = self._stem(residues, max(lengths, default=0))
        for level, (norm, convolution) in enumerate(zip(self.norms, self.levels, strict=True)):
            x_uld, length_u = _averaged(x_uld, length_u, self.pool)
            x_uld = x_uld if level else self.widening(x_uld)
            x_uld = x_uld + F.gelu(_convolved(norm(x_uld), length_u, convolution))
        offsets = torch.cat([length_u.new_zeros(1), length_u.cumsum(0)])
        shortening = self.pool ** len(self.levels)
        shortened = [-(-length // shortening) for length in lengths]
        at = PackedStates(x_uld.new_zeros(sum(shortened), 0), offsets, shortened)
        return windowed(at._replace(states=x_uld[sequence_of(at), place_of(at)]), self.n_windows)

    def residue_states(self, residues: Sequences, lengths: list[int] | None = None) -> Tensor:
        """Return (t, d): each residue as the first convolution sees it, plus the state of its window."""
        lengths = residues.offsets.diff().tolist() if lengths is None else lengths
        x_uld, _ = self._stem(residues, max(lengths, default=0))
        states, sequence_t, place_t = self(residues, lengths), sequence_of(residues), place_of(residues)
        shortening = self.pool ** len(self.levels)
        length_u, window_u = -(-residues.offsets.diff() // shortening), states.offsets.diff()
        window_t = place_t // shortening * window_u[sequence_t] // length_u[sequence_t]
        window_t = states.offsets[:-1][sequence_t] + window_t
        return self.widening(x_uld[sequence_t, place_t]) + states.states[window_t]

    def _stem(self, residues: Sequences, longest: int) -> tuple[Tensor, Tensor]:
        length_u = residues.offsets.diff()
        at = sequence_of(residues), place_of(residues)
        code_ul = torch.zeros(len(length_u), max(longest, 1), dtype=torch.int64, device=length_u.device)
        code_ul.index_put_(at, self.get_buffer("codes")[residues.residues.long()])
        x_uld = self.dropout(self.embedding(code_ul))
        return F.gelu(_convolved(x_uld, length_u, self.stem)), length_u


def _within(length_u: Tensor, longest: int) -> Tensor:
    return torch.arange(longest, device=length_u.device) < length_u[:, None]


def _convolved(x_uld: Tensor, length_u: Tensor, convolution: nn.Module) -> Tensor:
    x_uld = x_uld * _within(length_u, x_uld.shape[1])[:, :, None]
    return convolution(x_uld.transpose(1, 2)).transpose(1, 2)


def _averaged(x_uld: Tensor, length_u: Tensor, pool: int) -> tuple[Tensor, Tensor]:
    """Average each ``pool`` neighbours; the last ones may be fewer."""
    is_there_ul = _within(length_u, x_uld.shape[1])
    surplus = -x_uld.shape[1] % pool
    x_uld = F.pad(x_uld * is_there_ul[:, :, None], (0, 0, 0, surplus))
    count_ul = F.pad(is_there_ul, (0, surplus)).unflatten(1, (-1, pool)).sum(2)
    return x_uld.unflatten(1, (-1, pool)).sum(2) / count_ul.clamp(min=1)[:, :, None], -(-length_u // pool)
