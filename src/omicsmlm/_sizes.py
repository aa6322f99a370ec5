"""Sizes that the host has without waiting for the device.

On a GPU, the shape of what depends on values (the places of what is true, say) is known only when all work before has been
done, and the host, which should be ahead of it, stands still. Where the host cannot know a size, it takes one that is
certainly, or almost certainly, large enough; what is beyond the true size is marked.
"""

import math

import torch
from torch import Tensor

N_DEVIATIONS = 6
"""Standard deviations by which a number of random events is taken to be above its mean at most: once in 10⁹ it is more."""


def host_knows(tensor: Tensor) -> bool:
    """Tell whether the values of a tensor can be read without waiting: whether it is on the CPU."""
    return tensor.device.type == "cpu"


def places_of_true(at_t: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the places of what is true, (s,) int64 in order, and which of these there are, (s,) bool.

    Parameters
    ----------
    at_t
        (t,) bool.
    most
        How many are true at most; of more, the last ones are left out. On a device, s is this number (or t, if that is
        smaller), and the places that there are not are 0; on the CPU, s is how many are true.

    Examples
    --------
    >>> places_of_true(torch.tensor([False, True, True]), 3)[0]
    tensor([1, 2])
    """
    if host_knows(at_t):
        place_s = at_t.nonzero()[:most, 0]
        return place_s, torch.ones_like(place_s, dtype=torch.bool)
    most = min(most, len(at_t))
    slot_t = torch.where(at_t, at_t.cumsum(0) - 1, most).clamp(max=most)  # those that are not true share the last slot
    place_s = slot_t.new_zeros(most + 1).scatter_(0, slot_t, torch.arange(len(at_t), device=at_t.device))[:most]
    is_there_s = torch.arange(most, device=at_t.device) < at_t.sum()
    return place_s * is_there_s, is_there_s


def likely_most(n: int, rate: float) -> int:
    """Return how many of n events, each of a probability, there are at most, almost certainly.

    Examples
    --------
    >>> likely_most(1_000_000, 0.15), likely_most(10, 0.5)
    (152151, 10)
    """
    return min(n, math.ceil(n * rate + N_DEVIATIONS * math.sqrt(n * rate * (1 - rate)) + 8))
