"""Regression of the components of one modality on the features of another, whole and with each fold of observations left out."""

from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

RIDGE_OBSERVATIONS = 5000
"""Most observations that a regression of one modality on another uses: its kernel then has 100 MB."""
RIDGE_STRENGTH = 3.0
"""Ridge penalty, relative to the mean eigenvalue of the kernel."""
GRAM_FEATURES = 1000
"""Features that are laid out at once where observations are multiplied with each other."""
CORRELATIONS = (0.05, 0.98)
"""Least and most that an estimate is believed to correlate with the truth."""
LEAST_MEAN_SQUARE = 1e-8
"""Of centred scaled values: at and below it, a modality says nothing of another, since all of its variation is rounding."""


class Directions(NamedTuple):
    """Leading directions of one modality."""

    weights_gk: np.ndarray
    """(g, k) float32: an observation's scaled values times these are its k scores, each of unit variance."""
    strength_k: np.ndarray
    """(k,) float32: singular values relative to the first, descending from 1."""


class FoldEstimates(NamedTuple):
    """The same estimates as others, made without the observations of one fold: what is added to those for observations of it."""

    weights_fgk: np.ndarray
    """(f, g, k) float32."""
    offset_fk: np.ndarray
    """(f, k) float32."""


class Estimates(NamedTuple):
    """Regression of the components of one modality on the features of another."""

    weights_gk: np.ndarray
    """(g, k) float32: an observation's scaled values times these, plus the offsets, are its estimates; their variance is that of
    the components."""
    offset_k: np.ndarray
    """(k,) float32."""
    precision_k: np.ndarray
    """(k,) float32: signal over noise of the estimates of observations left out, r² / (1 − r²)."""
    folds: FoldEstimates | None = None
    """Without each fold in turn, if there are folds."""


class RidgeFit(NamedTuple):
    """Weights of a ridge regression of centred values, and the residuals of observations that are left out of it."""

    weights_gk: np.ndarray
    left_out_nk: np.ndarray
    """(n, k): residuals of each observation if it alone is left out."""
    weights_fgk: np.ndarray
    """(f, g, k): weights without the observations of each fold."""
    fold_out_nk: np.ndarray
    """(n, k): residuals of each observation by the weights without its fold; empty without folds."""


def ridge_estimates(
    x_ng: np.ndarray | sparse.csr_matrix, target_nk: np.ndarray, seed: int, fold_n: np.ndarray | None = None
) -> Estimates:
    r"""Regress the components of one modality on the features of another, in observations that have both.

    Kernel ridge with :math:`G = (K + \lambda I)^{-1}`; how well it does on observations left out follows from the residuals
    without each observation in turn, :math:`(G c)_n / G_{nn}`. Without those of a fold F, the dual coefficients are
    :math:`c - G_{\cdot F}\, G_{FF}^{-1} c_F`. (Means and :math:`\lambda` are those of all observations.)

    Parameters
    ----------
    x_ng
        Scaled values, dense or sparse.
    target_nk
        Components of the same observations.
    seed
        Seed of the sample of ``RIDGE_OBSERVATIONS`` observations, where there are more.
    fold_n
        Fold of each observation, from 0 on; None for no folds. With thousands of features and fewer observations, the
        regression fits the observations that it saw nearly exactly, and others hardly: an estimate of an observation that
        it saw would be believed to be what it is not.
    """
    at_n = np.sort(np.random.default_rng(seed).permutation(len(target_nk))[:RIDGE_OBSERVATIONS])
    mean_k = target_nk[at_n].mean(0)
    x_ng, target_nk = x_ng[at_n], (target_nk[at_n] - mean_k).astype(np.float32)
    mean_g = np.asarray(x_ng.mean(0)).ravel()
    n_folds = 0 if fold_n is None else int(fold_n.max()) + 1
    if not _varies(x_ng, mean_g):
        return _no_estimates(x_ng.shape[1], mean_k, n_folds)
    members = [np.flatnonzero(fold_n[at_n] == f) for f in range(n_folds)] if fold_n is not None else []
    # The system has the size of the features or of the observations, whichever are fewer: the fit is the same.
    fit_ridge = _by_features if not sparse.issparse(x_ng) and x_ng.shape[1] < len(at_n) else _by_rows
    fit = fit_ridge(x_ng, mean_g, target_nk, members)
    left_out_nk = target_nk - fit.left_out_nk
    r_k = correlations(left_out_nk, target_nk).clip(*CORRELATIONS)
    weights_gk = fit.weights_gk * size_of(target_nk, left_out_nk)
    weights, offset, precision = (
        np.asarray(part, dtype=np.float32) for part in (weights_gk, mean_k - mean_g @ weights_gk, r_k**2 / (1 - r_k**2))
    )
    folds = None
    if members:
        weights_fgk = fit.weights_fgk * size_of(target_nk, target_nk - fit.fold_out_nk) - weights_gk
        folds = FoldEstimates(weights_fgk.astype(np.float32), -(mean_g @ weights_fgk).astype(np.float32))
    return Estimates(weights, offset, precision, folds)


