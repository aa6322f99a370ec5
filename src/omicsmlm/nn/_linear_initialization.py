"""The linear model that a network is initialised with: principal components for the encoder, log means for the decoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import linalg, sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from omicsmlm._types import Grid, Kind

FEWEST_PAIRED = 100
"""Paired observations from which on one modality is initialised by its regression on another: a correlation of 0.2 is then
significant at 5 %."""
RIDGE_OBSERVATIONS = 5000
"""Most observations that a regression of one modality on another uses: its kernel then has 100 MB."""
RIDGE_STRENGTH = 3.0
"""Ridge penalty, relative to the mean eigenvalue of the kernel."""
GRAM_FEATURES = 1000
"""Features that are laid out at once where observations are multiplied with each other."""
CORRELATIONS = (0.05, 0.98)
"""Least and most that an estimate is believed to correlate with the truth."""
LEAST_SINGULAR_VALUE = 1e-4
"""Singular value, relative to the largest, up to which a direction is rounding: scaled values have seven digits, of which the
logarithm of a depth and a division by a small deviation cost three. Brought to unit variance, such a direction would make what
is summed in another order, and so the size of a minibatch, visible in the embedding."""
LEAST_MEAN_SQUARE = 1e-8
"""Of centred scaled values: at and below it, a modality says nothing of another, since all of its variation is rounding."""


class Directions(NamedTuple):
    """Leading directions of one modality."""

    weights_gk: np.ndarray
    """(g, k) float32: an observation's scaled values times these are its k scores, each of unit variance."""
    strength_k: np.ndarray
    """(k,) float32: singular values relative to the first, descending from 1."""


def principal_directions(
    x_ng: np.ndarray | sparse.csr_matrix, n_directions: int, groups_n: np.ndarray | None, seed: int
) -> Directions:
    """Return the directions along which observations differ most within their group.

    Parameters
    ----------
    x_ng
        Scaled values, dense or sparse. Dense values are centred within each group, so that differences between
        batches do not become directions; sparse ones are not centred and lose their first component, their mean.
    n_directions
        k; fewer where the matrix has a lower rank.
    groups_n
        Group of each observation, or None for one group.
    seed
        Seed of the randomised SVD (Halko et al. 2011).

    Returns
    -------
    Directions
        Those beyond the numerical rank of the matrix have no weights.
    """
    skipped = 1 if sparse.issparse(x_ng) and min(x_ng.shape) > 1 else 0
    n_directions = max(1, min(n_directions, min(x_ng.shape) - 1 - skipped))
    centred = x_ng if sparse.issparse(x_ng) else _centred_within(x_ng, groups_n)
    _, s, vt = randomized_svd(centred, n_directions + skipped, n_iter=6, random_state=seed)
    largest, s, v_gk = float(s[0]), s[skipped:], vt[skipped:].T
    deviation_k = (x_ng @ v_gk).std(0) + 1e-6
    # Scaled values have a size of 1 a feature or an observation: where all of them are far smaller, they are rounding too.
    root_n = np.sqrt(x_ng.shape[0])
    least = LEAST_SINGULAR_VALUE * max(largest, root_n)
    is_null_k = np.minimum(s, deviation_k * root_n) <= least
    strength_k = s / max(s[0], 1e-12)
    if is_null_k.any():
        v_gk = np.where(is_null_k, 0, v_gk)
        strength_k[is_null_k] = 0
        strength_k[0] = 1
    return Directions((v_gk / deviation_k).astype(np.float32), strength_k.astype(np.float32))


class Estimates(NamedTuple):
    """Regression of the components of one modality on the features of another."""

    weights_gk: np.ndarray
    """(g, k) float32: an observation's scaled values times these, plus the offsets, are its estimates; their variance is that of
    the components."""
    offset_k: np.ndarray
    """(k,) float32."""
    precision_k: np.ndarray
    """(k,) float32: signal over noise of the estimates of observations left out, r² / (1 − r²)."""


