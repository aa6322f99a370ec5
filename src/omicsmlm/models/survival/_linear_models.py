"""Ridge Cox models of features and covariates, fitted to convergence; held-out observations choose the ridge."""

from typing import NamedTuple

import numpy as np
from scipy import linalg

from omicsmlm._cox import Times, partial_likelihood, ridge_cox
from omicsmlm.models.heads import is_past_minimum

REGULARISATIONS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Weights of the ridge on components, the first of which has standard deviation 1, tried from the strongest on."""
FEWEST_EVENTS = 10
"""Events that a stratum must have outside of each fold to get a model of its own: the usual ten per variable, for one
component that matters."""
LEAST_EIGENVALUE = 1e-6
"""Of the largest: directions below it are rounding, as the features are float32."""


class RiskData(NamedTuple):
    """Observations as the linear models see them."""

    x_ng: np.ndarray
    """Scaled features, 0 where not visible."""
    covariate_nk: np.ndarray
    times: Times
    fold_n: np.ndarray
    """(n,) int: fold that an observation is held out with."""

    def only(self, indices: np.ndarray) -> "RiskData":
        """Return some observations, by position or by a boolean per observation."""
        return RiskData(self.x_ng[indices], self.covariate_nk[indices], self.times.only(indices), self.fold_n[indices])


class Penalties(NamedTuple):
    """How many components are used, and how covariates are penalised."""

    n_components: int
    covariate_regularisation: float


class CoxFit(NamedTuple):
    """A linear log risk, and how it was chosen."""

    weight_f: np.ndarray
    """(g + k,) float64: of the features, then of the covariates."""
    regularisation: float
    held_out_n: np.ndarray
    """(n,) log risk of each observation by a model that was fitted without its fold."""
    losses: dict[float, float]
    """Cross-validated negative log partial likelihood per event, of each regularisation weight that was tried."""


def event_folds(times: Times, n_folds: int, seed: int) -> np.ndarray:
    """Divide observations into folds, (n,) int, stratified by stratum and event."""
    rng = np.random.default_rng(seed)
    fold_n, start = np.empty(len(times.time_n), dtype=np.int64), 0
    for stratum in np.unique(times.stratum_n):
        for event in (True, False):
            indices = rng.permutation(np.flatnonzero((times.stratum_n == stratum) & (times.event_n == event)))
            fold_n[indices] = (start + np.arange(len(indices))) % n_folds
            start += len(indices)  # so that small strata do not all fall into the first fold
    return fold_n


def components(x_ng: np.ndarray, n_components: int) -> np.ndarray:
    """Compute principal directions, (g, k) float64, of one common scale by which the first scores have sd 1.

    They are the eigenvectors of the smaller of x'x and x x', of which only the leading ones are computed.
    """
    centred_ng = x_ng - x_ng.mean(0)
    n, g = x_ng.shape
    most = min(n_components, n - 1, g)
    square = (centred_ng @ centred_ng.T if n <= g else centred_ng.T @ centred_ng).astype(np.float64)
    size = len(square)
    value_k, vector_sk = linalg.eigh(square, subset_by_index=[size - most, size - 1])
    value_k, vector_sk = value_k[::-1], vector_sk[:, ::-1]
    kept_k = value_k > LEAST_EIGENVALUE * max(value_k[0], 1e-12)
    value_k, vector_sk = value_k[kept_k], vector_sk[:, kept_k]
    direction_gk = centred_ng.T.astype(np.float64) @ vector_sk / np.sqrt(value_k) if n <= g else vector_sk
    return direction_gk / np.sqrt(value_k[:1] / n)


def fit_covariates(data: RiskData, regularisation: float) -> tuple[np.ndarray, np.ndarray]:
    """Fit a Cox model of the covariates alone, with one weight of each in all strata.

    Returns
    -------
    tuple of numpy.ndarray
        (k,) weights, and (n,) log risks of each observation by a model that was fitted without its fold.
    """
    penalty_k = np.full(data.covariate_nk.shape[1], regularisation)
    held_out_n = np.empty(len(data.fold_n))
    for fold in np.unique(data.fold_n):
        out_n = data.fold_n == fold
        weight_k = ridge_cox(data.covariate_nk[~out_n], data.times.only(~out_n), penalty_k)
        held_out_n[out_n] = (data.covariate_nk[out_n] - data.covariate_nk[~out_n].mean(0)) @ weight_k
    return ridge_cox(data.covariate_nk, data.times, penalty_k), held_out_n


class _Inputs(NamedTuple):
    """Components and covariates of some observations, and the way back to features."""

    direction_gk: np.ndarray
    x_nd: np.ndarray

    @classmethod
    def of(cls, data: RiskData, trained_n: np.ndarray, n_components: int) -> "_Inputs":
        direction_gk = components(data.x_ng[trained_n], n_components)
        return cls(direction_gk, np.hstack([data.x_ng @ direction_gk, data.covariate_nk]))

    def penalty(self, regularisation: float, covariate_regularisation: float) -> np.ndarray:
        k = self.direction_gk.shape[1]
        return np.r_[np.full(k, regularisation), np.full(self.x_nd.shape[1] - k, covariate_regularisation)]


def fit_cox(data: RiskData, penalties: Penalties) -> CoxFit:
    """Weaken the ridge for as long as the likelihood of held-out observations rises, then fit to all observations.

    The ridge is chosen by the cross-validated partial likelihood (Verweij and van Houwelingen 1993): what a fold adds
    to the likelihood of the others. Components are computed anew without each fold.
    """
    on_covariates, folds_k = penalties.covariate_regularisation, np.unique(data.fold_n)
    kept = [data.fold_n != fold for fold in folds_k]
    inputs = [_Inputs.of(data, kept_n, penalties.n_components) for kept_n in kept]
    starts: list[np.ndarray | None] = [None] * len(kept)
    losses: dict[float, float] = {}
    held_out: dict[float, np.ndarray] = {}
    for regularisation in REGULARISATIONS:
        gained, held_out[regularisation] = 0.0, np.empty(len(data.fold_n))
        for k, (kept_n, part) in enumerate(zip(kept, inputs, strict=True)):
            times = data.times.only(kept_n)
            starts[k] = ridge_cox(part.x_nd[kept_n], times, part.penalty(regularisation, on_covariates), starts[k])
            eta_n = part.x_nd @ starts[k]
            gained += partial_likelihood(eta_n, data.times) - partial_likelihood(eta_n[kept_n], times)
            held_out[regularisation][~kept_n] = eta_n[~kept_n] - eta_n[kept_n].mean()  # folds share no zero
        losses[regularisation] = -gained / max(data.times.event_n.sum(), 1)
        if is_past_minimum(list(losses.values())):
            break
    best = min(losses, key=lambda regularisation: losses[regularisation])
    whole = _Inputs.of(data, np.ones(len(data.fold_n), dtype=bool), penalties.n_components)
    weight_d = ridge_cox(whole.x_nd, data.times, whole.penalty(best, on_covariates))
    k = whole.direction_gk.shape[1]
    weight_f = np.r_[whole.direction_gk @ weight_d[:k], weight_d[k:]]
    return CoxFit(weight_f, best, held_out[best], losses)


def fit_stratum_models(data: RiskData, n_strata: int, penalties: Penalties) -> dict[int, CoxFit]:
    """Fit a model of each stratum that has ``FEWEST_EVENTS`` outside of each of its folds; by its code."""
    fitted = {}
    for stratum in range(n_strata):
        part = data.only(np.flatnonzero(data.times.stratum_n == stratum))
        events_k = np.bincount(part.fold_n[part.times.event_n])
        if len(events_k) and events_k.sum() - events_k.max() >= FEWEST_EVENTS:
            fitted[stratum] = fit_cox(part, penalties)
    return fitted
