"""Times to an event, some of them censored: what they have to be, the Kaplan-Meier curve and the log-rank test.

On the ground floor, since models, plots and ``omicsmlm.evaluation`` use it. The Kaplan-Meier curve is that of torchsurv
(Novartis, MIT).
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import stats

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import shortened, value_error

LARGEST_TIME = float(np.finfo(np.float32).max)
"""Largest time: torchsurv computes in single precision."""


class LogRank(NamedTuple):
    """A test of whether groups differ in survival."""

    statistic: float
    p_value: float
    n_degrees: int


def checked_times(place: str, time: Any, event: Any, **others: Any) -> list[np.ndarray]:
    """Return times as float64, events as bool and other columns as arrays, all of the same length.

    Raises
    ------
    ValueError
        If lengths differ, times are negative or not finite, or events are anything but 0 and 1.
    """
    try:
        time_n, event_n = np.array(time, dtype=np.float64), np.asarray(event)
    except (TypeError, ValueError) as error:
        raise value_error(place, "times that are numbers", shortened(time), "pass a column of .obs") from error
    columns = {"time": time_n, "event": event_n, **{name: np.asarray(value) for name, value in others.items()}}
    for name, column in columns.items():
        if column.ndim == 0 or (name in ("time", "event") and column.ndim > 1):
            raise value_error(place, f"{name} of each observation", f"{column.ndim} axes", "pass a column of .obs")
        if len(column) != len(time_n):
            found = f"{len(column)} of {name} for {len(time_n)} times"
            raise value_error(place, "as many entries of each", found, "pass the same observations")
    if not (np.abs(time_n) <= LARGEST_TIME).all() or time_n.min(initial=0) < 0:
        raise value_error(place, "finite times that are not negative", "others", "leave these observations out")
    if not np.isin(event_n, (0, 1)).all():
        raise value_error(place, "events that are 0 or 1", "others", "code them as 1 for the event, 0 for censored")
    columns["event"] = event_n.astype(bool)
    return list(columns.values())


@in_one_sentence_of_types
def kaplan_meier(time: Any, event: Any) -> pd.Series:
    """Estimate the fraction that is still without the event (Kaplan and Meier 1958).

    Returns
    -------
    pandas.Series
        Survival from each time on, indexed by the distinct times in ascending order, and 1 at 0.

    Examples
    --------
    >>> kaplan_meier([1, 2, 3], [1, 0, 1]).round(2).to_dict()
    {0.0: 1.0, 1.0: 0.67, 2.0: 0.67, 3.0: 0.0}
    """
    time_n, event_n = checked_times("kaplan_meier", time, event)
    if not event_n.any():
        return pd.Series(1.0, index=np.union1d([0.0], time_n))
    from torchsurv.stats.kaplan_meier import KaplanMeierEstimator

    estimate = KaplanMeierEstimator()
    estimate(torch.from_numpy(event_n), torch.from_numpy(time_n))
    curve = pd.Series(estimate.km_est.numpy().astype(float), index=estimate.time.numpy().astype(float))
    return curve if 0.0 in curve.index else pd.concat([pd.Series({0.0: 1.0}), curve])


def at_time(curve: pd.Series, time: float) -> float:
    """Read a step curve at a time."""
    return float(curve.iloc[int(np.searchsorted(curve.index.to_numpy(), time, side="right")) - 1])


@in_one_sentence_of_types
def log_rank(time: Any, event: Any, group: Any, stratum: Any = None) -> LogRank:
    r"""Test whether groups differ in survival, within strata if there are any (Mantel 1966, Peto and Peto 1972).

    .. math:: (O - E)^\top V^- (O - E), \quad E_g = \sum_t d_t \frac{n_{gt}}{n_t}, \quad
              V_{gh} = \sum_t d_t \frac{n_t - d_t}{n_t - 1} \frac{n_{gt}}{n_t} \Big([g = h] - \frac{n_{ht}}{n_t}\Big)

    Parameters
    ----------
    time, event
        As in :func:`concordance`.
    group, stratum
        (n,) names.

    Returns
    -------
    LogRank
        ``statistic``, ``p_value`` (chi-squared) and ``n_degrees``.

    Raises
    ------
    ValueError
        If there is only one group.
    """
    time_n, event_n, group_n = checked_times("log_rank", time, event, group=np.asarray(group, dtype=str))
    names, code_n = np.unique(group_n, return_inverse=True)
    if len(names) < 2:
        raise value_error("log_rank", "at least two groups", f"{len(names)}", "divide the observations otherwise")
    stratum_n = np.zeros(len(time_n), dtype=str) if stratum is None else np.asarray(stratum, dtype=str)
    difference_g, variance_gg = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for name in np.unique(stratum_n):
        of_n = stratum_n == name
        member_ng = np.eye(len(names))[code_n[of_n]]
        for when in np.unique(time_n[of_n & event_n]):
            here_n = (time_n[of_n] == when) & event_n[of_n]
            at_risk_g, n_events = member_ng[time_n[of_n] >= when].sum(0), here_n.sum()
            n = at_risk_g.sum()
            fraction_g = at_risk_g / n
            difference_g += member_ng[here_n].sum(0) - n_events * fraction_g
            spread = n_events * (n - n_events) / max(n - 1, 1)
            variance_gg += spread * (np.diag(fraction_g) - np.outer(fraction_g, fraction_g))
    statistic = float(difference_g @ np.linalg.pinv(variance_gg) @ difference_g)
    n_degrees = len(names) - 1
    return LogRank(statistic, float(stats.chi2.sf(statistic, n_degrees)), n_degrees)
