"""Paired tests: whether one method beats another on the same samples or folds by more than chance."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error

MOST_EXACT = 14
"""Pairs up to which all 2^n signs are gone through, 16,384 of them."""


class Paired(NamedTuple):
    """A paired comparison."""

    difference: float
    """Mean of the first less mean of the second."""
    p_value: float
    """Two-sided."""
    n: int
    """Pairs that differ."""


@in_one_sentence_of_types
def sign_flip(first: Any, second: Any, *, n_draws: int = 10_000, seed: int = 0) -> Paired:
    """Test whether the mean difference of pairs is 0, by flipping the signs of differences (Fisher 1935).

    Parameters
    ----------
    first, second
        (n,) scores of two methods on the same folds, cohorts or samples. Folds share training observations, so that
        their p-value is a little too small.
    n_draws
        Random flips; up to 14 pairs that differ, all are gone through.
    seed
        Seed of the flips.

    Returns
    -------
    Paired

    Raises
    ------
    ValueError
        If lengths differ or a score is not finite.

    Examples
    --------
    >>> sign_flip([1, 2, 3], [0, 1, 2]).p_value  # 2 of 8 signs are as far off
    0.25
    """
    first_n, second_n = _pair("sign_flip", first, second)
    difference_n = first_n - second_n
    moved_n = difference_n[difference_n != 0]
    if not len(moved_n):
        return Paired(0.0, 1.0, 0)
    if len(moved_n) <= MOST_EXACT:
        sign_rn, exact = np.array(list(product((1, -1), repeat=len(moved_n)))), True
    else:
        sign_rn, exact = np.random.default_rng(seed).choice((1, -1), (n_draws, len(moved_n))), False
    sum_r, limit = np.abs(sign_rn @ moved_n), np.abs(moved_n.sum()) - 1e-12
    hits = int((sum_r >= limit).sum())
    p_value = hits / len(sum_r) if exact else (hits + 1) / (len(sum_r) + 1)
    return Paired(float(difference_n.mean()), p_value, len(moved_n))


@in_one_sentence_of_types
def mcnemar(first_right: Any, second_right: Any) -> Paired:
    """Test whether two classifiers are right equally often, by the samples of which one alone is right (McNemar 1947).

    Parameters
    ----------
    first_right, second_right
        (n,) bool: the method is right on each of the same samples.

    Returns
    -------
    Paired
        With the exact, binomial p-value.

    Raises
    ------
    ValueError
        If lengths differ.

    Examples
    --------
    >>> mcnemar([1, 1, 1, 0], [0, 0, 0, 0]).p_value
    0.25
    """
    first_n, second_n = _pair("mcnemar", first_right, second_right)
    only_first, only_second = int((first_n > second_n).sum()), int((second_n > first_n).sum())
    n = only_first + only_second
    p_value = float(stats.binomtest(only_first, n).pvalue) if n else 1.0
    return Paired(float((first_n - second_n).mean()), p_value, n)


def _pair(place: str, first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    first_n, second_n = (np.asarray(values, dtype=np.float64).ravel() for values in (first, second))
    if len(first_n) != len(second_n) or not len(first_n):
        found = f"{len(first_n)} and {len(second_n)} scores"
        raise value_error(place, "as many scores of both", found, "pass those of the same samples")
    if not (np.isfinite(first_n).all() and np.isfinite(second_n).all()):
        raise value_error(place, "finite scores", "NaN or infinity", "leave these pairs out")
    return first_n, second_n
