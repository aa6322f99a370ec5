"""Masking of token sets: some tokens are dropped, of some the value is masked, of some feature and modality."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from omicsmlm._draws import Draws
from omicsmlm._sizes import binomial_bound, positions_of_true
from omicsmlm._types import Masked, TokenCache, TokenSet, positions_of

from ._features import dropped_modality
from ._negatives import Candidates, draw_negatives


class MaskedValues(NamedTuple):
    """True values of a modality's tokens, which the loss is taken over."""

    values: Tensor
    """(t,) float32: value of each token of the input, masked or not; 0 for a negative (inaccessible) peak."""
    total: Tensor
    """(n,) float32: the true total of each observation."""
    identity_masked: Tensor
    """(t,) bool: the tokens whose modality is predicted."""


class MaskTokens:
    """Drops tokens and whole modalities; masks the values of some remaining tokens, and feature and modality of others.

    A dropped token leaves no trace. Of one with a masked value the feature is visible, and the value is predicted; of one
    with a masked identity (feature and modality) the modality is predicted; its value is visible, or masked too and not predicted.

    In modalities of binary values, a masked value would be known: a stored one is never zero. There each masked token adds
    about one negative (inaccessible) peak of the observation: see :func:`draw_negatives`.

    Parameters
    ----------
    drop_rates
        Lowest and highest fraction of dropped tokens; each observation draws its own, uniformly, for all its modalities.
    modality_rate
        Probability that one modality of an observation with several is dropped; the last one never is.
    value_rate, identity_rate
        Fractions of the remaining tokens whose value, and whose feature and modality, are masked to be predicted; never both of
        one token.
    max_tokens
        Expected number of tokens to keep of an observation: of longer ones, more are dropped.
    with_negatives
        Per modality to which negative peaks are added, a function that returns, given its name, the fraction of the training
        observations that have each feature, (g,), on the device.
    identity_in_sight
        Whether feature and modality of the tokens whose modality is predicted stay visible, so that predicting it is trivial.
    value_in_sight
        Whether their values stay visible, which tell most of it where modalities have values of their own.
    """

    def __init__(
        self,
        drop_rates: tuple[float, float],
        modality_rate: float,
        value_rate: float,
        identity_rate: float,
        max_tokens: int,
        with_negatives: Mapping[str, Callable[[str], Tensor]],
        *,
        identity_in_sight: bool = False,
        value_in_sight: bool = True,
    ) -> None:
        self.drop_rates = drop_rates
        self.modality_rate = modality_rate
        self.value_rate = value_rate
        self.identity_rate = identity_rate
        self.max_tokens = max_tokens
        self.with_negatives = dict(with_negatives)
        self.identity_in_sight = identity_in_sight
        self.value_in_sight = value_in_sight

    def __call__(self, sets: dict[str, TokenSet], draws: Draws) -> Masked:
        """Return the remaining tokens as inputs, all as targets, and the true values of the inputs, to be predicted.

        The host waits for the device here once: for the number of remaining tokens of each observation.
        """
        has_nm = torch.stack([part.present for part in sets.values()], 1)
        low, high = self.drop_rates
        kept_n = 1 - (low + (high - low) * draws.uniform())
        length_n = torch.stack([part.offsets.diff() for part in sets.values()]).sum(0)
        kept_n = torch.minimum(kept_n, self.max_tokens / length_n.clamp(min=1))
        lost_nm = dropped_modality(has_nm, self.modality_rate, draws)
        marked = {
            name: self._marked(name, part, torch.where(lost_nm[:, m], torch.zeros_like(kept_n), kept_n), draws)
            for m, (name, part) in enumerate(sets.items())
        }
        counts = torch.stack([marks.counts() for marks in marked.values()]).tolist()
        inputs, evaluated = {}, {}
        for (name, part), count in zip(sets.items(), counts, strict=True):
            inputs[name], evaluated[name] = self._masked(part, marked[name], count)
        return Masked(inputs=inputs, targets=sets, evaluated=evaluated)

    def _marked(self, name: str, part: TokenSet, kept_n: Tensor, draws: Draws) -> "_Marks":
        """Return what happens to each token."""
        obs_t, position_t = positions_of(part.offsets, len(part.ids))
        own_t = torch.arange(len(part.ids), device=obs_t.device) < part.offsets[-1]
        drawn_t, role_t = draws.tokens(obs_t, position_t), draws.tokens(obs_t, position_t)
        left_t = own_t & (drawn_t < kept_n[obs_t])
        masked_t = left_t & (role_t < self.value_rate)
        identity_t = left_t & (role_t >= self.value_rate) & (role_t < self.value_rate + self.identity_rate)
        negatives = None
        if name in self.with_negatives:
            most = binomial_bound(len(part.ids), (1 - self.drop_rates[0]) * self.value_rate)
            prevalence_g = self.with_negatives[name](name)
            negatives = draw_negatives(part, own_t, (obs_t, position_t), masked_t, most, prevalence_g, draws)
        return _Marks(kept_n, obs_t, own_t, left_t, masked_t, identity_t, negatives)

    def _masked(self, part: TokenSet, marks: "_Marks", count: list[int]) -> tuple[TokenSet, MaskedValues]:
        """Return the masked tokens and their true values; `count` has the numbers of :meth:`_Marks.counts`, on the host."""
        *lengths, n_left, n_negatives, n_masked = count
        left = positions_of_true(marks.left_t, n_left)[0]
        ids, truth, obs = part.ids[left], part.values[left], marks.obs_t[left]
        is_masked, identity_masked = marks.masked_t[left], marks.identity_t[left]
        if marks.negatives is not None and n_negatives:
            taken = positions_of_true(marks.negatives.is_taken, n_negatives)[0]
            added, added_obs = marks.negatives.ids[taken], marks.negatives.indices[taken]
            obs, order = torch.cat([obs, added_obs]).sort(stable=True)
            none = torch.zeros_like(added, dtype=torch.bool)
            ids = torch.cat([ids, added])[order]
            truth = torch.cat([truth, torch.zeros_like(added, dtype=truth.dtype)])[order]
            is_masked, identity_masked = torch.cat([is_masked, ~none])[order], torch.cat([identity_masked, none])[order]
        length_n = marks.length_n()
        offsets = torch.cat([length_n.new_zeros(1), length_n.cumsum(0)])
        values = torch.where(is_masked if self.value_in_sight else is_masked | identity_masked, torch.nan, truth)
        invisible_rate = self.value_rate + (0 if self.value_in_sight else self.identity_rate)
        masked = part._replace(
            ids=ids if self.identity_in_sight else torch.where(identity_masked, -1, ids),
            values=values,
            offsets=offsets,
            fraction=part.fraction * marks.kept_n * (1 - (0 if self.identity_in_sight else self.identity_rate)),
            covered=part.covered * marks.kept_n * (1 - invisible_rate),
            present=part.present & (marks.kept_n > 0),
            cache=TokenCache(offsets, lengths, values, positions_of_true(is_masked, n_masked)[0]),
        )
        own = torch.where(marks.own_t, part.values, 0.0)
        total_n = part.values.new_zeros(len(length_n)).index_add_(0, marks.obs_t, own) / part.covered
        return masked, MaskedValues(truth, total_n, identity_masked)


