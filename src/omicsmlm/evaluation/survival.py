"""Scores of risks and survival probabilities, given censored times: pure functions of arrays.

Concordance, Brier score and Kaplan-Meier curve are those of torchsurv (Novartis, MIT).
"""

from typing import Any

import numpy as np
from scipy import stats

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._censored_times import LogRank, kaplan_meier, log_rank
from omicsmlm._checks import value_error
from omicsmlm._risk_scores import brier, calibration, concordance, concordances

__all__ = [
    "LogRank",
    "brier",
    "calibration",
    "concordance",
    "concordances",
    "kaplan_meier",
    "log_rank",
    "risk_groups",
]


@in_one_sentence_of_types
def risk_groups(risk: Any, n_groups: int = 2, stratum: Any = None) -> np.ndarray:
    """Divide observations into groups of equal size by their risk, within strata if there are any.

    Parameters
    ----------
    risk
        (n,) finite scores, higher for observations that have the event sooner.
    n_groups
        2: "low" and "high" risk; 3: "middle" between them; more: numbered from "1", the lowest.
    stratum
        (n,) names; observations are then ranked among those of their stratum.

    Returns
    -------
    numpy.ndarray
        (n,) names of the groups.

    Raises
    ------
    ValueError
        If there are fewer than two groups, or a score is not finite.

    Examples
    --------
    >>> risk_groups([0.1, 2.0, 0.5, 1.0]).tolist()
    ['low', 'high', 'low', 'high']
    """
    risk_n = np.asarray(risk, dtype=np.float64)
    if n_groups < 2:
        raise value_error("risk_groups", "at least two groups", str(n_groups), "pass 2 or 3")
    if not np.isfinite(risk_n).all():
        raise value_error("risk_groups", "finite risks", "NaN or infinity", "leave these observations out")
    names = {2: ["low", "high"], 3: ["low", "middle", "high"]}.get(n_groups, [str(k + 1) for k in range(n_groups)])
    stratum_n = np.zeros(len(risk_n), dtype=str) if stratum is None else np.asarray(stratum, dtype=str)
    group_n = np.zeros(len(risk_n), dtype=np.int64)
    for name in np.unique(stratum_n):
        of_n = stratum_n == name
        group_n[of_n] = (stats.rankdata(risk_n[of_n], method="ordinal") - 1) * n_groups // of_n.sum()
    return np.array(names)[group_n]
