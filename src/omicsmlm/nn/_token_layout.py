"""Tokens of several modalities as one packed sequence per observation, each begun by a token of the observation itself."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor

from omicsmlm._types import TokenSet, cached_lengths


class TokenLayout(NamedTuple):
    """Positions of the tokens of each observation: first the observation's own, then those of its modalities, in order."""

    offsets: Tensor
    """(n + 1,) int64: cumulative lengths."""
    first_n: Tensor
    """(n,) int64: place of each observation's own token."""
    places: dict[str, Tensor]
    """(t,) int64 per modality: place of each of its tokens."""
    lengths: list[int] | None = None
    """n lengths, where the host knows them."""

    @classmethod
    def of(cls, parts: Mapping[str, TokenSet], obs: Mapping[str, Tensor]) -> Self:
        """Lay out the tokens, whose observations are given, (t,) per modality."""
        lengths = {name: part.offsets.diff() for name, part in parts.items()}
        length_n = 1 + torch.stack(list(lengths.values())).sum(0)
        offsets = torch.cat([length_n.new_zeros(1), length_n.cumsum(0)])
        begin_n = offsets[:-1] + 1
        places = {}
        for name, part in parts.items():
            obs_t = obs[name]
            within_t = torch.arange(len(obs_t), device=obs_t.device) - part.offsets[obs_t]
            places[name] = begin_n[obs_t] + within_t
            begin_n = begin_n + lengths[name]
        known = [own for part in parts.values() if (own := cached_lengths(part)) is not None]
        sums = [1 + sum(own) for own in zip(*known, strict=True)] if len(known) == len(parts) else None
        return cls(offsets, offsets[:-1], places, sums)

    def join(self, first_nd: Tensor, tokens: Mapping[str, Tensor]) -> Tensor:
        """Put the observations' own tokens, (n, d), and those of each modality, (t, d), in their places: (all, d)."""
        place = torch.cat([self.first_n, *(self.places[name] for name in tokens)])
        x_td = torch.cat([first_nd, *tokens.values()])
        return torch.zeros_like(x_td).index_copy(0, place, x_td)
