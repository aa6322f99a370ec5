"""Hiding in sets of tokens: some are dropped, of some the value is hidden, of some what they are."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from omicsmlm._draws import Draws
from omicsmlm._types import Corrupted, TokenSet, places_of

from ._hide import lost_modality

MOST_DRAWS = 8.0
"""Most draws for one closed region; it takes more where nearly every row has nearly every region."""


class HiddenValues(NamedTuple):
    """What a modality's corrupted tokens are judged by."""

    values: Tensor
    """(t,) float32 of each token of the input, seen or not; 0 for a region that was added because it is closed."""
    total: Tensor
    """(n,) float32: the true total of each row."""
    asked: Tensor
    """(t,) bool: the tokens whose modality is asked for."""


class HideTokens:
    """Drops tokens and whole modalities; of what is left, hides some values and, of others, feature and modality.

    Each row draws its share of dropped tokens. A token that was dropped leaves no trace. One with a hidden value still says
    which feature it is, and is what masked value prediction is scored on; one with a hidden feature still shows its value,
    and is what modality prediction is scored on.

    In modalities of which only presence is told, a hidden value would be known: it is never zero. There each hidden token
    brings about one that is closed in the row, drawn so that a region is as often among the closed ones as it is among the
    open ones of the batch: how common it is does not give the answer.

    Parameters
    ----------
    drop_rates
        Lowest and highest share of dropped tokens; each row draws its own, uniformly, for all of its modalities.
    modality_rate
        Probability that a row with several modalities loses one of them; it never loses its last one.
    value_rate, identity_rate
        Share of the tokens left whose value, and whose feature and modality, are hidden; never both.
    max_tokens
        Tokens to leave of a row, about: longer rows drop more.
    brings_closed
        Per modality, whether hidden tokens bring closed ones.
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
        brings_closed: Mapping[str, bool],
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

    def __call__(self, sets: dict[str, TokenSet], draws: Draws) -> Corrupted:
        """Return what is left as inputs, everything as targets, and the true values of the inputs as what is scored."""
        has_nm = torch.stack([part.present for part in sets.values()], 1)
        low, high = self.drop_rates
        kept_n = 1 - (low + (high - low) * draws.uniform())
        length_n = torch.stack([part.offsets.diff() for part in sets.values()]).sum(0)
        kept_n = torch.minimum(kept_n, self.max_tokens / length_n.clamp(min=1))
        lost_nm = lost_modality(has_nm, self.modality_rate, draws)
        inputs, scored = {}, {}
        for m, (name, part) in enumerate(sets.items()):
            shown_n = torch.where(lost_nm[:, m], torch.zeros_like(kept_n), kept_n)
            inputs[name], scored[name] = self._hidden(part, shown_n, self.brings_closed[name], draws)
        return Corrupted(inputs=inputs, targets=sets, scored=scored)

    def _hidden(
        self, part: TokenSet, shown_n: Tensor, brings_closed: bool, draws: Draws
    ) -> tuple[TokenSet, HiddenValues]:
        row_t, position_t = places_of(part.offsets, len(part.ids))
        drawn_t, role_t = draws.tokens(row_t, position_t), draws.tokens(row_t, position_t)
        left = (drawn_t < shown_n[row_t]).nonzero()[:, 0]
        ids, truth, row, role = part.ids[left], part.values[left], row_t[left], role_t[left]
        hides_value = role < self.value_rate
        asked = (role >= self.value_rate) & (role < self.value_rate + self.identity_rate)
        if brings_closed:
            extra, extra_row = _closed(part, row_t, row[hides_value], draws)
            order = torch.cat([row, extra_row]).argsort(stable=True)
            none = torch.zeros_like(extra, dtype=torch.bool)
            ids, row = torch.cat([ids, extra])[order], torch.cat([row, extra_row])[order]
            truth = torch.cat([truth, torch.zeros_like(extra, dtype=truth.dtype)])[order]
            hides_value, asked = (
                torch.cat([hides_value, ~none])[order],
                torch.cat([asked, none])[order],
            )
        length_n = torch.bincount(row, minlength=len(shown_n))
        hidden = part._replace(
            ids=ids if self.identity_in_sight else torch.where(asked, -1, ids),
            values=torch.where(hides_value, torch.nan, truth),
            offsets=torch.cat([length_n.new_zeros(1), length_n.cumsum(0)]),
            share=part.share * shown_n * (1 - (0 if self.identity_in_sight else self.identity_rate)),
            covered=part.covered * shown_n * (1 - self.value_rate),
            present=part.present & (shown_n > 0),
        )
        total_n = part.values.new_zeros(len(shown_n)).index_add_(0, row_t, part.values) / part.covered
        return hidden, HiddenValues(truth, total_n, asked)


def _closed(part: TokenSet, row_t: Tensor, wanted_row: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Draw features that rows lack, about as many as rows are given, each as often as it is found in the batch.

    A feature that a share p of the rows has is drawn in proportion to p / (1 - p), and left out where the row has it.
    """
    n_rows, size = part.present.sum(), len(part.measured)
    n_having_g = torch.bincount(part.ids, minlength=size)
    n_lacking_g = n_rows - n_having_g
    weight_g = torch.where(n_lacking_g > 0, n_having_g / n_lacking_g.clamp(min=1), 0.0)
    if len(wanted_row) == 0 or not bool(weight_g.any()):
        return part.ids[:0], wanted_row[:0]
    draws_for_one = weight_g.sum() * n_rows / (n_having_g * (n_lacking_g > 0)).sum()
    n_draws = round(len(wanted_row) * float(draws_for_one.clamp(max=MOST_DRAWS)))
    reached_g = weight_g.cumsum(0)
    drawn = torch.searchsorted(reached_g, draws.shared(n_draws) * reached_g[-1], right=True).clamp(max=size - 1)
    rows = wanted_row[(draws.shared(n_draws) * len(wanted_row)).long()]
    key, known = torch.unique(rows * size + drawn), row_t * size + part.ids
    key = key[~torch.isin(key, known)]
    return key % size, key // size