def size_of(target_nk: np.ndarray, estimate_nk: np.ndarray) -> np.ndarray:
    """Return what estimates of observations left out are multiplied with to have the variance of the components, (k,)."""
    size_k: np.ndarray = target_nk.std(0) / np.maximum(estimate_nk.std(0), 1e-9)
    return size_k


def shrunk(found: Estimates, mean_k: np.ndarray) -> Estimates:
    r"""Return estimates that are as far from a mean as their precision p lets one expect: :math:`r = \sqrt{p / (1 + p)}` times as far.

    Of estimates with the variance of the components, r is the correlation with the truth, and these times r are the best
    linear predictions: what is noise stays near the mean, and does not count in distances.

    Parameters
    ----------
    found
        Estimates with the variance of the components.
    mean_k
        Means of the components.
    """
    size_k = np.sqrt(found.precision_k / (1 + found.precision_k))
    offset_k = found.offset_k * size_k + (1 - size_k) * mean_k
    folds = found.folds and FoldEstimates(*(np.asarray(part * size_k, dtype=np.float32) for part in found.folds))
    weights_gk, offset_k = (np.asarray(part, dtype=np.float32) for part in (found.weights_gk * size_k, offset_k))
    return Estimates(weights_gk, offset_k, found.precision_k, folds)


def _varies(x_ng: np.ndarray | sparse.csr_matrix, mean_g: np.ndarray) -> bool:
    """Return whether observations differ by more than rounding."""
    square = float(np.square(x_ng.data, dtype=np.float64).sum() if sparse.issparse(x_ng) else np.vdot(x_ng, x_ng))
    of_means = len(mean_g) and x_ng.shape[0] * float(np.square(mean_g, dtype=np.float64).sum())
    size = x_ng.shape[0] * x_ng.shape[0 if sparse.issparse(x_ng) else 1]
    return square - of_means > max(LEAST_MEAN_SQUARE * size, 1e-6 * square)


def _no_estimates(n_features: int, mean_k: np.ndarray, n_folds: int) -> Estimates:
    """Return the estimates that a modality without variation has: the means of the components, of the least precision."""
    precision = CORRELATIONS[0] ** 2 / (1 - CORRELATIONS[0] ** 2)
    weights_gk, precision_k = (
        np.zeros((n_features, len(mean_k)), np.float32),
        np.full(len(mean_k), precision, np.float32),
    )
    nothing = np.zeros((n_folds, n_features, len(mean_k)), np.float32), np.zeros((n_folds, len(mean_k)), np.float32)
    folds = FoldEstimates(*nothing) if n_folds else None
    return Estimates(weights_gk, np.asarray(mean_k, dtype=np.float32), precision_k, folds)


def _by_features(x_ng: np.ndarray, mean_g: np.ndarray, target_nk: np.ndarray, members: list[np.ndarray]) -> RidgeFit:
    r"""Fit by the matrix of features.

    With :math:`L L^\top = X^\top X + \lambda I`, the leverage of an observation is :math:`h_n = \|L^{-1} x_n\|^2`, and its
    residual when it is left out that of the fit divided by :math:`1 - h_n`; likewise, of a fold,
    :math:`(I - H_{FF})^{-1} r_F`.
    """
    x_ng = x_ng - mean_g
    gram_gg = np.asfortranarray(x_ng.T @ x_ng)
    gram_gg[np.diag_indices(len(gram_gg))] += RIDGE_STRENGTH * np.trace(gram_gg) / len(x_ng)
    lower_gg = linalg.cholesky(gram_gg, lower=True, overwrite_a=True, check_finite=False)
    weights_gk = linalg.cho_solve((lower_gg, True), x_ng.T @ target_nk, check_finite=False)
    turned_gn = linalg.solve_triangular(lower_gg, x_ng.T, lower=True, check_finite=False)
    leverage_n = np.einsum("gn,gn->n", turned_gn, turned_gn)
    residual_nk = target_nk - x_ng @ weights_gk
    fold_out_nk, weights = np.empty_like(residual_nk[: len(target_nk) if members else 0]), []
    for own in members:
        kept_ff = np.eye(len(own), dtype=np.float32) - turned_gn[:, own].T @ turned_gn[:, own]
        fold_out_nk[own] = linalg.solve(kept_ff, residual_nk[own], assume_a="pos", check_finite=False)
        moved_gk = linalg.cho_solve((lower_gg, True), x_ng[own].T @ fold_out_nk[own], check_finite=False)
        weights.append(weights_gk - moved_gk)
    return RidgeFit(weights_gk, residual_nk / (1 - leverage_n)[:, None], np.array(weights), fold_out_nk)


