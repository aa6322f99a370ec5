"""Several risk scores as one: standardised in each stratum, weighted, and calibrated to hazards."""

from typing import Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from omicsmlm._cox import Baseline, Times, baseline_hazard

from ._candidates import PARTS, ScoreWeights, choose_candidate


class RiskEnsemble:
    r"""Standardised scores, the weights that make them a log relative hazard, and the baseline hazards.

    .. math:: \log \text{risk} = \gamma_0 z_0 + \gamma\, \frac1P \sum_p z_p, \quad
              z_p = \frac{s_p - \mu_{p,\text{stratum}}}{\sigma_{p,\text{stratum}}}

    with the score :math:`s_0` of the covariates alone, and the mean over those scores of the features that take part.
    Scores that an observation lacks are left out. All is fitted to held-out scores, so that the weights are those of
    observations that were not learned from.

    Parameters
    ----------
    mean_sp, deviation_sp
        (s + 1, p) mean and standard deviation of each score in each stratum, the last row over all strata.
    weights
        :math:`\gamma_0, \gamma`, and which scores take part.
    baselines
        Of each stratum, and the last of all observations as one stratum.
    """

    def __init__(
        self, mean_sp: np.ndarray, deviation_sp: np.ndarray, weights: ScoreWeights, baselines: list[Baseline]
    ) -> None:
        self.mean_sp = mean_sp
        self.deviation_sp = deviation_sp
        self.weights = weights
        self.baselines = baselines

    @classmethod
    def fit(cls, score_np: np.ndarray, times: Times, fold_n: np.ndarray, n_strata: int) -> tuple[Self, pd.DataFrame]:
        """Fit to held-out scores.

        What takes part is chosen, and weighted, by the observations that were held out from a network, if there are any;
        the baseline hazards are fitted to all.

        Parameters
        ----------
        score_np
            (n, p) scores, NaN where an observation lacks one; first of the covariates, last of networks.
        times
            When the observations were last seen; each has a known stratum.
        fold_n
            (n,) int: fold that an observation was held out with.
        n_strata
            s.

        Returns
        -------
        tuple
            The ensemble, and the table of :func:`~omicsmlm.models.survival._candidates.choose_candidate`.
        """
        groups = [times.stratum_n == stratum for stratum in range(n_strata)]
        mean_sp, deviation_sp = (
            np.stack(part) for part in zip(*(_moments(score_np[of_n]) for of_n in groups), strict=True)
        )
        overall_p, _ = _moments(score_np)
        # an observation of an unknown stratum is scaled by the spread within strata: how far their own means are from one
        # another is a matter of scores of different models, not of risk
        _, within_p = _moments(score_np - mean_sp[times.stratum_n])
        none = ScoreWeights(0.0, 0.0, np.zeros(score_np.shape[1], dtype=bool))
        fitted = cls(np.vstack([mean_sp, overall_p]), np.vstack([deviation_sp, within_p]), none, [])
        standardised_np, complete_n = fitted.standardised(score_np, times.stratum_n), complete(score_np)
        fitted.weights, table = choose_candidate(
            standardised_np[complete_n], times.only(complete_n), fold_n[complete_n]
        )
        log_risk_n = fitted.weights.log_risk(standardised_np)
        fitted.baselines = [baseline_hazard(log_risk_n[of_n], times.only(of_n)) for of_n in [*groups, slice(None)]]
        return fitted, table

    def standardised(self, score_np: np.ndarray, stratum_n: np.ndarray) -> np.ndarray:
        """Compute (n, p) standardised scores; a stratum of code -1 is scaled as all strata are."""
        return (score_np - self.mean_sp[stratum_n]) / self.deviation_sp[stratum_n]

    def log_risk(self, score_np: np.ndarray, stratum_n: np.ndarray) -> np.ndarray:
        """Compute (n,) log hazards relative to the baseline of the stratum."""
        return self.weights.log_risk(self.standardised(score_np, stratum_n))

    def survival(self, log_risk_n: np.ndarray, stratum_n: np.ndarray, time_t: np.ndarray) -> np.ndarray:
        """Compute (n, t) probabilities to be without the event at each time: exp(-H₀(t) · risk)."""
        hazard_st = np.stack([baseline.at(time_t) for baseline in self.baselines])
        return np.exp(-hazard_st[stratum_n] * np.exp(log_risk_n)[:, None])

    def state_dict(self) -> dict[str, Tensor]:
        """Return all numbers as float64 tensors."""
        times = {f"baseline.{s}.time_t": baseline.time_t for s, baseline in enumerate(self.baselines)}
        hazards = {f"baseline.{s}.cumulative_t": baseline.cumulative_t for s, baseline in enumerate(self.baselines)}
        parts = {
            "mean_sp": self.mean_sp,
            "deviation_sp": self.deviation_sp,
            "covariate_weight": np.array(self.weights.covariates),
            "slope": np.array(self.weights.omics),
            "averaged_p": self.weights.averaged_p,
        }
        return {name: torch.from_numpy(value).double() for name, value in {**parts, **times, **hazards}.items()}

    @classmethod
    def restore(cls, state: dict[str, Tensor]) -> Self:
        """Make the ensemble of a :meth:`state_dict`, or of one of 0.1, which had no score of the covariates alone."""
        arrays = {name: value.numpy() for name, value in state.items()}
        if "averaged_p" not in arrays:
            arrays["mean_sp"] = np.pad(arrays["mean_sp"], ((0, 0), (1, 0)))
            arrays["deviation_sp"] = np.pad(arrays["deviation_sp"], ((0, 0), (1, 0)), constant_values=1.0)
            arrays |= {"covariate_weight": np.array(0.0), "averaged_p": np.arange(len(PARTS)) > 0}
        averaged_p = arrays["averaged_p"] > 0
        weights = ScoreWeights(float(arrays["covariate_weight"]), float(arrays["slope"]), averaged_p)
        baselines = [
            Baseline(arrays[f"baseline.{s}.time_t"], arrays[f"baseline.{s}.cumulative_t"])
            for s in range(len(arrays["mean_sp"]))
        ]
        return cls(arrays["mean_sp"], arrays["deviation_sp"], weights, baselines)


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
