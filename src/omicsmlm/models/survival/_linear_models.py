"""Ridge Cox models of features and covariates, solved exactly, with a strength that held-out rows choose."""

from typing import NamedTuple

import numpy as np
from scipy import linalg

from omicsmlm._cox import Times, partial_likelihood, ridge_cox

STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Weights of the ridge on components, the first of which has standard deviation 1, tried from the strongest on."""
FEWEST_EVENTS = 10
"""Events that a stratum must have to get a model of its own."""


class Seen(NamedTuple):
    """Rows as the models see them."""

    x_ng: np.ndarray
    """Scaled features, 0 where not seen."""
    covariate_nk: np.ndarray
    times: Times
    fold_n: np.ndarray
    """(n,) int: with which rows a row is held out."""

    def only(self, indices: np.ndarray) -> "Seen":
        """Take some rows, by number or by a boolean per row."""
        return Seen(self.x_ng[indices], self.covariate_nk[indices], self.times.only(indices), self.fold_n[indices])


class Penalties(NamedTuple):
    """How many components are used, and how covariates are penalised."""

    n_components: int
    covariate_strength: float


class Solved(NamedTuple):
    """A linear log risk."""

    weight_f: np.ndarray
    """(g + k,) float64: of the features, then of the covariates."""
    strength: float
    held_out_n: np.ndarray
    """(n,) log risk of each row by a model that was solved without its fold."""
    losses: dict[float, float]
    """Cross-validated negative log partial likelihood per event, of each strength that was tried."""


def folds(times: Times, n_folds: int, seed: int) -> np.ndarray:
    """Divide rows into folds, (n,) int, in each stratum and each of those with and without the event alike."""
    rng = np.random.default_rng(seed)
    fold_n, start = np.empty(len(times.time_n), dtype=np.int64), 0
    for stratum in np.unique(times.stratum_n):
        for event in (True, False):
            indices = rng.permutation(np.flatnonzero((times.stratum_n == stratum) & (times.event_n == event)))
            fold_n[indices] = (start + np.arange(len(indices))) % n_folds
            start += len(indices)  # so that small strata do not all fall into the first fold
    return fold_n


def components(x_ng: np.ndarray, n_components: int) -> np.ndarray:
    """Give the leading directions of rows, (g, k) float64, of one common scale by which the first scores have sd 1."""
    centred_ng = x_ng - x_ng.mean(0)
    n, g = x_ng.shape
    most = min(n_components, n - 1, g)
    square = (centred_ng @ centred_ng.T if n <= g else centred_ng.T @ centred_ng).astype(np.float64)
    size = len(square)
    value_k, vector_sk = linalg.eigh(square, subset_by_index=[size - most, size - 1])
    value_k, vector_sk = value_k[::-1], vector_sk[:, ::-1]
    kept_k = value_k > 1e-6 * max(value_k[0], 1e-12)
    value_k, vector_sk = value_k[kept_k], vector_sk[:, kept_k]
    direction_gk = centred_ng.T.astype(np.float64) @ vector_sk / np.sqrt(value_k) if n <= g else vector_sk
    return direction_gk / np.sqrt(value_k[:1] / n)


class _Inputs(NamedTuple):
    """Components and covariates of some rows, and the way back to features."""

    direction_gk: np.ndarray
    x_nd: np.ndarray

    @classmethod
    def of(cls, visible: Seen, learned_n: np.ndarray, n_components: int) -> "_Inputs":
        direction_gk = components(visible.x_ng[learned_n], n_components)
        return cls(direction_gk, np.hstack([visible.x_ng @ direction_gk, visible.covariate_nk]))

    def penalty(self, strength: float, covariate_strength: float) -> np.ndarray:
        k = self.direction_gk.shape[1]
        return np.r_[np.full(k, strength), np.full(self.x_nd.shape[1] - k, covariate_strength)]


def solve(visible: Seen, penalties: Penalties) -> Solved:
    """Weaken the ridge for as long as held-out rows gain by it, then solve with all rows.

    The strength is judged by the cross-validated partial likelihood (Verweij and van Houwelingen 1993): what a fold adds
    to the likelihood of the others. Components are found anew without each fold.
    """
    strength_k, folds_k = penalties.covariate_strength, np.unique(visible.fold_n)
    kept = [visible.fold_n != fold for fold in folds_k]
    inputs = [_Inputs.of(visible, kept_n, penalties.n_components) for kept_n in kept]
    starts: list[np.ndarray | None] = [None] * len(kept)
    losses: dict[float, float] = {}
    held_out: dict[float, np.ndarray] = {}
    for strength in STRENGTHS:
        gained, held_out[strength] = 0.0, np.empty(len(visible.fold_n))
        for k, (kept_n, part) in enumerate(zip(kept, inputs, strict=True)):
            times = visible.times.only(kept_n)
            starts[k] = ridge_cox(part.x_nd[kept_n], times, part.penalty(strength, strength_k), starts[k])
            eta_n = part.x_nd @ starts[k]
            gained += partial_likelihood(eta_n, visible.times) - partial_likelihood(eta_n[kept_n], times)
            held_out[strength][~kept_n] = eta_n[~kept_n] - eta_n[kept_n].mean()
        losses[strength] = -gained / max(visible.times.event_n.sum(), 1)
        if len(losses) > 3 and min(list(losses.values())[-2:]) > min(losses.values()):
            break
    best = min(losses, key=lambda strength: losses[strength])
    whole = _Inputs.of(visible, np.ones(len(visible.fold_n), dtype=bool), penalties.n_components)
    weight_d = ridge_cox(whole.x_nd, visible.times, whole.penalty(best, strength_k))
    k = whole.direction_gk.shape[1]
    weight_f = np.r_[whole.direction_gk @ weight_d[:k], weight_d[k:]]
    return Solved(weight_f, best, held_out[best], losses)


def own_models(visible: Seen, n_strata: int, penalties: Penalties) -> dict[int, Solved]:
    """Solve a model of each stratum that has ``FEWEST_EVENTS`` in all but one of its folds; by its code."""
    solved = {}
    for stratum in range(n_strata):
        part = visible.only(np.flatnonzero(visible.times.stratum_n == stratum))
        events_k = np.bincount(part.fold_n[part.times.event_n])
        if len(events_k) and events_k.sum() - events_k.max() >= FEWEST_EVENTS:
            solved[stratum] = solve(part, penalties)
    return solved
