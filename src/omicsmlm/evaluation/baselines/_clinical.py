"""What every table of labels or survival must show: logistic regression, and Cox models of the plain features."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._censored_times import checked_times
from omicsmlm._checks import named, value_error
from omicsmlm._cox import Times, ridge_cox

STRENGTHS = tuple(float(c) for c in 10.0 ** np.arange(-4, 1.5, 0.5))
"""Inverse strengths C of logistic regression that are tried."""


@in_one_sentence_of_types
def cox(
    features: Any,
    time: Any,
    event: Any,
    trained_n: np.ndarray,
    *,
    stratum: Any = None,
    covariates: Any = None,
    n_comps: int = 30,
    strength: float = 0.01,
) -> np.ndarray:
    """Predict risks by a ridge Cox model of each stratum on principal components of its features.

    Features are standardised, and components found, in the stratum's training observations; components and covariates
    are standardised too. The ridge has the weight ``strength`` / 2 beside the mean loss of an observation.

    Parameters
    ----------
    features
        (n, g) features, NaN counts as the mean; None to use covariates alone.
    time, event
        (n,) times, and whether they end with the event; not looked at outside of the training observations.
    trained_n
        (n,) bool: the observations to fit on.
    stratum
        (n,) names; None for one.
    covariates
        (n, k) or (n,) further columns, such as age; NaN counts as the mean.
    n_comps
        Components; fewer where a stratum has fewer observations.
    strength
        Strength of the ridge.

    Returns
    -------
    ndarray
        (n,) log risks of all observations, NaN in strata without events to learn from.

    Raises
    ------
    ValueError
        If lengths differ, or there is nothing to learn from.
    """
    chosen_n = np.asarray(trained_n, dtype=bool)
    time_n, event_n = (np.asarray(values, dtype=np.float64) for values in (time, event))
    checked_times("cox", time_n[chosen_n], event_n[chosen_n])
    if features is None and covariates is None:
        raise value_error("cox", "features or covariates", "neither", "pass one of them")
    stratum_n = np.zeros(len(time_n), dtype=str) if stratum is None else np.asarray(stratum, dtype=str)
    risk_n = np.full(len(time_n), np.nan)
    for name in np.unique(stratum_n):
        of = np.flatnonzero(stratum_n == name)
        fit_n = chosen_n[of]
        if not event_n[of][fit_n].any():
            continue
        blocks = [] if features is None else [_components(np.asarray(features)[of], fit_n, n_comps)]
        if covariates is not None:
            blocks.append(np.asarray(covariates, dtype=np.float64).reshape(len(time_n), -1)[of])
        x_nd = np.hstack([_standardised(block, fit_n) for block in blocks])
        times = Times(time_n[of][fit_n], event_n[of][fit_n] == 1, np.zeros(fit_n.sum(), dtype=np.int64))
        risk_n[of] = x_nd @ ridge_cox(x_nd[fit_n], times, np.full(x_nd.shape[1], strength))
    return risk_n


@in_one_sentence_of_types
def logistic_regression(
    features: Any, labels: Any, trained_n: np.ndarray, *, n_comps: int | None = None, n_folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Predict labels by logistic regression on standardised features, its strength chosen by the log loss of inner folds.

    Parameters
    ----------
    features
        (n, g) features; NaN counts as the mean of the training observations, which is how a missing modality is filled
        in.
    labels
        (n,) names; not looked at outside of the training observations.
    trained_n
        (n,) bool: the observations to fit on, all with a label.
    n_comps
        Principal components to use; None for the features themselves.
    n_folds
        Inner folds, stratified by label.
    seed
        Seed of the inner folds.

    Returns
    -------
    DataFrame
        (n, labels) probabilities of all observations; ``attrs["C"]`` is the strength.

    Raises
    ------
    ValueError
        If lengths differ, a training observation has no label, or there are fewer than two labels.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    chosen_n, label_n = np.asarray(trained_n, dtype=bool), pd.Series(np.asarray(labels, dtype=object))
    x_ng = np.asarray(features, dtype=np.float64)
    if not len(x_ng) == len(chosen_n) == len(label_n):
        found = f"{len(x_ng)}, {len(label_n)} and {len(chosen_n)}"
        raise value_error(
            "logistic_regression", "as many features, labels and observations", found, "pass the same observations"
        )
    known = label_n[chosen_n]
    if known.isna().any() or known.nunique() < 2:
        found = "observations without one" if known.isna().any() else named(known.unique())
        raise value_error(
            "labels", "at least two labels, and one for each training observation", found, "leave such observations out"
        )
    if known.value_counts().max() < 2:
        found = "one observation of each"
        raise value_error("labels", "two training observations of some label", found, "pass labels of groups")
    x_ng = _standardised(x_ng, chosen_n)
    # Rotated to the space of the training observations, the problem is the same, and small.
    most = min(chosen_n.sum(), x_ng.shape[1]) if n_comps is None else n_comps
    x_nd = x_ng @ _directions(x_ng[chosen_n], most)
    code_n, names = pd.factorize(known, sort=True)
    folds = StratifiedKFold(min(n_folds, max(2, int(known.value_counts().min()))), shuffle=True, random_state=seed)
    strength = _chosen(x_nd[chosen_n], code_n, list(folds.split(x_nd[chosen_n], code_n)))
    fitted = LogisticRegression(C=strength, max_iter=5000).fit(x_nd[chosen_n], code_n)
    table = pd.DataFrame(fitted.predict_proba(x_nd), columns=[str(name) for name in names])
    table.attrs["C"] = strength
    return table


def _chosen(x_nd: np.ndarray, code_n: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Weaken the penalty for as long as the log loss of held-out observations falls; stop when it has risen twice."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    losses: dict[float, float] = {}
    for strength in STRENGTHS:
        loss = 0.0
        for train, test in folds:
            fitted = LogisticRegression(C=strength, max_iter=2000).fit(x_nd[train], code_n[train])
            p_nc = np.full((len(test), code_n.max() + 1), 1e-12)
            p_nc[:, fitted.classes_] = fitted.predict_proba(x_nd[test])
            loss += log_loss(code_n[test], p_nc / p_nc.sum(1, keepdims=True), labels=np.arange(code_n.max() + 1))
        losses[strength] = loss
        if len(losses) > 3 and min(list(losses.values())[-2:]) > min(losses.values()):
            break
    return min(losses, key=lambda strength: losses[strength])


def _standardised(x_nd: np.ndarray, trained_n: np.ndarray) -> np.ndarray:
    """Centre and scale by the training observations; a NaN becomes the mean."""
    mean_d, deviation_d = np.nanmean(x_nd[trained_n], axis=0), np.nanstd(x_nd[trained_n], axis=0)
    scaled_nd = (x_nd - mean_d) / np.where(deviation_d > 1e-8, deviation_d, 1)
    return np.where(np.isfinite(scaled_nd), scaled_nd, 0.0)


def _directions(x_nd: np.ndarray, n_directions: int) -> np.ndarray:
    """Compute orthonormal directions of the training observations, (g, k), those of most spread first."""
    _, s_k, vt_kg = linalg.svd(x_nd, full_matrices=False)
    return vt_kg[: min(n_directions, int((s_k > 1e-8 * s_k[0]).sum()))].T


def _components(x_ng: np.ndarray, trained_n: np.ndarray, n_comps: int) -> np.ndarray:
    scaled_ng = _standardised(x_ng, trained_n)
    return scaled_ng @ _directions(scaled_ng[trained_n], min(n_comps, trained_n.sum() - 1))
