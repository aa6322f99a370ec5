"""A transformer over sequences of one length, whose attention knows positions by rotation."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BASE = 10_000.0
"""The slowest pair of dimensions turns by 1 / ``BASE`` radians a position, nearly (Su et al. 2021)."""


def rotated(x_nhld: Tensor, base: float = BASE) -> Tensor:
    r"""Turn the pair of dimensions (j, j + d/2) at position p by the angle :math:`p\, b^{-2j/d}` (Su et al. 2021).

    The product of a turned query and a turned key depends on the distance of their positions alone.

    Parameters
    ----------
    x_nhld
        Queries or keys of each head; d even.
    base
        b.

    Examples
    --------
    >>> rotated(torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])).squeeze().T  # the second position is turned by one radian
    tensor([[1.0000, 0.5403],
            [0.0000, 0.8415]])
    """
    l, d = x_nhld.shape[-2:]
    half = torch.arange(d // 2, device=x_nhld.device, dtype=torch.float32)
    angle_lh = torch.arange(l, device=x_nhld.device, dtype=torch.float32)[:, None] * base ** (-2 * half / d)
    cosine_ld, sine_ld = (part.to(x_nhld.dtype) for part in (angle_lh.cos(), angle_lh.sin()))
    first, second = x_nhld.chunk(2, -1)
    return torch.cat([first * cosine_ld - second * sine_ld, second * cosine_ld + first * sine_ld], -1)


class RotaryAttention(nn.Module):
    """Attention of all positions to all, with rotary positions; projections with bias.

    Parameters
    ----------
    width
        d, a multiple of twice the number of heads.
    n_heads
        h.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        assert width % (2 * n_heads) == 0, "heads of even width"
        self.n_heads = n_heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, states_nld: Tensor) -> Tensor:
        """Return (n, l, d)."""
        query, key, value = (self._heads(layer(states_nld)) for layer in (self.query, self.key, self.value))
        found_nhle = F.scaled_dot_product_attention(rotated(query), rotated(key), value)
        return self.out(found_nhle.transpose(1, 2).flatten(2))

    def _heads(self, states_nld: Tensor) -> Tensor:
        return states_nld.unflatten(2, (self.n_heads, -1)).transpose(1, 2)


class SwiGLU(nn.Module):
    """Out of SiLU(gate) × value, both linear in the state; no bias (Shazeer 2020).

    Parameters
    ----------
    width, hidden
        Width of the states and of gate and value.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_and_value = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, states_nld: Tensor) -> Tensor:
        """Return (n, l, d)."""
        gate, value = self.gate_and_value(states_nld).chunk(2, -1)
        return self.out(F.silu(gate) * value)


class RotaryBlock(nn.Module):
    """LayerNorm → attention, added; LayerNorm → SwiGLU, added."""

    def __init__(self, width: int, n_heads: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), RotaryAttention(width, n_heads)
        self.feed_norm, self.feed = nn.LayerNorm(width), SwiGLU(width, hidden)

    def forward(self, states_nld: Tensor) -> Tensor:
        """Return (n, l, d)."""
        states_nld = states_nld + self.attention(self.attention_norm(states_nld))
        return states_nld + self.feed(self.feed_norm(states_nld))


class RotaryTransformer(nn.Sequential):
    """Blocks of :class:`RotaryBlock`; no mask, no dropout, no norm at the end.

    Parameters
    ----------
    width, n_heads, hidden
        Width of the states, number of heads, width inside of SwiGLU.
    n_blocks
        Blocks.
    """

    def __init__(self, width: int, n_heads: int, hidden: int, n_blocks: int) -> None:
        super().__init__(*(RotaryBlock(width, n_heads, hidden) for _ in range(n_blocks)))
