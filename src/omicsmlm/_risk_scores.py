"""How good risks and survival probabilities are, given censored times: pure functions of arrays.

On the ground floor, since both the models and ``omicsmlm.evaluation.survival`` use it. Concordance, Brier score
and Kaplan-Meier curve are those of torchsurv (Novartis, MIT).
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._censored_times import at_time, checked_times, kaplan_meier
from omicsmlm._checks import named, value_error


@in_one_sentence_of_types
def concordance(risk: Any, time: Any, event: Any) -> float:
    r"""Compute Harrell's C-index: how often, of two observations, the one with the earlier event had the higher risk.

    Equal risks count half. Time is only compared within the observations given: pass one stratum at a time, or see
    :func:`concordances`.

    Parameters
    ----------
    risk
        (n,) any score that is higher the sooner the event is expected.
    time, event
        (n,) times, and whether they end with the event (1) or without (0).

    Returns
    -------
    float
        0 to 1, 0.5 for chance; NaN where no two observations can be compared.

    Raises
    ------
    ValueError
        If lengths differ, values are out of range, or a risk is NaN.

    Examples
    --------
    >>> concordance([3, 2, 1], [1, 2, 3], [1, 1, 0])
    1.0
    """
    time_n, event_n, risk_n = checked_times("concordance", time, event, risk=risk)
    if pd.isna(risk_n).any():
        found = f"NaN in {int(pd.isna(risk_n).sum())} of {len(risk_n)} observations"
        raise value_error("concordance", "a risk of each observation", found, "leave these observations out")
    later = time_n[event_n].min(initial=np.inf) if event_n.any() else np.inf
    if not ((time_n > later) | ((time_n == later) & ~event_n)).any():
        return float("nan")
    from torchsurv.metrics.cindex import ConcordanceIndex

    rank_n = stats.rankdata(risk_n, method="dense")  # torchsurv takes nearby risks for equal
    return float(ConcordanceIndex()(*(torch.from_numpy(part) for part in (rank_n.astype(float), event_n, time_n))))


@in_one_sentence_of_types
def concordances(risk: Any, time: Any, event: Any, stratum: Any, pooled_risk: Any = None) -> pd.DataFrame:
    """Compute the C-index of each stratum, their mean, plain and weighted by size, and the pooled one.

    Parameters
    ----------
    risk, time, event
        As in :func:`concordance`.
    stratum
        (n,) names of the strata.
    pooled_risk
        (n,) scores that can be compared between strata, for the pooled C-index; None for ``risk``.

    Returns
    -------
    DataFrame
        ``C-index``, ``n`` and ``events`` of each stratum, then of ``mean``, ``weighted`` and ``pooled``. Strata in
        which nothing can be compared are NaN and left out of the means.
    """
    checked = checked_times("concordances", time, event, risk=risk, stratum=np.asarray(stratum, dtype=str))
    time_n, event_n, risk_n, stratum_n = checked
    rows: dict[str, tuple[float, int, int]] = {}
    for name in np.unique(stratum_n):
        of_n = stratum_n == name
        found = concordance(risk_n[of_n], time_n[of_n], event_n[of_n])
        rows[str(name)] = (found, int(of_n.sum()), int(event_n[of_n].sum()))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["C-index", "n", "events"])
    known = table.dropna()
    weighted = float((known["C-index"] * known["n"]).sum() / known["n"].sum()) if len(known) else float("nan")
    pooled = concordance(risk_n if pooled_risk is None else pooled_risk, time_n, event_n)
    for name, value in {"mean": known["C-index"].mean(), "weighted": weighted, "pooled": pooled}.items():
        table.loc[name] = [value, len(time_n), event_n.sum()]
    return table.astype({"n": int, "events": int}).rename_axis("stratum")


@in_one_sentence_of_types
def brier(survival: Any, times: Any, time: Any, event: Any) -> np.ndarray:
    r"""Compute the Brier score of survival probabilities at some times, weighted for censoring (Graf et al. 1999).

    .. math:: \frac1n \sum_i \frac{S(t \mid x_i)^2\, [t_i \le t, \text{event}]}{G(t_i)}
              + \frac{(1 - S(t \mid x_i))^2\, [t_i > t]}{G(t)}

    with the Kaplan-Meier estimate :math:`G` of the censoring times of these observations.

    Parameters
    ----------
    survival
        (n, t) probabilities to be without the event at each of the times.
    times
        (t,) times in any order; they may repeat.
    time, event
        As in :func:`concordance`.

    Returns
    -------
    numpy.ndarray
        (t,) 0 is best; 0.25 is what 1/2 for everyone gives.

    Raises
    ------
    ValueError
        If there is not one column of probabilities for each time, or one of them is not finite.
    """
    time_n, event_n, survival_nt = checked_times("brier", time, event, survival=survival)
    time_t = _checked_grid(times, survival_nt)
    survival_nt = survival_nt.reshape(len(time_n), len(time_t))
    # torchsurv takes ascending times without ties only; a grid of quantiles has ties where times are whole years.
    order_t = np.argsort(time_t, kind="stable")
    first_t = np.searchsorted(time_t, time_t, sorter=order_t)
    nth_t = np.empty(len(time_t), dtype=np.int64)
    nth_t[order_t] = np.arange(len(time_t)) - first_t[order_t]
    score_t = np.empty(len(time_t))
    for nth in range(int(nth_t.max()) + 1):
        at_t = order_t[nth_t[order_t] == nth]
        score_t[at_t] = _brier_ascending(survival_nt[:, at_t], time_t[at_t], time_n, event_n)
    return score_t


def _brier_ascending(
    survival_nt: np.ndarray, time_t: np.ndarray, time_n: np.ndarray, event_n: np.ndarray
) -> np.ndarray:
    """Return the Brier scores, (t,), at ascending times that differ."""
    from torchsurv.metrics.brier_score import BrierScore
    from torchsurv.stats.ipcw import get_ipcw

    visible, at, ends = torch.from_numpy(time_n), _double(time_t), _double(event_n)
    weight_n, weight_t = get_ipcw(ends.bool(), visible), get_ipcw(ends.bool(), visible, at)
    score = BrierScore()(_double(survival_nt), ends.bool(), visible, at, weight_n, weight_t)
    return np.atleast_1d(score.numpy())


def _checked_grid(times: Any, survival_nt: np.ndarray) -> np.ndarray:
    """Return (t,) times, of which there is one for each column of survival probabilities."""
    time_t = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if not len(time_t) or not np.isfinite(time_t).all() or time_t.min() < 0:
        raise value_error("brier", "finite times that are not negative", named(time_t, 3), "count from the start")
    if survival_nt.shape not in ((len(survival_nt), len(time_t)), (len(survival_nt),) * (len(time_t) == 1)):
        found = f"shape {survival_nt.shape} for {len(time_t)} times"
        raise value_error("brier", "one column of probabilities for each time", found, "pass an array (n, t)")
    if not np.isfinite(survival_nt).all():
        raise value_error("brier", "finite probabilities", "NaN or infinity", "leave these observations out")
    return time_t


def _double(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))  # a copy, as torch warns of what is read-only


@in_one_sentence_of_types
def calibration(survival: Any, time: Any, event: Any, horizon: float, n_groups: int = 5) -> pd.DataFrame:
    r"""Compare, in groups of observations by predicted survival, the prediction with the Kaplan-Meier estimate.

    Parameters
    ----------
    survival
        (n,) predicted probabilities to be without the event at ``horizon``.
    time, event
        As in :func:`concordance`.
    horizon
        The time.
    n_groups
        Number of groups of equal size.

    Returns
    -------
    DataFrame
        ``predicted`` and ``observed`` survival and ``n`` of each group; ``attrs["error"]`` is the mean of
        \|predicted − observed\|, weighted by n.
    """
    time_n, event_n, survival_n = checked_times("calibration", time, event, survival=survival)
    group_n = np.minimum((stats.rankdata(survival_n, method="ordinal") - 1) * n_groups // len(time_n), n_groups - 1)
    rows = []
    for group in np.unique(group_n):
        of_n = group_n == group
        observed = at_time(kaplan_meier(time_n[of_n], event_n[of_n]), horizon)
        rows.append({"predicted": survival_n[of_n].mean(), "observed": observed, "n": int(of_n.sum())})
    table = pd.DataFrame(rows)
    table.attrs["error"] = float(((table["predicted"] - table["observed"]).abs() * table["n"]).sum() / len(time_n))
    return table
