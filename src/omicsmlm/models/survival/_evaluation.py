"""How good predicted risks and survival probabilities are, stratum by stratum and on average."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from omicsmlm._checks import named, shortened, value_error
from omicsmlm._cox import Times
from omicsmlm._risk_scores import brier, calibration, concordances

N_GROUPS = 5
"""Groups by risk in which survival is compared with what was predicted."""
SCORES = ["Brier", "Brier, no risk", "calibration error"]


class Predicted(NamedTuple):
    """What is predicted for n observations at t times."""

    log_risk_n: np.ndarray
    survival_nt: np.ndarray
    without_nt: np.ndarray
    """Survival by the baseline hazards alone."""


def score_table(predicted: Predicted, grid_t: np.ndarray, times: Times, strata: list[str]) -> pd.DataFrame:
    """Score predictions; the columns are those of :meth:`Survival.evaluate`.

    Parameters
    ----------
    predicted
        Of observations.
    grid_t
        The t times.
    times
        When these observations were last seen, in strata of these names; -1 for an unknown one.
    strata
        Names of the strata.
    """
    names_n, middle = np.array([*strata, "unknown"])[times.stratum_n], len(grid_t) // 2
    survival_nt = predicted.survival_nt
    table = concordances(predicted.log_risk_n, times.time_n, times.event_n, names_n, -survival_nt[:, middle])
    for name in table.index.drop(["mean", "weighted"]):
        of_n = slice(None) if name == "pooled" else names_n == name
        time_n, event_n = times.time_n[of_n], times.event_n[of_n]
        if not event_n.any() or len(time_n) < 2 * N_GROUPS:
            table.loc[name, SCORES] = np.nan
            continue
        parts = (survival_nt, predicted.without_nt)
        scores = [brier(part_nt[of_n], grid_t, time_n, event_n).mean() for part_nt in parts]
        groups = calibration(survival_nt[of_n, middle], time_n, event_n, grid_t[middle], N_GROUPS)
        table.loc[name, SCORES] = [*scores, groups.attrs["error"]]
    of_strata = table.drop(["mean", "weighted", "pooled"])
    table.loc["mean", SCORES] = of_strata[SCORES].mean()
    weight = of_strata["n"] * of_strata[SCORES].notna().T
    table.loc["weighted", SCORES] = (of_strata[SCORES].fillna(0).T * weight).sum(axis=1) / weight.sum(axis=1)
    return table


def checked_times(times: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return times at which survival is asked for, (t,) float64, or raise the error that says why they are none."""
    try:
        time_t = np.asarray(times, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise value_error("times", "numbers", shortened(times), "pass times in the unit of training") from error
    if time_t.ndim > 1:
        raise value_error("times", "one list of times", f"an array of shape {time_t.shape}", "pass times.ravel()")
    time_t = time_t.ravel()
    if not (np.isfinite(time_t).all() and time_t.min(initial=0) >= 0):
        raise value_error("times", "times that are not negative", named(time_t, 3), "count from the start")
    return time_t
