"""Several risk scores as one: standardised in each stratum, averaged, and calibrated to hazards."""

from typing import Self

import numpy as np
import torch
from torch import Tensor

from omicsmlm._cox import Baseline, Times, baseline_hazard, ridge_cox

LEAST_RIDGE = 1e-6
"""Weight of the ridge on the slope: so small that it moves it by less than a standard error, and enough that a score that
orders all events rightly does not have an infinite one."""


class RiskEnsemble:
    r"""The mean of standardised scores, the slope that makes it a log relative hazard, and the baseline hazards.

    .. math:: \log \text{risk} = \gamma\, \frac1P \sum_p \frac{s_p - \mu_{p,\text{stratum}}}{\sigma_{p,\text{stratum}}}

    Scores that an observation lacks are left out of its mean. All is fitted to held-out scores, so that the slope is that
    of observations that were not learned from.

    Parameters
    ----------
    mean_sp, deviation_sp
        (s + 1, p) mean and standard deviation of each score in each stratum, the last row over all strata.
    slope
        :math:`\gamma`.
    baselines
        Of each stratum, and the last of all observations as one stratum.
    """

    def __init__(self, mean_sp: np.ndarray, deviation_sp: np.ndarray, slope: float, baselines: list[Baseline]) -> None:
        self.mean_sp = mean_sp
        self.deviation_sp = deviation_sp
        self.slope = slope
        self.baselines = baselines

    @classmethod
    def fit(cls, score_np: np.ndarray, times: Times, n_strata: int) -> Self:
        """Fit to held-out scores.

        The slope is fitted to the observations that were held out from a network, if there are any; the baseline hazards
        to all.

        Parameters
        ----------
        score_np
            (n, p) scores, NaN where an observation lacks one; of networks the last.
        times
            When the observations were last seen; each has a known stratum.
        n_strata
            s.
        """
        groups = [times.stratum_n == stratum for stratum in range(n_strata)]
        mean_sp, deviation_sp = (
            np.stack(part) for part in zip(*(_moments(score_np[of_n]) for of_n in groups), strict=True)
        )
        overall_p, _ = _moments(score_np)
        # an observation of an unknown stratum is scaled by the spread within strata: how far their own means are from one
        # another is a matter of scores of different models, not of risk
        _, within_p = _moments(score_np - mean_sp[times.stratum_n])
        fitted = cls(np.vstack([mean_sp, overall_p]), np.vstack([deviation_sp, within_p]), 1.0, [])
        mean_n, complete_n = fitted.mean(score_np, times.stratum_n), complete(score_np)
        slope_1 = ridge_cox(mean_n[complete_n, None], times.only(complete_n), np.full(1, LEAST_RIDGE))
        fitted.slope = float(slope_1[0])
        fitted.baselines = [
            baseline_hazard(fitted.slope * mean_n[of_n], times.only(of_n)) for of_n in [*groups, slice(None)]
        ]
        return fitted

    def mean(self, score_np: np.ndarray, stratum_n: np.ndarray) -> np.ndarray:
        """Compute (n,) means of standardised scores; a stratum of code -1 is scaled as all strata are."""
        standardised_np = (score_np - self.mean_sp[stratum_n]) / self.deviation_sp[stratum_n]
        known_np = np.isfinite(standardised_np)
        return np.where(known_np, standardised_np, 0.0).sum(1) / np.maximum(known_np.sum(1), 1)

    def log_risk(self, score_np: np.ndarray, stratum_n: np.ndarray) -> np.ndarray:
        """Compute (n,) log hazards relative to the baseline of the stratum."""
        return self.slope * self.mean(score_np, stratum_n)

    def survival(self, log_risk_n: np.ndarray, stratum_n: np.ndarray, time_t: np.ndarray) -> np.ndarray:
        """Compute (n, t) probabilities to be without the event at each time: exp(-H₀(t) · risk)."""
        hazard_st = np.stack([baseline.at(time_t) for baseline in self.baselines])
        return np.exp(-hazard_st[stratum_n] * np.exp(log_risk_n)[:, None])

    def state_dict(self) -> dict[str, Tensor]:
        """Return all numbers as float64 tensors."""
        times = {f"baseline.{s}.time_t": baseline.time_t for s, baseline in enumerate(self.baselines)}
        hazards = {f"baseline.{s}.cumulative_t": baseline.cumulative_t for s, baseline in enumerate(self.baselines)}
        parts = {"mean_sp": self.mean_sp, "deviation_sp": self.deviation_sp, "slope": np.array(self.slope)}
        return {name: torch.from_numpy(value).double() for name, value in {**parts, **times, **hazards}.items()}

    @classmethod
    def restore(cls, state: dict[str, Tensor]) -> Self:
        """Make the ensemble of a :meth:`state_dict`."""
        arrays = {name: value.numpy() for name, value in state.items()}
        baselines = [
            Baseline(arrays[f"baseline.{s}.time_t"], arrays[f"baseline.{s}.cumulative_t"])
            for s in range(len(arrays["mean_sp"]))
        ]
        return cls(arrays["mean_sp"], arrays["deviation_sp"], float(arrays["slope"]), baselines)


def complete(score_np: np.ndarray) -> np.ndarray:
    """Return which observations have the last score, that of networks, if any has it, else any score, (n,) bool.

    Examples
    --------
    >>> complete(np.array([[1.0, np.nan], [1.0, 2.0]])).tolist(), complete(np.array([[1.0, np.nan]])).tolist()
    ([False, True], [True])
    """
    known_n = np.isfinite(score_np[:, -1])
    return known_n if known_n.any() else np.isfinite(score_np).any(1)


def _moments(score_np: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean and standard deviation, (p,) each, of the scores that are known; 0 and 1 where none is."""
    known_np = np.isfinite(score_np)
    n_p = np.maximum(known_np.sum(0), 1)
    mean_p = np.where(known_np, score_np, 0.0).sum(0) / n_p
    deviation_p = np.sqrt((np.where(known_np, score_np - mean_p, 0.0) ** 2).sum(0) / n_p)
    return mean_p, np.where(deviation_p > 0, deviation_p, 1.0)