def ridge_estimates(x_ng: np.ndarray | sparse.csr_matrix, target_nk: np.ndarray, seed: int) -> Estimates:
    r"""Regress the components of one modality on the features of another, in observations that have both.

    Kernel ridge with :math:`G = (K + \lambda I)^{-1}`; how well it does on observations left out follows from the residuals
    without each observation in turn, :math:`(G c)_n / G_{nn}`.

    Parameters
    ----------
    x_ng
        Scaled values, dense or sparse.
    target_nk
        Components of the same observations.
    seed
        Seed of the sample of ``RIDGE_OBSERVATIONS`` observations, where there are more.
    """
    at_n = np.sort(np.random.default_rng(seed).permutation(len(target_nk))[:RIDGE_OBSERVATIONS])
    mean_k = target_nk[at_n].mean(0)
    x_ng, target_nk = x_ng[at_n], (target_nk[at_n] - mean_k).astype(np.float32)
    mean_g = np.asarray(x_ng.mean(0)).ravel()
    if not _varies(x_ng, mean_g):
        return _no_estimates(x_ng.shape[1], mean_k)
    # The system has the size of the features or of the observations, whichever are fewer: the fit is the same.
    fit_ridge = _by_features if not sparse.issparse(x_ng) and x_ng.shape[1] < len(at_n) else _by_rows
    weights_gk, residual_nk = fit_ridge(x_ng, mean_g, target_nk)
    left_out_nk = target_nk - residual_nk
    r_k = _correlations(left_out_nk, target_nk).clip(*CORRELATIONS)
    size_k = target_nk.std(0) / np.maximum(left_out_nk.std(0), 1e-9)
    weights_gk = weights_gk * size_k
    found = weights_gk, mean_k - mean_g @ weights_gk, r_k**2 / (1 - r_k**2)
    return Estimates(*(np.asarray(part, dtype=np.float32) for part in found))


def _varies(x_ng: np.ndarray | sparse.csr_matrix, mean_g: np.ndarray) -> bool:
    """Return whether observations differ by more than rounding."""
    square = float(np.square(x_ng.data, dtype=np.float64).sum() if sparse.issparse(x_ng) else np.vdot(x_ng, x_ng))
    of_means = len(mean_g) and x_ng.shape[0] * float(np.square(mean_g, dtype=np.float64).sum())
    size = x_ng.shape[0] * x_ng.shape[0 if sparse.issparse(x_ng) else 1]
    return square - of_means > max(LEAST_MEAN_SQUARE * size, 1e-6 * square)


def _no_estimates(n_features: int, mean_k: np.ndarray) -> Estimates:
    """Return the estimates that a modality without variation has: the means of the components, of the least precision."""
    precision = CORRELATIONS[0] ** 2 / (1 - CORRELATIONS[0] ** 2)
    found = np.zeros((n_features, len(mean_k))), mean_k, np.full(len(mean_k), precision)
    return Estimates(*(np.asarray(part, dtype=np.float32) for part in found))


