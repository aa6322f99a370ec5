"""Sizes that the host has without waiting for the device.

On a GPU, a shape that depends on values (the number of true entries, say) is known only when all queued work has been done:
asking for it synchronises, and the host, which should run ahead, stands still. Where the host cannot know a size, it takes
an upper bound that holds certainly, or almost certainly; entries beyond the true size are marked.
"""

import math

import torch
from torch import Tensor

N_DEVIATIONS = 6
"""Standard deviations above its mean at which a binomial number is bounded: a normal one exceeds them once in 10⁹."""
CONTINUITY = 8
"""Events added to that bound, as the tail of a binomial of few events is longer than that of a normal distribution."""


def is_on_host(tensor: Tensor) -> bool:
    """Return whether a tensor is on the CPU, so that its values can be read without waiting."""
    return tensor.device.type == "cpu"


def positions_of_true(at_t: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the positions of what is true, (s,) int64 ascending, and which of these are real, (s,) bool.

    Parameters
    ----------
    at_t
        (t,) bool.
    most
        Upper bound on the number of true entries; of more, the last ones are left out. On a device, s is this number (or
        t, if that is smaller), and the positions that are not real are 0; on the CPU, s is the number of true entries.

    Examples
    --------
    >>> positions_of_true(torch.tensor([False, True, True]), 3)[0]
    tensor([1, 2])
    """
    if is_on_host(at_t):
        place_s = at_t.nonzero()[:most, 0]
        return place_s, torch.ones_like(place_s, dtype=torch.bool)
    most = min(most, len(at_t))
    slot_t = torch.where(at_t, at_t.cumsum(0) - 1, most).clamp(max=most)  # what is not true is written to a last slot
    place_s = slot_t.new_zeros(most + 1).scatter_(0, slot_t, torch.arange(len(at_t), device=at_t.device))[:most]
    is_there_s = torch.arange(most, device=at_t.device) < at_t.sum()
    return place_s * is_there_s, is_there_s


def binomial_bound(n: int, rate: float) -> int:
    """Return an upper bound, which almost certainly holds, on how many of n events of this probability happen.

    Examples
    --------
    >>> binomial_bound(1_000_000, 0.15), binomial_bound(10, 0.5)
    (152151, 10)
    """
    return min(n, math.ceil(n * rate + N_DEVIATIONS * math.sqrt(n * rate * (1 - rate)) + CONTINUITY))
