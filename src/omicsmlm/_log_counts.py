"""Raw counts in the logarithms that were made of them."""

import numpy as np

BASES = (np.e, 2.0, 10.0)
LARGEST_MINIMUM = 4
"""The smallest count of an observation that is not zero is looked for up to this one; in single cells it is nearly always 1."""
NEAR = 0.05
"""How far from a whole number a count may come out; numbers at random are as near in one case of ten."""
FEWEST_FITTING = 0.95
"""Fraction of the values of each observation that come out as whole numbers, and of the observations whose smallest count is 1."""
LEAST_EVIDENCE = 100
"""Values above the smallest of their observation: with fewer, nothing is said."""


def counts_of_logs(values_m: np.ndarray, n_per_obs: np.ndarray) -> np.ndarray | None:
    r"""Return the counts c of values log(1 + s c), where the scale s of each observation is not known; None if they are no such.

    The smallest value of an observation that is not 0 is taken for a count of 1, or of 2, 3 or 4 where only so the others come
    out as whole numbers.

    Parameters
    ----------
    values_m
        Values of all observations, one after the other, without zeros.
    n_per_obs
        How many each observation has.

    Returns
    -------
    ndarray or None
        Whole numbers, float32, one per value.

    Examples
    --------
    >>> counts = np.tile([1.0, 3.0, 2.0, 7.0], 50)
    >>> logs = np.log1p(counts * 1e4 / 13)
    >>> found = counts_of_logs(logs, np.full(50, 4))
    >>> found[:4].tolist(), counts_of_logs(np.sqrt(logs), np.full(50, 4)) is None
    ([1.0, 3.0, 2.0, 7.0], True)
    """
    n_per_obs = np.asarray(n_per_obs)[np.asarray(n_per_obs) > 0]
    values_m = np.asarray(values_m, dtype=np.float64)
    if not len(values_m) or values_m.min() <= 0 or not np.isfinite(values_m).all():
        return None
    for base in BASES:
        with np.errstate(over="ignore"):
            amount_m = np.expm1(values_m * np.log(base))
        if np.isfinite(amount_m).all() and (found := _whole(amount_m, n_per_obs)) is not None:
            return found
    return None


def _whole(amount_m: np.ndarray, n_per_obs: np.ndarray) -> np.ndarray | None:
    """Return amounts as multiples of the smallest of their observation, or of a half, third or quarter of it."""
    start_n = np.concatenate([[0], np.cumsum(n_per_obs)[:-1]])
    ratio_m = amount_m / np.repeat(np.minimum.reduceat(amount_m, start_n), n_per_obs)
    if (ratio_m > 1.5).sum() < LEAST_EVIDENCE:
        return None
    counts_m, fits_n = np.zeros(len(ratio_m), dtype=np.float32), np.zeros(len(n_per_obs), dtype=bool)
    for minimum in range(1, LARGEST_MINIMUM + 1):
        multiple_m = ratio_m * minimum
        is_near_m = np.abs(multiple_m - np.round(multiple_m)) <= NEAR + 1e-4 * multiple_m
        now_n = ~fits_n & (np.add.reduceat(is_near_m, start_n, dtype=np.int64) >= FEWEST_FITTING * n_per_obs)
        now_m = np.repeat(now_n, n_per_obs)
        counts_m[now_m] = np.round(multiple_m[now_m])
        fits_n |= now_n
        if fits_n.mean() < FEWEST_FITTING:  # halves and thirds fit by chance: they are for few observations
            return None
    return counts_m if fits_n.all() else None