def _by_features(x_ng: np.ndarray, mean_g: np.ndarray, target_nk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Return weights (g, k), and the residuals (n, k) of each observation if it is left out.

    With :math:`L L^\top = X^\top X + \lambda I`, the leverage of an observation is :math:`h_n = \|L^{-1} x_n\|^2`, and its
    residual when it is left out that of the fit divided by :math:`1 - h_n`.
    """
    x_ng = x_ng - mean_g
    gram_gg = np.asfortranarray(x_ng.T @ x_ng)
    gram_gg[np.diag_indices(len(gram_gg))] += RIDGE_STRENGTH * np.trace(gram_gg) / len(x_ng)
    lower_gg = linalg.cholesky(gram_gg, lower=True, overwrite_a=True, check_finite=False)
    weights_gk = linalg.cho_solve((lower_gg, True), x_ng.T @ target_nk, check_finite=False)
    turned_gn = linalg.solve_triangular(lower_gg, x_ng.T, lower=True, check_finite=False)
    leverage_n = np.einsum("gn,gn->n", turned_gn, turned_gn)
    return weights_gk, (target_nk - x_ng @ weights_gk) / (1 - leverage_n)[:, None]


def _by_rows(
    x_ng: np.ndarray | sparse.csr_matrix, mean_g: np.ndarray, target_nk: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the same from the kernel :math:`K = X X^\top`: the residual of an observation left out is :math:`(G c)_n / G_{nn}`.

    The diagonal of the inverse is the sum of squares of the columns of the inverse Cholesky factor.
    """
    gram_nn = _gram(x_ng)
    centre_n = np.asarray(x_ng @ mean_g).ravel().astype(np.float32)
    gram_nn -= centre_n[:, None]
    gram_nn -= centre_n - centre_n.mean()
    gram_nn[np.diag_indices(len(gram_nn))] += RIDGE_STRENGTH * np.trace(gram_nn) / len(gram_nn)
    lower_nn = linalg.cholesky(gram_nn, lower=True, overwrite_a=True, check_finite=False)
    dual_nk = linalg.cho_solve((lower_nn, True), target_nk, check_finite=False)
    inverse_nn, _ = linalg.lapack.strtri(lower_nn, lower=1, overwrite_c=1)
    residual_nk = dual_nk / np.einsum("nm,nm->m", inverse_nn, inverse_nn)[:, None]
    return x_ng.T @ (dual_nk - dual_nk.mean(0)), residual_nk


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


def _correlations(a_nk: np.ndarray, b_nk: np.ndarray) -> np.ndarray:
    a_nk, b_nk = a_nk - a_nk.mean(0), b_nk - b_nk.mean(0)
    return (a_nk * b_nk).sum(0) / np.maximum(np.sqrt((a_nk**2).sum(0) * (b_nk**2).sum(0)), 1e-9)


def own_estimates(x_ng: np.ndarray | sparse.csr_matrix, weights_gk: np.ndarray, seed: int) -> Estimates:
    """Return a modality's components as estimates of themselves.

    How precise they are follows from the correlation r of two random halves of the features: the whole has twice the
    signal over noise of a half, r / (1 − r) (Spearman and Brown).
    """
    first_g: np.ndarray = np.random.default_rng(seed).random(len(weights_gk)) < 0.5
    halves = [x_ng @ (weights_gk * chosen[:, None]) for chosen in (first_g, ~first_g)]
    r_k = _correlations(*halves).clip(*CORRELATIONS)
    return Estimates(weights_gk, np.zeros_like(r_k, dtype=np.float32), (2 * r_k / (1 - r_k)).astype(np.float32))


class Component(NamedTuple):
    """The components of one modality, and their regression on each modality."""

    first: int
    """The dimension of the first of them."""
    strength_k: np.ndarray
    """(k,) float32: singular values relative to the first."""
    estimates: dict[str, Estimates]
    """By modality: its own, and of the others those that enough observations have together with it."""


def initial_components(
    x: Mapping[str, np.ndarray | sparse.csr_matrix],
    has: Mapping[str, np.ndarray],
    n_components: Mapping[str, int],
    groups_n: np.ndarray | None,
    seed: int,
    stage: Callable[[str], None] | None = None,
) -> dict[str, Component]:
    """Return the components of each modality, and their regressions on the other modalities.

    Parameters
    ----------
    x
        Scaled values of each modality, of the observations that have it.
    has
        (n,) bool per modality: which observations have it.
    n_components
        Components of each modality.
    groups_n
        (n,) group of each observation, or None for one group.
    seed
        Seed of the randomised algorithms.
    stage
        Called with the name of each step before it begins, if given.
    """
    starts, first = {}, 0
    stage = stage or (lambda name: None)
    for name, x_ng in x.items():
        stage(f"components of {name}")
        groups = None if groups_n is None else groups_n[has[name]]
        found = principal_directions(x_ng, n_components[name], groups, seed)
        estimates = {name: own_estimates(x_ng, found.weights_gk, seed)}
        for other in (m for m in x if m != name):
            stage(f"{name} predicted from {other}")
            both_n = has[name] & has[other]
            if both_n.sum() >= FEWEST_PAIRED:
                target_nk = _those(x_ng, both_n[has[name]]) @ found.weights_gk
                estimates[other] = ridge_estimates(_those(x[other], both_n[has[other]]), target_nk, seed)
        starts[name] = Component(first, found.strength_k, estimates)
        first += found.weights_gk.shape[1]
    return starts


def _those(x_ng: np.ndarray | sparse.csr_matrix, kept_n: np.ndarray) -> np.ndarray | sparse.csr_matrix:
    """Return some observations; all of them without a copy."""
    return x_ng if kept_n.all() else x_ng[kept_n]


def _centred_within(x_ng: np.ndarray, groups_n: np.ndarray | None) -> np.ndarray:
    if groups_n is None:
        return x_ng - x_ng.mean(0)
    centred = x_ng.copy()
    for group in np.unique(groups_n):
        centred[groups_n == group] -= x_ng[groups_n == group].mean(0)
    return centred


def only_present(grid: Grid) -> Grid:
    """Return the observations that have anything of the modality."""
    has_n = grid.visible.any(1)
    return Grid(grid.values[has_n], grid.visible[has_n], grid.total[has_n])


def log_means(
    values: Sequence[Grid] | sparse.csr_matrix, kind: Kind, groups_n: np.ndarray | None, n_groups: int
) -> Tensor:
    """Return the average of each feature within each group, on the scale of a decoder's logits.

    Parameters
    ----------
    values
        Observations that have the modality; of open regions also (n, g) values, in observations that were measured in all of
        them.
    kind
        Fixes the scale: log mean fraction of the observation's total (counts, accessibility), log mean (protein), logit of the
        mean (fraction), mean (real).
    groups_n
        Group of each observation, 0 to ``n_groups`` − 1; None for one group.
    n_groups
        Number of groups; one without observations gets the overall average.

    Returns
    -------
    Tensor
        (n_groups, g).
    """
    if sparse.issparse(values):
        sum_bg, n_bg = _open_sums(values, groups_n, n_groups)
    else:
        sum_bg, n_bg = _sums(values, kind, groups_n, n_groups)
    overall_g = sum_bg.sum(0) / n_bg.sum(0).clamp(min=1)
    mean_bg = torch.where(n_bg > 0, sum_bg / n_bg.clamp(min=1), overall_g)
    if kind == "fraction":
        return torch.logit(mean_bg.clamp(1e-3, 1 - 1e-3))
    if kind == "real":
        return mean_bg
    return torch.log(mean_bg + (1e-2 if kind == "protein" else 1e-6))


def _sums(grids: Sequence[Grid], kind: Kind, groups_n: np.ndarray | None, n_groups: int) -> tuple[Tensor, Tensor]:
    """Return the sums of each feature over the observations of a group where it is visible, and their numbers, both (n_groups, g)."""
    n_features = grids[0].values.shape[1]
    sum_bg, n_bg, first = torch.zeros(n_groups, n_features), torch.zeros(n_groups, n_features), 0
    for grid in grids:
        values_ng, last = grid.values, first + len(grid.values)
        group_n = torch.zeros(len(values_ng), dtype=torch.int64)
        if groups_n is not None:
            group_n = torch.from_numpy(groups_n[first:last])
        if kind in ("counts", "accessibility"):
            values_ng = (values_ng > 0).float() if kind == "accessibility" else values_ng
            values_ng = values_ng / values_ng.sum(1, keepdim=True).clamp(min=1)
        sum_bg.index_add_(0, group_n, values_ng * grid.visible)
        n_bg.index_add_(0, group_n, grid.visible.float())
        first = last
    return sum_bg, n_bg


def _open_sums(values: sparse.csr_matrix, groups_n: np.ndarray | None, n_groups: int) -> tuple[Tensor, Tensor]:
    """Return per group sums of open regions as fractions of their observation's, and how many observations, both (n_groups, g)."""
    n, g = (int(size) for size in values.shape)
    group_n = np.zeros(n, dtype=np.int64) if groups_n is None else groups_n
    fraction_n = 1 / np.maximum(values.getnnz(1), 1)
    fraction_t = sparse.csr_matrix(
        (np.repeat(fraction_n, values.getnnz(1)), values.indices, values.indptr), shape=(n, g)
    )
    of_group_bn = sparse.csr_matrix((np.ones(n), (group_n, np.arange(n))), shape=(n_groups, n))
    n_b = np.bincount(group_n, minlength=n_groups)
    sum_bg = (of_group_bn @ fraction_t).toarray().astype(np.float32)
    return torch.from_numpy(sum_bg), torch.from_numpy(n_b.astype(np.float32))[:, None].expand(n_groups, g)
