"""Transformers on packed tokens: one that lets every token see every other of its segment, one that goes through latents.

Tensor axes: n segments, t tokens, s tokens of the context, l latents, h heads, d width.
"""

import torch
from torch import Tensor, nn

from omicsmlm._checks import value_error

from ._attention import Segments, attend


class _Attention(nn.Module):
    """Multi-head attention of packed tokens to those of a context of the same segments."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        # Three layers, not one: their outputs are contiguous, so that no segment is copied on its way into the kernel.
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x_td: Tensor, segments: Segments, context_sd: Tensor, context_segments: Segments) -> Tensor:
        heads = self.n_heads, -1
        query_thd = self.query(x_td).unflatten(1, heads)
        key_shd, value_shd = self.key(context_sd).unflatten(1, heads), self.value(context_sd).unflatten(1, heads)
        return self.out(attend(query_thd, key_shd, value_shd, segments, context_segments).flatten(1))


class _Block(nn.Module):
    """Attention, to the tokens themselves or to a context, then a feed-forward; each adds to the residual stream."""

    def __init__(
        self,
        width: int,
        n_heads: int,
        feed_forward: int,
        dropout: float,
        layer_scale: float,
        *,
        crosses: bool = False,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width) if crosses else None
        self.attention = _Attention(width, n_heads)
        self.attention_scale = nn.Parameter(torch.full((width,), layer_scale))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, feed_forward), nn.GELU(), nn.Linear(feed_forward, width)
        )
        self.feed_forward_scale = nn.Parameter(torch.full((width,), layer_scale))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x_td: Tensor, segments: Segments, context_sd: Tensor | None = None, context: Segments | None = None
    ) -> Tensor:
        normed_td = self.norm(x_td)
        if self.context_norm is None or context_sd is None or context is None:
            attended_td = self.attention(normed_td, segments, normed_td, segments)
        else:
            attended_td = self.attention(normed_td, segments, self.context_norm(context_sd), context)
        return self._added(x_td, attended_td, segments)

    def firsts(self, x_td: Tensor, segments: Segments) -> Tensor:
        """Return what :meth:`forward` gives of the first token of each segment, and compute no other."""
        first_n, alone = segments.offsets[:-1], _firsts(segments)
        normed_td = self.norm(x_td)
        return self._added(x_td[first_n], self.attention(normed_td[first_n], alone, normed_td, segments), alone)

    def _added(self, x_td: Tensor, attended_td: Tensor, segments: Segments) -> Tensor:
        x_td = torch.addcmul(x_td, self.attention_scale, self._kept(self.dropout(attended_td), segments))
        return torch.addcmul(x_td, self.feed_forward_scale, self._kept(self.dropout(self.feed_forward(x_td)), segments))

    def _kept(self, branch_td: Tensor, segments: Segments) -> Tensor:
        """Drop a branch as a whole from some segments, in training; what is left makes up for it."""
        if not self.training or self.drop_rate == 0:
            return branch_td
        kept_n = (torch.rand(segments.n, device=branch_td.device) >= self.drop_rate) / (1 - self.drop_rate)
        kept_t = nn.functional.pad(kept_n, (0, 1))[
            segments.of_token(len(branch_td))
        ]  # tokens of no segment are dropped
        return branch_td * kept_t[:, None].to(branch_td.dtype)


class PackedTransformer(nn.Module):
    r"""Pre-norm transformer in which each token attends to all tokens of its segment, and to no other.

    Each block does, for its tokens x and learned scales :math:`\gamma` (LayerScale, Touvron et al. 2021),

    .. math::
        x &\leftarrow x + \gamma_1 \odot \operatorname{Attention}(\operatorname{LayerNorm}(x)) \\
        x &\leftarrow x + \gamma_2 \odot \operatorname{FeedForward}(\operatorname{LayerNorm}(x)).

    The residual stream is returned as it is: who reads it brings a norm. There are no positions: a segment is a set.

    Parameters
    ----------
    width
        d, a multiple of ``n_heads``.
    n_layers
        Blocks.
    n_heads
        Heads of the attention.
    feed_forward
        Hidden width of the feed-forward (GELU).
    dropout
        Fraction of each branch's output that is dropped in training; attention weights are not dropped.
    layer_scale
        Initial value of :math:`\gamma`; 0.1 is that of the paper for up to 18 layers.
    stochastic_depth
        Probability, in training, that a segment skips a branch of the last block; it rises from 0 at the first one, each block
        by as much (Huang et al. 2016).

    Raises
    ------
    ValueError
        If the heads do not divide the width.
    """

    def __init__(
        self,
        width: int,
        n_layers: int,
        n_heads: int,
        feed_forward: int,
        dropout: float = 0.0,
        layer_scale: float = 0.1,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        _check_heads(width, n_heads)
        rates = [stochastic_depth * i / max(1, n_layers - 1) for i in range(n_layers)]
        self.blocks = nn.ModuleList(
            _Block(width, n_heads, feed_forward, dropout, layer_scale, drop_rate=rate) for rate in rates
        )

    def forward(self, x_td: Tensor, offsets: Tensor, lengths: list[int] | None = None) -> Tensor:
        """Return the (t, d) states of (t, d) tokens; segment i owns the tokens ``offsets[i]:offsets[i + 1]``.

        Lengths of the segments that the host has spare it to ask the device for them.
        """
        segments = Segments.of(offsets, lengths)
        for block in self.blocks:
            x_td = block(x_td, segments)
        return x_td

    def firsts(
        self, x_td: Tensor, offsets: Tensor, lengths: list[int] | None = None, longest: int | None = None
    ) -> Tensor:
        """Return the (n, d) states of the first token of each segment alone; no segment may be empty.

        They are those that :meth:`forward` gives, but the last block computes no other. That no segment is longer than
        ``longest`` also spares the host to ask; there may then be tokens behind those of the last segment.
        """
        segments = Segments.of(offsets, lengths, longest)
        for block in self.blocks[:-1]:
            x_td = block(x_td, segments)
        if not len(self.blocks):
            return x_td[offsets[:-1]]
        last = self.blocks[-1]
        assert isinstance(last, _Block)
        return last.firsts(x_td, segments)


class LatentTransformer(nn.Module):
    """Transformer for very long segments: tokens speak through a few latents, at a cost that grows linearly with length.

    Learned latents attend to the tokens of a segment, then ``n_layers`` blocks let them attend to one another, then the tokens
    attend to the latents of their segment. Each of these is a block as in :class:`PackedTransformer`, with attention from one
    side to the other in the first and the last (Perceiver IO, Jaegle et al. 2022; here the tokens themselves, not learned
    queries, read the output, on top of their residual stream).

    Parameters
    ----------
    width
        d, a multiple of ``n_heads``.
    n_latents
        Latents of a segment.
    n_layers
        Blocks among the latents.
    n_heads, feed_forward, dropout, layer_scale
        As in :class:`PackedTransformer`.

    Raises
    ------
    ValueError
        If the heads do not divide the width.
    """

    def __init__(
        self,
        width: int,
        n_latents: int,
        n_layers: int,
        n_heads: int,
        feed_forward: int,
        dropout: float = 0.0,
        layer_scale: float = 0.1,
    ) -> None:
        super().__init__()
        _check_heads(width, n_heads)
        shape = width, n_heads, feed_forward, dropout, layer_scale
        self.latents = nn.Parameter(torch.randn(n_latents, width))
        self.read = _Block(*shape, crosses=True)
        self.blocks = nn.ModuleList(_Block(*shape) for _ in range(n_layers))
        self.write = _Block(*shape, crosses=True)

    def forward(self, x_td: Tensor, offsets: Tensor, lengths: list[int] | None = None) -> Tensor:
        """Return the (t, d) states of (t, d) tokens; segment i owns the tokens ``offsets[i]:offsets[i + 1]``."""
        segments = Segments.of(offsets, lengths)
        return self.write(x_td, segments, *self._read(x_td, segments))

    def firsts(self, x_td: Tensor, offsets: Tensor, lengths: list[int] | None = None) -> Tensor:
        """Return the (n, d) states of the first token of each segment alone; no segment may be empty."""
        segments = Segments.of(offsets, lengths)
        return self.write(x_td[offsets[:-1]], _firsts(segments), *self._read(x_td, segments))

    def _read(self, x_td: Tensor, segments: Segments) -> tuple[Tensor, Segments]:
        """Return the states of each segment's latents, and where they stand."""
        n, n_latents = segments.n, len(self.latents)
        latent_segments = Segments(n_latents * torch.arange(n + 1, device=x_td.device), n * [n_latents])
        latents_sd = self.latents.repeat(n, 1).to(x_td.dtype)
        latents_sd = self.read(latents_sd, latent_segments, x_td, segments)
        for block in self.blocks:
            latents_sd = block(latents_sd, latent_segments)
        return latents_sd, latent_segments


def _firsts(segments: Segments) -> Segments:
    """Return segments of one token each."""
    return Segments(torch.arange(segments.n + 1, device=segments.offsets.device), segments.n * [1])


def _check_heads(width: int, n_heads: int) -> None:
    if n_heads < 1 or width % n_heads:
        raise value_error("n_heads", f"a divisor of the width, {width}", str(n_heads), "pass 4 or 8, say")
