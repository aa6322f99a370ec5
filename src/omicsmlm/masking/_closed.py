"""Closed regions beside the masked open ones, so that a masked value is a question where only presence is told."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from omicsmlm._draws import Draws
from omicsmlm._sizes import is_on_host, positions_of_true
from omicsmlm._types import TokenSet

MOST_DRAWS = 8
"""Most draws for one closed region; it takes more where nearly every row has nearly every region."""
MOST_COMMON = 127 / 128
"""Share of the rows above which a region is drawn as if it were no more common: nearly all draws would go to it."""
EVERYWHERE = 1 - 1e-5
"""Share of the rows from which on a region counts as open in all."""


class Candidates(NamedTuple):
    """Regions that were drawn for rows, c draws in all."""

    ids: Tensor
    """(c,) int64."""
    indices: Tensor
    """(c,) int64, ascending where they are taken."""
    is_taken: Tensor
    """(c,) bool: the row lacks the region, and it was not drawn for it before."""


def draw_closed(
    part: TokenSet,
    own_t: Tensor,
    indices: tuple[Tensor, Tensor],
    for_t: Tensor,
    most: int,
    common_g: Tensor,
    draws: Draws,
) -> Candidates:
    """Draw regions that rows lack, about one for each of some tokens, each as often as it is found among the open ones.

    A region that a share p of all rows has is drawn in proportion to p / (1 - p), and left out where the row has it. What a
    row gets depends on no other row of the batch.

    Parameters
    ----------
    part
        The rows, all of their tokens.
    own_t
        (t,) bool: the token belongs to a row.
    indices
        Row of each token and its place there, (t,) each.
    for_t, most
        (t,) bool: the tokens for which a region is drawn; their largest number.
    common_g
        (g,) share of all rows, of the training set, that have each region.
    draws
        Of the step.
    """
    size, (obs_t, position_t) = len(part.measured), indices
    weight_g, n_wanted = _weights(common_g, part.measured)
    token_s, is_there_s = positions_of_true(for_t, most)
    n_each = math.ceil(min(MOST_DRAWS, float(n_wanted))) if is_on_host(n_wanted) else MOST_DRAWS
    draw_d = torch.arange(n_each, device=obs_t.device)
    row_c = obs_t[token_s].repeat_interleave(n_each)
    key_c = (position_t[token_s][:, None] * MOST_DRAWS + draw_d).flatten()
    reached_g = weight_g.cumsum(0)
    at_c = draws.tokens(row_c, key_c) * reached_g[-1]
    id_c = torch.searchsorted(reached_g, at_c, right=True).clamp(max=size - 1)
    # Of d wanted draws, all below d are used, and the last one with the probability that is left.
    is_used_c = draws.tokens(row_c, key_c) < (n_wanted - draw_d).repeat(len(token_s))
    is_used_c = is_used_c & is_there_s.repeat_interleave(n_each) & (reached_g[-1] > 0)
    at_t = torch.where(own_t, obs_t * size + part.ids, len(part.present) * size)
    has = torch.zeros(len(part.present) * size + 1, dtype=torch.bool, device=obs_t.device).index_fill_(0, at_t, True)
    pair_c = row_c * size + id_c
    pair_c, _ = torch.where(is_used_c & ~has[pair_c], pair_c, len(has)).sort()
    is_first_c = torch.cat([torch.ones_like(pair_c[:1], dtype=torch.bool), pair_c[1:] != pair_c[:-1]])
    return Candidates(pair_c % size, pair_c // size, is_first_c & (pair_c < len(has)))


def _weights(common_g: Tensor, measured_g: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight of each region, (g,), and how many draws it takes for one that a row lacks, on average."""
    can_lack_g = (common_g < EVERYWHERE) & measured_g
    fraction_g = common_g.clamp(max=MOST_COMMON)
    weight_g = torch.where(can_lack_g, fraction_g / (1 - fraction_g), 0.0)
    lacked = (weight_g * (1 - common_g).clamp(min=0)).sum()
    return weight_g, (weight_g.sum() / lacked.clamp(min=1e-12)).clamp(max=MOST_DRAWS)
