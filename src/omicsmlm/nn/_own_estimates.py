"""A modality's own components as estimates of themselves: how precise they are, and with each fold of observations left out."""

import numpy as np
from scipy import sparse

from ._ridge_estimates import CORRELATIONS, Estimates, FoldEstimates, correlations


def own_estimates(
    x_ng: np.ndarray | sparse.csr_matrix,
    weights_gk: np.ndarray,
    seed: int,
    fold_n: np.ndarray | None = None,
    groups_n: np.ndarray | None = None,
) -> Estimates:
    r"""Return a modality's components as estimates of themselves.

    How precise they are follows from the correlation r of two random halves of the features: the whole has twice the
    signal over noise of a half, r / (1 − r) (Spearman and Brown).

    A direction is the sum of all observations, each times its score on it: :math:`v = X^\top X v / s^2`. An observation's own
    part in that sum raises its score. Without a fold F of n_F observations, the direction is taken to be
    :math:`\frac{n}{n - n_F} X_{-F}^\top X_{-F} v / s^2`: a step of the power iteration that starts at all and goes over the others.

    Parameters
    ----------
    x_ng
        Scaled values, dense or sparse.
    weights_gk
        Of the components: see :class:`Directions`.
    seed
        Seed of the halves.
    fold_n
        Fold of each observation, from 0 on; None for no folds.
    groups_n
        Group of each observation within which dense values were centred for the components; None for one group.
    """
    folds = None if fold_n is None else _own_folds(x_ng, weights_gk, fold_n, groups_n)
    offset_k = np.zeros(weights_gk.shape[1], dtype=np.float32)
    return Estimates(weights_gk, offset_k, half_precision(x_ng, weights_gk, seed), folds)


def half_precision(x_ng: np.ndarray | sparse.csr_matrix, weights_gk: np.ndarray, seed: int) -> np.ndarray:
    """Return the signal over noise of weighted sums of features, (k,) float32, by how two random halves of the features agree."""
    first_g: np.ndarray = np.random.default_rng(seed).random(len(weights_gk)) < 0.5
    halves = [x_ng @ (weights_gk * chosen[:, None]) for chosen in (first_g, ~first_g)]
    r_k = correlations(*halves).clip(*CORRELATIONS)
    return (2 * r_k / (1 - r_k)).astype(np.float32)


def _own_folds(
    x_ng: np.ndarray | sparse.csr_matrix, weights_gk: np.ndarray, fold_n: np.ndarray, groups_n: np.ndarray | None
) -> FoldEstimates:
    """Return what is added to the directions of a modality where each fold is left out; the means of the others' scores stay."""
    centred_ng = x_ng if sparse.issparse(x_ng) else centred_within(x_ng, groups_n)
    score_nk, n_folds = centred_ng @ weights_gk, int(fold_n.max()) + 1
    sum_fgk = np.array([centred_ng[fold_n == f].T @ score_nk[fold_n == f] for f in range(n_folds)])
    all_gk = sum_fgk.sum(0)
    scale_k = (weights_gk * all_gk).sum(0) / np.maximum(np.square(all_gk).sum(0), 1e-12)
    weights, offsets = [], []
    for f in range(n_folds):
        others_n = fold_n != f
        rest = len(fold_n) / max(int(others_n.sum()), 1)
        weights.append((all_gk - sum_fgk[f]) * (scale_k * rest) - weights_gk)
        offsets.append(-np.asarray(x_ng[others_n].mean(0)).ravel() @ weights[-1] if others_n.any() else 0 * scale_k)
    return FoldEstimates(np.array(weights, dtype=np.float32), np.array(offsets, dtype=np.float32))


def centred_within(x_ng: np.ndarray, groups_n: np.ndarray | None) -> np.ndarray:
    """Return values less the means of their group, or of all observations."""
    if groups_n is None:
        return x_ng - x_ng.mean(0)
    centred = x_ng.copy()
    for group in np.unique(groups_n):
        centred[groups_n == group] -= x_ng[groups_n == group].mean(0)
    return centred
