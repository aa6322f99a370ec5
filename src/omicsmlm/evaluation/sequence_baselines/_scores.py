"""How well expression is predicted from sequences: over observations, between outputs, and between isoforms of a gene."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error

R2, SPEARMAN, CENTRED = "R2", "Spearman", "centred"
WITHIN, PAIRS = "Spearman within", "pairs within"


@in_one_sentence_of_types
def output_scores(
    truth_nt: Any, predicted_nt: Any, groups: Any = None, *, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Score predictions of each output.

    Parameters
    ----------
    truth_nt
        (n, t) measured values, NaN where not measured; these are left out.
    predicted_nt
        (n, t) finite.
    groups
        (n,) names: the gene of each isoform, say. None for no scores within groups.
    names
        Of the outputs; by default their numbers.

    Returns
    -------
    pandas.DataFrame
        One row per output. ``R2``: 1 − Σ(y − ŷ)² / Σ(y − ȳ)², where ȳ is the mean of the observations that are scored;
        below 0 if that mean predicts better. ``Spearman``: of y and ŷ over observations. ``centred``: Pearson
        correlation over observations after the mean over the measured outputs of an observation has been taken from y,
        and from ŷ that over the same outputs: whether it is known where an observation is high, whatever its level is;
        NaN for a single output.

        With groups also ``Spearman within``: that of y and ŷ over the observations of one group, averaged over the
        groups of two observations and more in which y varies; ``pairs within``: the fraction of pairs of observations
        of one group whose y differ that ŷ puts into the right order, a tie of ŷ counting one half; all pairs count
        alike, so that large groups weigh more.

        A prediction that does not vary has a correlation of 0. A score is NaN where the truth does not vary.

    Raises
    ------
    ValueError
        If shapes differ or a prediction is not finite.

    Examples
    --------
    >>> output_scores([[1.0], [2.0], [3.0]], [[1.0], [3.0], [2.0]], ["a", "a", "b"]).loc[0].round(2).to_dict()
    {'R2': 0.0, 'Spearman': 0.5, 'centred': nan, 'Spearman within': 1.0, 'pairs within': 1.0}
    """
    truth_nt, predicted_nt = _checked(truth_nt, predicted_nt)
    group_n = None if groups is None else pd.factorize(np.asarray(groups, dtype=object))[0]
    if group_n is not None and (len(group_n) != len(truth_nt) or (group_n < 0).any()):
        raise value_error(
            "groups", "a group for each observation", "others or missing ones", "pass those of the same observations"
        )
    if names is not None and len(names) != truth_nt.shape[1]:
        raise value_error(
            "names", f"one for each of the {truth_nt.shape[1]} outputs", str(len(names)), "leave them out"
        )
    measured_nt = np.isfinite(truth_nt)
    visible_nt = np.where(measured_nt, predicted_nt, np.nan)
    n_measured_n = np.maximum(measured_nt.sum(axis=1, keepdims=True), 1)
    truth_own_nt = truth_nt - np.nansum(truth_nt, axis=1, keepdims=True) / n_measured_n
    visible_own_nt = visible_nt - np.nansum(visible_nt, axis=1, keepdims=True) / n_measured_n
    rows = []
    for t in range(truth_nt.shape[1]):
        of_n = measured_nt[:, t]
        truth_m, predicted_m = truth_nt[of_n, t], predicted_nt[of_n, t]
        row = {R2: _r2(truth_m, predicted_m), SPEARMAN: _correlation(_ranks(truth_m), _ranks(predicted_m))}
        row[CENTRED] = (
            np.nan if truth_nt.shape[1] == 1 else _correlation(truth_own_nt[of_n, t], visible_own_nt[of_n, t])
        )
        if group_n is not None:
            row[WITHIN], row[PAIRS] = _within(truth_m, predicted_m, group_n[of_n])
        rows.append(row)
    return pd.DataFrame(rows, index=None if names is None else pd.Index(names))


@in_one_sentence_of_types
def sequence_scores(truth_nt: Any, predicted_nt: Any, groups: Any = None) -> pd.Series:
    """Average the scores of all outputs.

    Parameters
    ----------
    truth_nt, predicted_nt, groups
        As for :func:`output_scores`.

    Returns
    -------
    pandas.Series
        ``R2``, ``Spearman``, ``centred`` and, with groups, ``Spearman within`` and ``pairs within``: the mean over the
        outputs that have the score.

    Raises
    ------
    ValueError
        If shapes differ or a prediction is not finite.

    Examples
    --------
    >>> sequence_scores([[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0], [2.0, 4.0]]).round(3).to_dict()
    {'R2': 1.0, 'Spearman': 1.0, 'centred': 1.0}
    """
    return output_scores(truth_nt, predicted_nt, groups).mean()


def _checked(truth: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    truth_nt, predicted_nt = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if truth_nt.ndim != 2 or truth_nt.shape != predicted_nt.shape:
        found = f"{truth_nt.shape} and {predicted_nt.shape}"
        raise value_error(
            "predicted_nt", "truth and predictions of one shape (n, t)", found, "pass those of the same observations"
        )
    if not np.isfinite(predicted_nt).all():
        n_bad = int((~np.isfinite(predicted_nt)).any(axis=1).sum())
        raise value_error(
            "predicted_nt", "finite predictions", f"others in {n_bad} observations", "leave these observations out"
        )
    return truth_nt, predicted_nt


def _ranks(value_m: np.ndarray) -> np.ndarray:
    return stats.rankdata(value_m)


def _r2(truth_m: np.ndarray, predicted_m: np.ndarray) -> float:
    total = ((truth_m - truth_m.mean()) ** 2).sum() if len(truth_m) else 0.0
    return float(1 - ((truth_m - predicted_m) ** 2).sum() / total) if total > 0 else np.nan


def _correlation(truth_m: np.ndarray, predicted_m: np.ndarray) -> float:
    """Pearson correlation: NaN if the truth does not vary, 0 if the prediction does not."""
    if len(truth_m) < 2 or np.ptp(truth_m) == 0:
        return np.nan
    if np.ptp(predicted_m) == 0:
        return 0.0
    return float(np.corrcoef(truth_m, predicted_m)[0, 1])


def _within(truth_m: np.ndarray, predicted_m: np.ndarray, group_m: np.ndarray) -> tuple[float, float]:
    """Compute the mean Spearman correlation within groups, and the fraction of pairs within groups in the right order."""
    correlations, right, n_pairs = [], 0.0, 0
    for rows in pd.Series(range(len(group_m))).groupby(group_m).indices.values():
        truth_g, predicted_g = truth_m[rows], predicted_m[rows]
        correlations.append(_correlation(_ranks(truth_g), _ranks(predicted_g)))
        first, second = np.triu_indices(len(rows), 1)
        order_p = np.sign(truth_g[first] - truth_g[second])
        agreed_p = order_p * np.sign(predicted_g[first] - predicted_g[second])
        right += ((1 + agreed_p[order_p != 0]) / 2).sum()
        n_pairs += int((order_p != 0).sum())
    known = [value for value in correlations if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan, right / n_pairs if n_pairs else np.nan
