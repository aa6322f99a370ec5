"""Negative (inaccessible) peaks beside the masked accessible ones, as in negative sampling.

Only detected features are tokens. Were only those masked, a model of accessibility would learn that every masked value is 1.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from omicsmlm._draws import Draws
from omicsmlm._sizes import is_on_host, positions_of_true
from omicsmlm._types import TokenSet

MAX_DRAWS = 8
"""Most draws for one negative peak; more would be needed only where nearly every cell has nearly every peak."""
MAX_PREVALENCE = 127 / 128
"""Fraction of the observations at which the prevalence of a peak is capped: its weight p / (1 - p) would take all draws."""
UBIQUITOUS = 1 - 1e-5
"""Fraction of the observations from which on a peak counts as accessible in all: it can hardly be a negative."""


class Candidates(NamedTuple):
    """Peaks that were drawn for observations, c draws in all."""

    ids: Tensor
    """(c,) int64: the peak."""
    indices: Tensor
    """(c,) int64: position of the observation in the batch, ascending among those that are taken."""
    is_taken: Tensor
    """(c,) bool: the peak is no token of the observation, and was not drawn for it before."""


def draw_negatives(
    part: TokenSet,
    own_t: Tensor,
    indices: tuple[Tensor, Tensor],
    for_t: Tensor,
    most: int,
    prevalence_g: Tensor,
    draws: Draws,
) -> Candidates:
    r"""Draw inaccessible peaks of observations, about one for each of some tokens, each as often as among the accessible ones.

    A peak of prevalence p (fraction of all observations in which it is accessible) is drawn with a weight of p / (1 - p) and
    rejected where it is accessible, which happens with probability p. Accepted draws are then proportional to
    :math:`\frac{p}{1 - p} (1 - p) = p`, as accessible peaks are: how common a peak is does not give the answer away. What an
    observation gets depends on no other observation of the batch.

    Parameters
    ----------
    part
        All tokens of the observations.
    own_t
        (t,) bool: the token belongs to an observation.
    indices
        Observation of each token and its position within that, (t,) each.
    for_t, most
        (t,) bool: the tokens for which a peak is drawn; upper bound on their number.
    prevalence_g
        (g,) prevalence of each peak in the training set.
    draws
        Random numbers of the step.
    """
    size, (obs_t, position_t) = len(part.measured), indices
    weight_g, n_wanted = _weights(prevalence_g, part.measured)
    token_s, is_there_s = positions_of_true(for_t, most)
    n_each = math.ceil(min(MAX_DRAWS, float(n_wanted))) if is_on_host(n_wanted) else MAX_DRAWS
    draw_d = torch.arange(n_each, device=obs_t.device)
    obs_c = obs_t[token_s].repeat_interleave(n_each)
    key_c = (position_t[token_s][:, None] * MAX_DRAWS + draw_d).flatten()
    reached_g = weight_g.cumsum(0)
    at_c = draws.tokens(obs_c, key_c) * reached_g[-1]
    id_c = torch.searchsorted(reached_g, at_c, right=True).clamp(max=size - 1)
    # A fractional number d of draws: the first floor(d) are used, and one more with the probability of the remainder.
    is_used_c = draws.tokens(obs_c, key_c) < (n_wanted - draw_d).repeat(len(token_s))
    is_used_c = is_used_c & is_there_s.repeat_interleave(n_each) & (reached_g[-1] > 0)
    at_t = torch.where(own_t, obs_t * size + part.ids, len(part.present) * size)
    has = torch.zeros(len(part.present) * size + 1, dtype=torch.bool, device=obs_t.device).index_fill_(0, at_t, True)
    pair_c = obs_c * size + id_c
    pair_c, _ = torch.where(is_used_c & ~has[pair_c], pair_c, len(has)).sort()
    is_first_c = torch.cat([torch.ones_like(pair_c[:1], dtype=torch.bool), pair_c[1:] != pair_c[:-1]])
    return Candidates(pair_c % size, pair_c // size, is_first_c & (pair_c < len(has)))


def _weights(prevalence_g: Tensor, measured_g: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight of each peak, (g,), and the number of draws that yield one accepted peak on average.

    With weights w, a draw is accepted with probability Σ w (1 - p) / Σ w.
    """
    can_lack_g = (prevalence_g < UBIQUITOUS) & measured_g
    fraction_g = prevalence_g.clamp(max=MAX_PREVALENCE)
    weight_g = torch.where(can_lack_g, fraction_g / (1 - fraction_g), 0.0)
    lacked = (weight_g * (1 - prevalence_g).clamp(min=0)).sum()
    return weight_g, (weight_g.sum() / lacked.clamp(min=1e-12)).clamp(max=MAX_DRAWS)