class _Marks(NamedTuple):
    """What happens to the tokens of one modality."""

    kept_n: Tensor
    """(n,) float32: fraction of its tokens that an observation keeps."""
    obs_t: Tensor
    """(t,) int64: observation of each token."""
    own_t: Tensor
    """(t,) bool: it belongs to an observation; on a device, others may stand at the end."""
    left_t: Tensor
    """(t,) bool: it is not dropped."""
    masked_t: Tensor
    """(t,) bool: its value is masked."""
    identity_t: Tensor
    """(t,) bool: its feature and modality are masked."""
    negatives: Candidates | None
    """Negative peaks that are added."""

    def length_n(self) -> Tensor:
        """Return the number of remaining tokens of each observation, negative peaks included, (n,) int64."""
        length_n = torch.zeros_like(self.kept_n, dtype=torch.int64).index_add_(0, self.obs_t, self.left_t.long())
        if self.negatives is None:
            return length_n
        taken = self.negatives.is_taken
        return length_n.index_add_(0, torch.where(taken, self.negatives.indices, 0), taken.long())

    def counts(self) -> Tensor:
        """Return (n + 3,) int64: the lengths of the observations, then how many tokens remain, are added and are masked."""
        n_negatives = (
            self.left_t.new_zeros((), dtype=torch.int64) if self.negatives is None else self.negatives.is_taken.sum()
        )
        totals = torch.stack([self.left_t.sum(), n_negatives, self.masked_t.sum() + n_negatives])
        return torch.cat([self.length_n(), totals])
