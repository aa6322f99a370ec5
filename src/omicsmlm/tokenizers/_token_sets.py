"""Observations as sets of tokens, one per stored feature, packed."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from omicsmlm._sizes import is_on_host, positions_of_true
from omicsmlm._types import Batch, TokenCache, Tokens, TokenSet, obs_of

from ._feature_grids import FeatureGrids


class TokenSets(nn.Module):
    """Returns each modality's tokens as they are stored, at most a number of them per observation.

    Parameters
    ----------
    profiles
        Per modality, (v,) mean profile: expected fraction of each feature of the vocabulary in an observation's total.
    max_tokens
        Most tokens of an observation, over all modalities. Of more, those are kept whose features come first in a random
        order of all features, which a seed fixes: a random sample, but always the same. It is drawn modality by modality,
        so that features that a query adds do not change the order of the others.
    seed
        Seed of that order.
    grids
        Tokenizer of the grids that a decoder reconstructs; a submodule here, so that it moves to the device with this one.
    """

    def __init__(self, profiles: Mapping[str, Tensor], max_tokens: int, seed: int, grids: FeatureGrids) -> None:
        super().__init__()
        self.names = list(profiles)
        self.max_tokens = max_tokens
        self.grids = grids
        generator = torch.Generator().manual_seed(seed)
        for m, profile_v in enumerate(profiles.values()):
            self.register_buffer(f"profile_{m}", profile_v)
            # Random keys to sort by, so many that two features hardly ever share one.
            self.register_buffer(f"order_{m}", torch.randint(1 << 62, (len(profile_v),), generator=generator))

    def forward(self, batch: Batch) -> dict[str, TokenSet]:
        """Return one token set per modality."""
        length_n = self._length_n(batch)
        kept = self._chosen(batch) if self._may_be_long(batch, length_n) else {}
        fraction_n = (self.max_tokens / length_n.clamp(min=1)).clamp(max=1)
        return {name: self._set(m, name, batch, kept.get(name), fraction_n) for m, name in enumerate(self.names)}

    def _length_n(self, batch: Batch) -> Tensor:
        """Return the number of tokens of each observation, over all modalities, (n,) int64."""
        return torch.stack([batch.tokens[name].offsets.diff() for name in self.names]).sum(0)

    def _may_be_long(self, batch: Batch, length_n: Tensor) -> bool:
        """Return whether an observation has too many tokens; where the host would have to wait to know, whether one may."""
        if is_on_host(length_n):
            return bool((length_n > self.max_tokens).any())
        known = [found for name in self.names if (found := _known(name, batch)) is not None]
        if len(known) == len(self.names):
            return bool((np.stack(known, 1).sum(1) > self.max_tokens).any())
        return sum(len(batch.tokens[name].ids) for name in self.names) > self.max_tokens

    def _set(self, m: int, name: str, batch: Batch, kept_t: Tensor | None, fraction_n: Tensor) -> TokenSet:
        tokens, measured = batch.tokens[name], batch.measured[name]
        known_n = _known(name, batch) if kept_t is None else None
        covered = (self.get_buffer(f"profile_{m}") * measured).sum().clamp(min=1e-3)
        if kept_t is not None:
            length_n = torch.zeros_like(batch.indices).index_add_(0, obs_of(tokens), kept_t.long())
            offsets = torch.cat([length_n.new_zeros(1), length_n.cumsum(0)])
            place_t, _ = positions_of_true(kept_t, self.max_tokens * len(batch.indices))
            tokens = Tokens(tokens.ids[place_t], tokens.values[place_t], offsets)
        return TokenSet(
            ids=tokens.ids.long(),
            values=tokens.values,
            offsets=tokens.offsets,
            fraction=fraction_n,
            covered=covered * fraction_n,
            measured=measured,
            present=batch.present[name],
            cache=None if known_n is None else TokenCache(tokens.offsets, known_n.tolist()),
        )

    def _chosen(self, batch: Batch) -> dict[str, Tensor]:
        """Return, (t,) bool per modality, whether each token is among the first of its observation in the random order."""
        ranks = [self.get_buffer(f"order_{m}")[batch.tokens[name].ids.long()] for m, name in enumerate(self.names)]
        obs_t = torch.cat([obs_of(batch.tokens[name]) for name in self.names])
        by_rank = torch.cat(ranks).argsort(stable=True)
        order = by_rank[obs_t[by_rank].argsort(stable=True)]
        length_n = self._length_n(batch)
        first_n = length_n.cumsum(0) - length_n
        place_t = torch.arange(len(obs_t), device=obs_t.device)
        is_kept_t = torch.zeros_like(obs_t, dtype=torch.bool)
        is_kept_t[order] = place_t - first_n[obs_t[order]] < self.max_tokens
        return dict(zip(self.names, is_kept_t.split([len(rank) for rank in ranks]), strict=True))


def _known(name: str, batch: Batch) -> np.ndarray | None:
    """Return the number of a modality's tokens in each observation, (n,) int64, if the host has it for these very tokens."""
    tokens = batch.tokens[name]
    if is_on_host(tokens.offsets):
        return tokens.offsets.diff().numpy()
    lengths = batch.lengths.get(name)
    return lengths.values if lengths is not None and lengths.values.sum() == len(tokens.ids) else None
