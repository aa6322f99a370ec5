"""Fusion of modalities that any observation may lack.

Tensor axes: n observations, p positions of all observations, d width, f fused width.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from omicsmlm._checks import value_error

from ._abstractor import Abstractor
from ._attention import Segments, attend
from ._residues import PackedStates

FusionKind = Literal["cross_attention", "concatenation", "linear", "perceiver", "c_abstractor"]


class CrossAttention(nn.Module):
    """One stream of states attends to another, and adds what it finds; where the other is absent it adds nothing."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm, self.context_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        # Without biases, an absent stream adds nothing at all.
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, stream: PackedStates, context: PackedStates) -> PackedStates:
        """Return the stream with what it found in the context of the same observation."""
        heads = self.n_heads, -1
        normed_pd, context_qd = self.norm(stream.states), self.context_norm(context.states)
        query_phd = self.query(normed_pd).unflatten(1, heads)
        key_qhd, value_qhd = self.key(context_qd).unflatten(1, heads), self.value(context_qd).unflatten(1, heads)
        segments, context_segments = (Segments.of(part.offsets, part.lengths) for part in (stream, context))
        found_phd = attend(query_phd, key_qhd, value_qhd, segments, context_segments)
        return stream._replace(states=stream.states + self.dropout(self.out(found_phd.flatten(1))))


class Fusion(nn.Module):
    r"""Makes one embedding of the streams of an observation (IsoFormer, arXiv 2406.14150, section 3).

    "cross_attention": each stream in turn is the query and attends to the others **one after the other**, with residual
    connections, :math:`h'_m = f(h_m, h_a, h_b)`; the term of an absent stream is zero. The embedding is the pooled streams
    beside one another, zeros where one is absent. The others are the paper's ablations: "concatenation" pools without
    attending, "linear" mixes what was pooled by one layer, in "perceiver" learned latents attend to all positions, and
    "c_abstractor" pools after convolutions along each stream (:class:`Abstractor`).

    Parameters
    ----------
    names
        The streams.
    kind
        See above.
    width, n_heads
        Width of the states, and heads.
    dropout
        Of what attention adds.
    n_latents
        Latents of "perceiver", and states that "c_abstractor" leaves of a stream.

    Raises
    ------
    ValueError
        If there is no such kind.
    """

    def __init__(
        self, names: Sequence[str], kind: str, width: int, n_heads: int, dropout: float = 0.0, n_latents: int = 16
    ) -> None:
        super().__init__()
        if kind not in get_args(FusionKind):
            raise value_error("fusion", " or ".join(map(repr, get_args(FusionKind))), repr(kind), "pass one of these")
        self.names, self.kind = list(names), kind
        self.n_fused = width if kind in ("linear", "perceiver") else width * len(self.names)
        if kind == "cross_attention":
            pairs = [(one, other) for one in self.names for other in self.names if one != other]
            self.attentions = nn.ModuleDict(
                {f"{one} to {other}": CrossAttention(width, n_heads, dropout) for one, other in pairs}
            )
        elif kind == "linear":
            self.mixing = nn.Linear(width * len(self.names), width)
        elif kind == "perceiver":
            self.latents = nn.Parameter(torch.randn(n_latents, width) * width**-0.5)
            self.reading = CrossAttention(width, n_heads, dropout)
        elif kind == "c_abstractor":
            self.abstractors = nn.ModuleDict({name: Abstractor(width, n_latents, dropout) for name in self.names})

    def forward(self, streams: dict[str, PackedStates]) -> Tensor:
        """Return (n, f)."""
        if self.kind == "perceiver":
            return self._read(streams)
        if self.kind == "cross_attention":
            streams = {name: self._attended(name, streams) for name in self.names}
        elif self.kind == "c_abstractor":
            streams = {name: self.abstractors[name](streams[name]) for name in self.names}
        pooled_nf = torch.cat([streams[name].pooled() for name in self.names], 1)
        return self.mixing(pooled_nf) if self.kind == "linear" else pooled_nf

    def _attended(self, name: str, streams: dict[str, PackedStates]) -> PackedStates:
        stream = streams[name]
        for other in self.names:
            if other != name:
                stream = self.attentions[f"{name} to {other}"](stream, streams[other])
        return stream

    def _read(self, streams: dict[str, PackedStates]) -> Tensor:
        joined = _joined([streams[name] for name in self.names])
        n = len(joined.offsets) - 1
        offsets = torch.arange(n + 1, device=joined.offsets.device) * len(self.latents)
        latents = PackedStates(self.latents.repeat(n, 1), offsets, n * [len(self.latents)])
        return self.reading(latents, joined).pooled()


def _joined(streams: Sequence[PackedStates]) -> PackedStates:
    """Put the streams of each observation one after the other."""
    length_ns = torch.stack([stream.offsets.diff() for stream in streams], 1)
    offsets = torch.cat([length_ns.new_zeros(1), length_ns.sum(1).cumsum(0)])
    before_ns = length_ns.cumsum(1) - length_ns
    places = []
    for s, stream in enumerate(streams):
        shift_n = offsets[:-1] + before_ns[:, s] - stream.offsets[:-1]
        place_p = torch.arange(len(stream.states), device=offsets.device)
        places.append(place_p + torch.repeat_interleave(shift_n, length_ns[:, s], output_size=len(place_p)))
    states_pd = torch.cat([stream.states for stream in streams])
    lengths = [sum(own) for own in zip(*(stream.lengths for stream in streams), strict=True)]
    return PackedStates(torch.zeros_like(states_pd).index_copy(0, torch.cat(places), states_pd), offsets, lengths)