def _by_rows(
    x_ng: np.ndarray | sparse.csr_matrix, mean_g: np.ndarray, target_nk: np.ndarray, members: list[np.ndarray]
) -> RidgeFit:
    r"""Fit by the kernel :math:`K = X X^\top`: the residual of an observation left out is :math:`(G c)_n / G_{nn}`.

    Without folds, the diagonal of the inverse alone is needed: the sums of squares of the columns of the inverse Cholesky
    factor.
    """
    gram_nn = _gram(x_ng)
    centre_n = np.asarray(x_ng @ mean_g).ravel().astype(np.float32)
    gram_nn -= centre_n[:, None]
    gram_nn -= centre_n - centre_n.mean()
    gram_nn[np.diag_indices(len(gram_nn))] += RIDGE_STRENGTH * np.trace(gram_nn) / len(gram_nn)
    lower_nn = linalg.cholesky(gram_nn, lower=True, overwrite_a=True, check_finite=False)
    dual_nk = linalg.cho_solve((lower_nn, True), target_nk, check_finite=False)
    if not members:
        inverse_nn, _ = linalg.lapack.strtri(lower_nn, lower=1, overwrite_c=1)
        diagonal_n = np.einsum("nm,nm->m", inverse_nn, inverse_nn)
        return RidgeFit(_primal(x_ng, dual_nk), dual_nk / diagonal_n[:, None], np.empty(0), dual_nk[:0])
    inverse_nn, _ = linalg.lapack.spotri(lower_nn, lower=1, overwrite_c=1)  # of which the lower triangle
    inverse_nn += np.tril(inverse_nn, -1).T
    fold_out_nk, weights = np.empty_like(dual_nk), []
    for own in members:
        inverse_nf = inverse_nn[:, own]
        fold_out_nk[own] = linalg.solve(inverse_nf[own], dual_nk[own], assume_a="pos", check_finite=False)
        weights.append(_primal(x_ng, dual_nk - inverse_nf @ fold_out_nk[own]))
    left_out_nk = dual_nk / np.diagonal(inverse_nn)[:, None]
    return RidgeFit(_primal(x_ng, dual_nk), left_out_nk, np.array(weights), fold_out_nk)


def _primal(x_ng: np.ndarray | sparse.csr_matrix, dual_nk: np.ndarray) -> np.ndarray:
    """Return the weights of centred features, (g, k), from the coefficients of observations."""
    weights_gk: np.ndarray = x_ng.T @ (dual_nk - dual_nk.mean(0))
    return weights_gk


def _gram(x_ng: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    """Return the lower triangle of X Xᵀ, (n, n) float32 in Fortran's order; sparse values are laid out some features at a time.

    Nearly all products of a sparse matrix with its own transpose are of cells with some of thousands of regions in common:
    dense blocks are ten times as fast.
    """
    n, g = x_ng.shape
    columns = x_ng if isinstance(x_ng, np.ndarray) else sparse.csc_matrix(x_ng)
    gram_nn = np.zeros((n, n), dtype=np.float32, order="F")
    for first in range(0, g, GRAM_FEATURES):
        block = columns[:, first : first + GRAM_FEATURES]
        block_ng = block if isinstance(block, np.ndarray) else block.toarray(order="F")
        gram_nn = linalg.blas.ssyrk(1.0, block_ng, beta=1.0, c=gram_nn, lower=1, overwrite_c=1)
    return gram_nn


def correlations(a_nk: np.ndarray, b_nk: np.ndarray) -> np.ndarray:
    """Return the correlation of each column of one matrix with that of the other, (k,); 0 where one does not vary."""
    a_nk, b_nk = a_nk - a_nk.mean(0), b_nk - b_nk.mean(0)
    return (a_nk * b_nk).sum(0) / np.maximum(np.sqrt((a_nk**2).sum(0) * (b_nk**2).sum(0)), 1e-9)
