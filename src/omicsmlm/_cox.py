"""The Cox model of censored times: its partial likelihood, fitted to convergence with a ridge, and its baseline hazard.

On the ground floor, since both the models and the plain baselines of the evaluation stand on it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

N_STEPS = 100
"""Most Newton steps; a ridge problem takes about ten, so that this is never met but by one without a minimum."""
TOLERANCE = 1e-10
"""Newton decrement, relative to the loss of an observation, below which the minimum counts as reached: half of it is
how far the loss is from it."""


class Times(NamedTuple):
    """When observations were last seen, and whether that was the event."""

    time_n: np.ndarray
    """(n,) float64, in the user's own unit, not negative."""
    event_n: np.ndarray
    """(n,) bool: the event happened at that time; otherwise the observation was still without it (censored)."""
    stratum_n: np.ndarray
    """(n,) int64: observations are compared with those of their own stratum only."""

    def only(self, rows: np.ndarray) -> "Times":
        """Return some observations, by position or by a boolean per observation."""
        return Times(*(part[rows] for part in self))

    def strata(self) -> Iterator[np.ndarray]:
        """Yield the positions of the observations of each stratum, by ascending time."""
        for stratum in np.unique(self.stratum_n):
            rows = np.flatnonzero(self.stratum_n == stratum)
            yield rows[np.argsort(self.time_n[rows], kind="stable")]


class _Risk(NamedTuple):
    """The sums over those at risk at each event of one stratum, observations by ascending time; e events."""

    hazard_n: np.ndarray
    event_e: np.ndarray
    """Observations that are events."""
    start_e: np.ndarray
    """First observation that is at risk."""
    first_e: np.ndarray
    last_e: np.ndarray
    """First of the events at the same time, and the one after the last."""
    fraction_e: np.ndarray
    """Fraction of the tied events' hazard that is already gone (Efron)."""
    sum_e: np.ndarray


def _risk(eta_n: np.ndarray, time_n: np.ndarray, event_n: np.ndarray) -> _Risk:
    hazard_n, event_e = np.exp(eta_n), np.flatnonzero(event_n)
    time_e = time_n[event_e]
    start_e = np.searchsorted(time_n, time_e, side="left")
    first_e, last_e = (np.searchsorted(time_e, time_e, side=side) for side in ("left", "right"))
    fraction_e = (np.arange(len(time_e)) - first_e) / np.maximum(last_e - first_e, 1)
    at_risk_n = np.cumsum(hazard_n[::-1])[::-1]
    up_to_e = _cumulated(hazard_n[event_e])
    sum_e = at_risk_n[start_e] - fraction_e * (up_to_e[last_e] - up_to_e[first_e])
    return _Risk(hazard_n, event_e, start_e, first_e, last_e, fraction_e, sum_e)


def _cumulated(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])


def partial_likelihood(eta_n: np.ndarray, times: Times) -> float:
    r"""Compute Cox's log partial likelihood, tied events by Efron's method, summed over strata.

    .. math:: \sum_e \Big(\eta_e - \log\big(\sum_{j: t_j \ge t_e} e^{\eta_j}
              - \frac{r_e}{m_e} \sum_{k \text{ tied with } e} e^{\eta_k}\big)\Big)

    with :math:`r_e = 0, \dots, m_e - 1` within :math:`m_e` events at the same time (Efron 1977).

    Parameters
    ----------
    eta_n
        (n,) log relative hazards.
    times
        When the observations were last seen.

    Examples
    --------
    >>> times = Times(np.array([1.0, 2.0]), np.array([True, False]), np.zeros(2))
    >>> round(partial_likelihood(np.zeros(2), times), 4)  # one of two: log(1/2)
    -0.6931
    """
    total = 0.0
    for rows in times.strata():
        if not times.event_n[rows].any():
            continue
        shift = eta_n[rows].max()
        risk = _risk(eta_n[rows] - shift, times.time_n[rows], times.event_n[rows])
        total += (eta_n[rows][risk.event_e] - shift - np.log(risk.sum_e)).sum()
    return float(total)


class _Slope(NamedTuple):
    value: float
    gradient_d: np.ndarray
    hessian_dd: np.ndarray


def _slope(x_nd: np.ndarray, weight_d: np.ndarray, time_n: np.ndarray, event_n: np.ndarray) -> _Slope:
    """Compute the negative log partial likelihood of one stratum, observations by ascending time, with its derivatives."""
    eta_n = x_nd @ weight_d
    eta_n = eta_n - eta_n.max()
    risk = _risk(eta_n, time_n, event_n)
    value = (np.log(risk.sum_e) - eta_n[risk.event_e]).sum()
    passed_e = _cumulated(1 / risk.sum_e)
    cumulative_n = passed_e[np.searchsorted(time_n[risk.event_e], time_n, side="right")]
    tied_e = _cumulated(risk.fraction_e / risk.sum_e)
    cumulative_n[risk.event_e] -= tied_e[risk.last_e] - tied_e[risk.first_e]
    expected_n = risk.hazard_n * cumulative_n  # events that the model expects of each observation
    weighted_nd = risk.hazard_n[:, None] * x_nd
    at_risk_nd = np.cumsum(weighted_nd[::-1], axis=0)[::-1]
    up_to_ed = _cumulated(weighted_nd[risk.event_e])
    tied_ed = risk.fraction_e[:, None] * (up_to_ed[risk.last_e] - up_to_ed[risk.first_e])
    mean_ed = (at_risk_nd[risk.start_e] - tied_ed) / risk.sum_e[:, None]
    gradient_d = expected_n @ x_nd - x_nd[risk.event_e].sum(0)
    return _Slope(value, gradient_d, (x_nd * expected_n[:, None]).T @ x_nd - mean_ed.T @ mean_ed)


