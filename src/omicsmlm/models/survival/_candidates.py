"""Which scores make the risk: covariates alone, linear models of the features too, or networks too; and their weights."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from omicsmlm._cox import Times, partial_likelihood, ridge_cox

PARTS = ["covariates", "own Cox", "pooled Cox", "network"]
"""Names of the scores: of a Cox model of the covariates alone, and the three of the features, which are averaged."""
CANDIDATES = {"covariates alone": [], "with linear models": [1, 2], "with networks": [1, 2, 3]}
"""From the simplest on: the columns of the scores that are averaged, beside that of the covariates."""
LEAST_RIDGE = 1e-6
"""Weight of the ridge on the slopes: so small that it moves them by less than a standard error, and enough that a score
that orders all events rightly does not have an infinite one."""


class ScoreWeights(NamedTuple):
    """What a unit of the standardised scores is worth."""

    covariates: float
    """Of the Cox model of the covariates alone; not negative."""
    omics: float
    """Of the mean of the scores of the features; not negative, 0 where they add nothing."""
    averaged_p: np.ndarray
    """(p,) bool: the scores that this mean is taken of."""

    def inputs(self, standardised_np: np.ndarray) -> np.ndarray:
        """Compute what the weights are of, (n, 2): the score of the covariates, and the mean of the others.

        Scores that an observation lacks are left out of its mean; 0, the average, where it has none.
        """
        known_np = np.isfinite(standardised_np)
        value_np = np.where(known_np, standardised_np, 0.0)
        averaged_np = known_np & self.averaged_p
        mean_n = np.where(averaged_np, value_np, 0.0).sum(1) / np.maximum(averaged_np.sum(1), 1)
        return np.stack([value_np[:, 0], mean_n], 1)

    def log_risk(self, standardised_np: np.ndarray) -> np.ndarray:
        """Compute (n,) log relative hazards."""
        return self.inputs(standardised_np) @ np.array([self.covariates, self.omics])


class Comparison(NamedTuple):
    """How often candidates order observations rightly."""

    c_index_k: np.ndarray
    """(k,) C-index over the pairs of the same stratum and fold."""
    influence_nk: np.ndarray
    """(n, k): how far each observation moves it; the sum of their squares is its variance."""


def choose_candidate(
    standardised_np: np.ndarray, times: Times, fold_n: np.ndarray
) -> tuple[ScoreWeights, pd.DataFrame]:
    """Choose the candidate of the highest held-out C-index, or covariates alone within one standard error of it, and its weights.

    The standard error is that of the paired difference from the best, over observations (Breiman et al. 1984 take that of
    the best itself, as they cannot pair). It decides whether features take part at all, not which of their scores are
    averaged: networks beside linear models are one more member of a mean. For the comparison, weights are fitted without the
    fold they are applied to.

    Parameters
    ----------
    standardised_np
        (n, p) standardised held-out scores, NaN where an observation lacks one.
    times
        When the observations were last seen.
    fold_n
        (n,) int: fold that an observation was held out with.

    Returns
    -------
    tuple
        The weights, and a row per candidate: its ``C-index``, how far that is ``behind`` the best, the ``error`` of this
        difference, the weights of ``covariates`` and ``omics``, and whether it was ``chosen``.
    """
    has_p = np.isfinite(standardised_np).any(0)
    newest = {name: columns[-1:] or [0] for name, columns in CANDIDATES.items()} | {"with linear models": [1, 2]}
    averaged = {
        name: np.isin(np.arange(len(has_p)), CANDIDATES[name])
        for name, columns in newest.items()
        if has_p[columns].any()
    }
    held_out_nk = np.stack([_held_out(standardised_np, of_p, times, fold_n) for of_p in averaged.values()], 1)
    found = compare(held_out_nk, times, fold_n)
    best = int(found.c_index_k.argmax())
    behind_k = found.c_index_k[best] - found.c_index_k
    error_k = np.sqrt(((found.influence_nk - found.influence_nk[:, [best]]) ** 2).sum(0))
    without_features = next(iter(averaged)) == "covariates alone" and behind_k[0] <= error_k[0]
    chosen = 0 if without_features else best
    weights = [fit_weights(standardised_np, of_p, times) for of_p in averaged.values()]
    table = pd.DataFrame(
        {
            "C-index": found.c_index_k,
            "behind": behind_k,
            "error": error_k,
            "covariates": [part.covariates for part in weights],
            "omics": [part.omics for part in weights],
            "chosen": np.arange(len(averaged)) == chosen,
        },
        index=pd.Index(list(averaged), name="candidate"),
    )
    return weights[chosen], table


def _held_out(standardised_np: np.ndarray, averaged_p: np.ndarray, times: Times, fold_n: np.ndarray) -> np.ndarray:
    """Compute (n,) log risks with weights of the other folds; of all, where only one fold has been held out."""
    log_risk_n = np.empty(len(fold_n))
    for fold in np.unique(fold_n):
        out_n = fold_n == fold
        fit_n = out_n if out_n.all() else ~out_n
        weights = fit_weights(standardised_np[fit_n], averaged_p, times.only(fit_n))
        log_risk_n[out_n] = weights.log_risk(standardised_np[out_n])
    return log_risk_n


def fit_weights(standardised_np: np.ndarray, averaged_p: np.ndarray, times: Times) -> ScoreWeights:
    """Fit the weights of the scores of covariates and features, neither negative, by Cox's partial likelihood."""
    x_n2 = ScoreWeights(1.0, 1.0, averaged_p).inputs(standardised_np)
    covariates, omics = non_negative_cox(x_n2, times)
    return ScoreWeights(covariates, omics, averaged_p)


