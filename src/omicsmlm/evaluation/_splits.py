"""Stratified folds that tear no group apart."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error


class Fold(NamedTuple):
    """Positions of training and of test observations."""

    train: np.ndarray
    test: np.ndarray


@in_one_sentence_of_types
def splits(stratify: Any, groups: Any = None, *, n_folds: int = 5, n_repeats: int = 1, seed: int = 0) -> list[Fold]:
    """Divide observations into folds, repeatedly, stratified and without tearing a group apart.

    Parameters
    ----------
    stratify
        (n,) names such as labels, or a DataFrame whose combinations count: ``obs[["cohort", "event"]]``. Missing values
        are a value of their own. Combinations with fewer observations than there are folds count as one.
    groups
        (n,) names: observations of the same patient, say, are all in training or all in the test. None if observations
        are independent.
    n_folds, n_repeats
        Number of folds, and how often observations are divided anew.
    seed
        Seed of the divisions.

    Returns
    -------
    list of Fold
        ``n_repeats`` × ``n_folds`` pairs of positions of observations, ``train`` and ``test``; the tests of a repeat
        are disjoint and together all observations.

    Raises
    ------
    ValueError
        If lengths differ, or there are fewer groups or observations than folds.

    Examples
    --------
    >>> folds = splits(["a", "a", "b", "b"], ["p", "p", "q", "q"], n_folds=2)  # a patient each
    >>> sorted(fold.test.tolist() for fold in folds)
    [[0, 1], [2, 3]]
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    table = pd.DataFrame(stratify).astype(object)
    code_n = table.where(table.notna(), "missing").astype(str).groupby(list(table.columns), sort=True).ngroup()
    counts = code_n.map(code_n.value_counts())
    code_n = code_n.where(counts >= n_folds, -1).to_numpy()
    group_n = np.arange(len(code_n)) if groups is None else pd.factorize(pd.Series(np.asarray(groups, dtype=object)))[0]
    if len(group_n) != len(code_n):
        raise value_error(
            "groups", f"one per observation, {len(code_n)}", str(len(group_n)), "pass those of the same observations"
        )
    if (group_n < 0).any():
        raise value_error(
            "groups", "a group for each observation", "missing ones", "give such observations groups of their own"
        )
    n_groups = len(np.unique(group_n))
    if not 2 <= n_folds <= n_groups:
        raise value_error("n_folds", f"a number from 2 to that of groups, {n_groups}", str(n_folds), "pass fewer folds")
    if (code_n == -1).sum() < n_folds:  # sklearn cannot divide a class that has fewer observations than folds
        code_n = np.where(code_n == -1, pd.Series(code_n).mode()[0], code_n)
    kind, found = StratifiedKFold if groups is None else StratifiedGroupKFold, []
    for repeat in range(n_repeats):
        divide = kind(n_folds, shuffle=True, random_state=seed + repeat)
        own = None if groups is None else group_n
        found += [Fold(*pair) for pair in divide.split(np.zeros(len(code_n)), code_n, own)]
    return found