def ridge_cox(x_nd: np.ndarray, times: Times, penalty_d: np.ndarray, start_d: np.ndarray | None = None) -> np.ndarray:
    r"""Fit a Cox model with strata and a ridge, to convergence, by damped Newton steps.

    .. math:: \min_w\; -\tfrac{1}{n} \log L(X w) + \tfrac{1}{2} \sum_d \lambda_d w_d^2

    Parameters
    ----------
    x_nd
        (n, d) covariates; their means do not matter, their scale does.
    times
        When the observations were last seen. Strata have a baseline hazard each and share the weights.
    penalty_d
        (d,) :math:`\lambda`, positive.
    start_d
        (d,) weights to start from; None for zeros.

    Returns
    -------
    numpy.ndarray
        (d,) float64 weights; zeros if there is no event.

    Examples
    --------
    >>> times = Times(np.array([1.0, 2.0, 3.0]), np.array([True, True, True]), np.zeros(3))
    >>> bool(ridge_cox(np.array([[2.0], [1.0], [0.0]]), times, np.array([0.1]))[0] > 0)  # the larger, the sooner
    True
    """
    x_nd, n = np.asarray(x_nd, dtype=np.float64), len(x_nd)
    strata = [rows for rows in times.strata() if times.event_n[rows].any()]
    parts = [(x_nd[rows], times.time_n[rows], times.event_n[rows]) for rows in strata]
    weight_d = np.zeros(x_nd.shape[1]) if start_d is None else start_d.astype(np.float64)
    if not parts:
        return np.zeros(x_nd.shape[1])

    def slope(weight_d: np.ndarray) -> _Slope:
        found = [_slope(x, weight_d, time, event) for x, time, event in parts]
        value, gradient_d, hessian_dd = (sum(part) / n for part in zip(*found, strict=True))
        ridge = 0.5 * float((penalty_d * weight_d**2).sum())
        return _Slope(value + ridge, gradient_d + penalty_d * weight_d, hessian_dd + np.diag(penalty_d))

    now = slope(weight_d)
    for _ in range(N_STEPS):
        step_d = np.linalg.solve(now.hessian_dd, now.gradient_d)
        decrement, size = float(now.gradient_d @ step_d), 1.0
        if decrement < TOLERANCE:
            break
        ahead = slope(weight_d - step_d)
        while not ahead.value <= now.value - 1e-4 * size * decrement and size > 1e-6:
            size /= 2
            ahead = slope(weight_d - size * step_d)
        weight_d, now = weight_d - size * step_d, ahead
    return weight_d


class Baseline(NamedTuple):
    """The cumulative hazard of an observation with log relative hazard 0."""

    time_t: np.ndarray
    """(t,) distinct times of events, ascending."""
    cumulative_t: np.ndarray
    """(t,) cumulative hazard from each of these times on; 0 before the first."""

    def at(self, time_q: np.ndarray) -> np.ndarray:
        """Compute the (q,) cumulative hazard at some times; after the last event it stays as it is."""
        steps = np.concatenate([[0.0], self.cumulative_t])
        return steps[np.searchsorted(self.time_t, time_q, side="right")]


def baseline_hazard(eta_n: np.ndarray, times: Times) -> Baseline:
    r"""Estimate the baseline hazard of observations as of one stratum (Breslow 1972).

    .. math:: H_0(t) = \sum_{t_e \le t} \frac{m_e}{\sum_{j: t_j \ge t_e} e^{\eta_j}}

    Examples
    --------
    >>> times = Times(np.array([1.0, 2.0]), np.array([True, False]), np.zeros(2))
    >>> baseline_hazard(np.zeros(2), times).at(np.array([0.5, 1.0, 9.0])).tolist()
    [0.0, 0.5, 0.5]
    """
    order = np.argsort(times.time_n, kind="stable")
    time_n, event_n, hazard_n = times.time_n[order], times.event_n[order], np.exp(eta_n[order])
    time_t, events_t = np.unique(time_n[event_n], return_counts=True)
    at_risk_n = np.cumsum(hazard_n[::-1])[::-1]
    return Baseline(time_t, np.cumsum(events_t / at_risk_n[np.searchsorted(time_n, time_t)]))
