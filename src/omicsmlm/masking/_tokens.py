"""Masking in sets of tokens: some are dropped, of some the value is masked, of some what they are."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from omicsmlm._draws import Draws
from omicsmlm._sizes import binomial_bound, positions_of_true
from omicsmlm._types import Masked, TokenCache, TokenSet, positions_of

from ._closed import Candidates, draw_closed
from ._features import dropped_modality


class MaskedValues(NamedTuple):
    """What a modality's masked tokens are judged by."""

    values: Tensor
    """(t,) float32 of each token of the input, seen or not; 0 for a region that was added because it is closed."""
    total: Tensor
    """(n,) float32: the true total of each row."""
    asked: Tensor
    """(t,) bool: the tokens whose modality is asked for."""


class MaskTokens:
    """Drops tokens and whole modalities; of what is left, masks some values and, of others, feature and modality.

    Each row draws its share of dropped tokens. A token that was dropped leaves no trace. One with a masked value still says
    which feature it is, and is what masked value prediction is scored on; one with a masked feature still shows its value,
    and is what modality prediction is scored on.

    In modalities of which only presence is told, a masked value would be known: it is never zero. There each masked token
    brings about one that is closed in the row, drawn so that a region is as often among the closed ones as it is among the
    open ones: how common it is does not give the answer.

    Parameters
    ----------
    drop_rates
        Lowest and highest share of dropped tokens; each row draws its own, uniformly, for all of its modalities.
    modality_rate
        Probability that a row with several modalities loses one of them; it never loses its last one.
    value_rate, identity_rate
        Share of the tokens left whose value, and whose feature and modality, are masked; never both.
    max_tokens
        Tokens to leave of a row, about: longer rows drop more.
    brings_closed
        Per modality of which masked tokens bring closed ones, what gives, by its name, the share of all rows that have each
        feature, (g,), on the device.
    identity_in_sight
        Whether the tokens whose modality is asked for show feature and modality all the same: then it is no question.
    """

    def __init__(
        self,
        drop_rates: tuple[float, float],
        modality_rate: float,
        value_rate: float,
        identity_rate: float,
        max_tokens: int,
        brings_closed: Mapping[str, Callable[[str], Tensor]],
        *,
        identity_in_sight: bool = False,
    ) -> None:
        self.drop_rates = drop_rates
        self.modality_rate = modality_rate
        self.value_rate = value_rate
        self.identity_rate = identity_rate
        self.max_tokens = max_tokens
        self.brings_closed = dict(brings_closed)
        self.identity_in_sight = identity_in_sight

    def __call__(self, sets: dict[str, TokenSet], draws: Draws) -> Masked:
        """Return what is left as inputs, everything as targets, and the true values of the inputs as what is scored.

        On a device the host waits here once: for the number of tokens that are left of each row.
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

    def _marked(self, name: str, part: TokenSet, shown_n: Tensor, draws: Draws) -> "_Marks":
        """Decide what happens to each token."""
        obs_t, position_t = positions_of(part.offsets, len(part.ids))
        own_t = torch.arange(len(part.ids), device=obs_t.device) < part.offsets[-1]
        drawn_t, role_t = draws.tokens(obs_t, position_t), draws.tokens(obs_t, position_t)
        left_t = own_t & (drawn_t < shown_n[obs_t])
        masked_t = left_t & (role_t < self.value_rate)
        asked_t = left_t & (role_t >= self.value_rate) & (role_t < self.value_rate + self.identity_rate)
        closed = None
        if name in self.brings_closed:
            most = binomial_bound(len(part.ids), (1 - self.drop_rates[0]) * self.value_rate)
            common_g = self.brings_closed[name](name)
            closed = draw_closed(part, own_t, (obs_t, position_t), masked_t, most, common_g, draws)
        return _Marks(shown_n, obs_t, own_t, left_t, masked_t, asked_t, closed)

    def _masked(self, part: TokenSet, marks: "_Marks", count: list[int]) -> tuple[TokenSet, MaskedValues]:
        *lengths, n_left, n_closed, n_masked = count
        left = positions_of_true(marks.left_t, n_left)[0]
        ids, truth, row = part.ids[left], part.values[left], marks.obs_t[left]
        is_masked, asked = marks.masked_t[left], marks.asked_t[left]
        if marks.closed is not None and n_closed:
            taken = positions_of_true(marks.closed.is_taken, n_closed)[0]
            extra, extra_row = marks.closed.ids[taken], marks.closed.indices[taken]
            row, order = torch.cat([row, extra_row]).sort(stable=True)
            none = torch.zeros_like(extra, dtype=torch.bool)
            ids, truth = (
                torch.cat([ids, extra])[order],
                torch.cat([truth, torch.zeros_like(extra, dtype=truth.dtype)])[order],
            )
            is_masked, asked = torch.cat([is_masked, ~none])[order], torch.cat([asked, none])[order]
        length_n = marks.length_n()
        offsets, values = (
            torch.cat([length_n.new_zeros(1), length_n.cumsum(0)]),
            torch.where(is_masked, torch.nan, truth),
        )
        masked = part._replace(
            ids=ids if self.identity_in_sight else torch.where(asked, -1, ids),
            values=values,
            offsets=offsets,
            fraction=part.fraction * marks.shown_n * (1 - (0 if self.identity_in_sight else self.identity_rate)),
            covered=part.covered * marks.shown_n * (1 - self.value_rate),
            present=part.present & (marks.shown_n > 0),
            cache=TokenCache(offsets, lengths, values, positions_of_true(is_masked, n_masked)[0]),
        )
        own = torch.where(marks.own_t, part.values, 0.0)
        total_n = part.values.new_zeros(len(length_n)).index_add_(0, marks.obs_t, own) / part.covered
        return masked, MaskedValues(truth, total_n, asked)


class _Marks(NamedTuple):
    """What happens to the tokens of one modality."""

    shown_n: Tensor
    """(n,) float32: share of its tokens that a row keeps."""
    obs_t: Tensor
    """(t,) int64 row of each token."""
    own_t: Tensor
    """(t,) bool: it belongs to a row; those that no row has stand at the end."""
    left_t: Tensor
    """(t,) bool: it is not dropped."""
    masked_t: Tensor
    """(t,) bool: its value is masked."""
    asked_t: Tensor
    """(t,) bool: its modality is asked for."""
    closed: Candidates | None
    """Closed regions that are brought."""

    def length_n(self) -> Tensor:
        """Give how many tokens each row is left with, (n,) int64."""
        length_n = torch.zeros_like(self.shown_n, dtype=torch.int64).index_add_(0, self.obs_t, self.left_t.long())
        if self.closed is None:
            return length_n
        taken = self.closed.is_taken
        return length_n.index_add_(0, torch.where(taken, self.closed.indices, 0), taken.long())

    def counts(self) -> Tensor:
        """Return the lengths of the rows, then how many are left, closed, and masked: (n + 3,) int64."""
        n_closed = self.left_t.new_zeros((), dtype=torch.int64) if self.closed is None else self.closed.is_taken.sum()
        totals = torch.stack([self.left_t.sum(), n_closed, self.masked_t.sum() + n_closed])
        return torch.cat([self.length_n(), totals])