def non_negative_cox(x_nd: np.ndarray, times: Times) -> list[float]:
    """Fit a Cox model of few columns whose weights are not negative.

    The likelihood is concave: its maximum over weights that are not negative is the highest of the maxima over subsets
    of the columns at which none is.

    Examples
    --------
    >>> times = Times(np.arange(4.0), np.array([True, True, True, False]), np.zeros(4))
    >>> first, second = non_negative_cox(np.array([[3.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.0, 3.0]]), times)
    >>> first > 0, second
    (True, 0.0)
    """
    n, d = x_nd.shape
    best, weights = partial_likelihood(np.zeros(n), times), [0.0] * d
    for columns in (list(part) for size in range(1, d + 1) for part in combinations(range(d), size)):
        weight_k = ridge_cox(x_nd[:, columns], times, np.full(len(columns), LEAST_RIDGE))
        value = partial_likelihood(x_nd[:, columns] @ weight_k, times)
        if (weight_k >= 0).all() and value > best:
            found = dict(zip(columns, weight_k, strict=True))
            best, weights = value, [float(found.get(column, 0.0)) for column in range(d)]
    return weights


def compare(risk_nk: np.ndarray, times: Times, fold_n: np.ndarray) -> Comparison:
    r"""Compute the C-index of several risks over all pairs of the same stratum and fold, and what each observation adds.

    .. math:: C = \frac{\sum_i h_i}{\sum_i m_i}, \quad \text{influence}_i = 2\, \frac{h_i - C m_i}{\sum_i m_i}

    with the pairs :math:`m_i` that an observation is compared in and those :math:`h_i` of them that are ordered rightly:
    the first order of leaving it out. Folds are models of their own, so that their risks are not compared.

    Parameters
    ----------
    risk_nk
        (n, k) risks.
    times, fold_n
        As in :func:`choose_candidate`.
    """
    right_nk, pairs_n = np.zeros(risk_nk.shape), np.zeros(len(fold_n))
    _, group_n = np.unique(np.stack([times.stratum_n, fold_n], 1), axis=0, return_inverse=True)
    for group in np.unique(group_n):
        rows = np.flatnonzero(group_n == group)
        time_n, event_n = times.time_n[rows], times.event_n[rows]
        later_nn = (time_n[:, None] < time_n) | ((time_n[:, None] == time_n) & ~event_n)
        compared_nn = event_n[:, None] & later_nn
        pairs_n[rows] = compared_nn.sum(0) + compared_nn.sum(1)
        for k, risk_n in enumerate(risk_nk[rows].T):
            higher_nn = np.where(risk_n[:, None] == risk_n, 0.5, risk_n[:, None] > risk_n) * compared_nn
            right_nk[rows, k] = higher_nn.sum(0) + higher_nn.sum(1)
    n_pairs = max(pairs_n.sum() / 2, 1.0)
    c_index_k = right_nk.sum(0) / 2 / n_pairs
    return Comparison(c_index_k, (right_nk - c_index_k * pairs_n[:, None]) / n_pairs)
