"""A scale for each feature: its own quantiles become the levels from 0 to 1, so that every bin has about as many observations."""

import numpy as np
import torch
from torch import Tensor

N_FEATURE_KNOTS = 17
"""Knots of each feature's scale: its quantiles at multiples of 1/16, between which the map is linear."""


def feature_quantiles(values_nv: np.ndarray) -> np.ndarray:
    """Return the quantiles of each feature over the observations in which it was measured.

    Parameters
    ----------
    values_nv
        Values, NaN where not measured.

    Returns
    -------
    numpy.ndarray
        (v, ``N_FEATURE_KNOTS``) float64, ascending; zeros for a feature that nobody measured.

    Examples
    --------
    >>> feature_quantiles(np.array([[0.0], [np.nan], [16.0]]))[0, [0, 1, -1]].tolist()
    [0.0, 1.0, 16.0]
    """
    ordered_nv = np.sort(values_nv, axis=0)  # NaN come last
    last_v = (~np.isnan(values_nv)).sum(0) - 1
    at_kv = np.linspace(0, 1, N_FEATURE_KNOTS)[:, None] * np.maximum(last_v, 0)
    low_kv = at_kv.astype(np.int64)
    high_kv = np.minimum(low_kv + 1, np.maximum(last_v, 0))
    low, high = (np.take_along_axis(ordered_nv, index, 0) for index in (low_kv, high_kv))
    quantile_vk = (low + (high - low) * (at_kv - low_kv)).T
    return np.where(last_v[:, None] >= 0, quantile_vk, 0.0)


def to_levels(values_t: Tensor, feature_t: Tensor, knots_vk: Tensor, levels_k: Tensor) -> Tensor:
    """Return the level of each value on the scale of its feature, (t,), by linear interpolation.

    A value that is several quantiles at once gets the highest of their levels; what is beyond the knots gets 0 or 1.

    Parameters
    ----------
    values_t, feature_t
        Values, and the feature of each.
    knots_vk, levels_k
        Ascending knots of each feature, and the levels of all.

    Examples
    --------
    >>> knots, levels = torch.tensor([[0.0, 0.0, 4.0]]), torch.tensor([0.0, 0.5, 1.0])
    >>> to_levels(torch.tensor([-1.0, 0.0, 2.0, 5.0]), torch.zeros(4, dtype=torch.int64), knots, levels)
    tensor([0.0000, 0.5000, 0.7500, 1.0000])
    """
    n_knots = knots_vk.shape[1]
    flat, first_t = knots_vk.flatten(), feature_t.long() * n_knots
    below_t = torch.zeros_like(first_t)  # the last knot at or below the value: found bit by bit, the highest first
    step = 1 << ((n_knots - 2).bit_length() - 1)
    while step:
        next_t = below_t + step
        fits_t = (next_t <= n_knots - 2) & (flat[first_t + next_t.clamp(max=n_knots - 2)] <= values_t)
        below_t = torch.where(fits_t, next_t, below_t)
        step //= 2
    low_t, high_t = flat[first_t + below_t], flat[first_t + below_t + 1]
    fraction_t = ((values_t - low_t) / (high_t - low_t).clamp(min=1e-12)).clamp(0, 1)
    level_t = levels_k[below_t] + fraction_t * (levels_k[below_t + 1] - levels_k[below_t])
    return torch.where(values_t >= flat[first_t + n_knots - 1], levels_k[-1], level_t)


def from_levels(level_nv: Tensor, knots_vk: Tensor, levels_k: Tensor) -> Tensor:
    """Return the value of each feature at a level, (n, v): the inverse of :func:`to_levels`.

    Examples
    --------
    >>> from_levels(torch.tensor([[0.75]]), torch.tensor([[0.0, 0.0, 4.0]]), torch.tensor([0.0, 0.5, 1.0]))
    tensor([[2.]])
    """
    above_nv = torch.searchsorted(levels_k, level_nv.contiguous(), right=True).clamp(1, len(levels_k) - 1)
    fraction_nv = ((level_nv - levels_k[above_nv - 1]) / (levels_k[above_nv] - levels_k[above_nv - 1])).clamp(0, 1)
    low_nv, high_nv = (knots_vk.T.gather(0, at_nv) for at_nv in (above_nv - 1, above_nv))
    return low_nv + fraction_nv * (high_nv - low_nv)
