"""Folds of whole groups of observations, and what regressions find when each fold is held out in turn.

Tensor axes: n observations, t targets.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class CrossFit(NamedTuple):
    """What a regression that was fitted to observations predicts of them when it is not."""

    explained: float
    """R² on held-out observations."""
    predicted_nt: Tensor
    """(n, t): predictions of each fold by a regression that was fitted to all others."""
    chosen: tuple[tuple[float, ...], ...]
    """Of each list of candidates that the regression was given, the chosen one, as a list of one."""


def group_folds(group_n: Tensor, n_folds: int, generator: torch.Generator) -> Tensor:
    """Return a random fold of each observation, (n,) int64 from 0 on: the same for all of a group.

    Folds differ by one group at most, the first being the largest. There are no more folds than groups.

    Parameters
    ----------
    group_n
        (n,) group of each observation.
    n_folds
        Most folds.
    generator
        Draws the order of the groups.

    Examples
    --------
    >>> group_folds(torch.tensor([7, 7, 3]), 5, torch.Generator().manual_seed(0)).tolist() in ([0, 0, 1], [1, 1, 0])
    True
    """
    groups, of_n = group_n.unique(return_inverse=True)
    n_folds = min(n_folds, len(groups))
    return (torch.randperm(len(groups), generator=generator) % max(n_folds, 1))[of_n]
