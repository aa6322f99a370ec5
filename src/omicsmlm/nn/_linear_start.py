"""The linear solution that a network starts from: principal components for the encoder, log means for the decoder."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import linalg, sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from omicsmlm._types import Grid, Kind

FEWEST_PAIRED = 100
"""Rows with two modalities that it takes to start one from what it tells of the other."""
RIDGE_ROWS = 5000
"""Most rows that a regression of one modality on another uses."""
RIDGE_STRENGTH = 3.0
"""Strength of the ridge, relative to the mean eigenvalue of the kernel."""
CORRELATIONS = (0.05, 0.98)
"""Least and most that an estimate is believed to correlate with the truth."""


class Directions(NamedTuple):
    """Leading directions of one modality."""

    weights_gk: np.ndarray
    """(g, k) float32: a row's scaled values times these are its k scores, each of unit variance."""
    strength_k: np.ndarray
    """(k,) float32: singular values relative to the first, descending from 1."""


def principal_directions(
    x_ng: np.ndarray | sparse.csr_matrix, n_directions: int, groups_n: np.ndarray | None, seed: int
) -> Directions:
    """Find the directions along which rows differ most within their group.

    Parameters
    ----------
    x_ng
        Scaled values, dense or sparse. Dense values are centred within each group, so that differences between
        batches do not become directions; sparse ones are not centred and lose their first component, their mean.
    n_directions
        k; fewer are given where the matrix has a lower rank.
    groups_n
        Group of each row, or None for one group.
    seed
        Seed of the randomised SVD (Halko et al. 2011).

    Returns
    -------
    Directions
    """
    skipped = 1 if sparse.issparse(x_ng) and min(x_ng.shape) > 1 else 0
    n_directions = max(1, min(n_directions, min(x_ng.shape) - 1 - skipped))
    centred = x_ng if sparse.issparse(x_ng) else _centred_within(x_ng, groups_n)
    _, s, vt = randomized_svd(centred, n_directions + skipped, n_iter=6, random_state=seed)
    s, v_gk = s[skipped:], vt[skipped:].T
    deviation_k = (x_ng @ v_gk).std(0) + 1e-6
    return Directions((v_gk / deviation_k).astype(np.float32), (s / max(s[0], 1e-12)).astype(np.float32))


class Estimates(NamedTuple):
    """How one modality tells the components of another."""

    weights_gk: np.ndarray
    """(g, k) float32: a row's scaled values times these, plus the offsets, are its estimates; their variance is that of
    the components."""
    offset_k: np.ndarray
    """(k,) float32."""
    precision_k: np.ndarray
    """(k,) float32: signal over noise of the estimates of rows left out, r² / (1 − r²)."""


def ridge_estimates(x_ng: np.ndarray | sparse.csr_matrix, target_nk: np.ndarray, seed: int) -> Estimates:
    r"""Regress the components of one modality on the features of another, in rows that have both.

    Kernel ridge with :math:`G = (K + \lambda I)^{-1}`; how well it does on rows left out follows from the residuals
    without each row in turn, :math:`(G c)_n / G_{nn}`.

    Parameters
    ----------
    x_ng
        Scaled values, dense or sparse.
    target_nk
        Components of the same rows.
    seed
        Seed of the sample of ``RIDGE_ROWS`` rows, where there are more.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(target_nk))[:RIDGE_ROWS])
    mean_k = target_nk[rows].mean(0)
    x_ng, target_nk = x_ng[rows], target_nk[rows] - mean_k
    gram_nn = np.asarray((x_ng @ x_ng.T).toarray() if sparse.issparse(x_ng) else x_ng @ x_ng.T, dtype=np.float32)
    centre_n = gram_nn.mean(0)
    gram_nn += centre_n.mean() - centre_n[:, None] - centre_n[None, :]
    gram_nn[np.diag_indices(len(rows))] += RIDGE_STRENGTH * np.trace(gram_nn) / len(rows)
    lower_nn, _ = linalg.cho_factor(gram_nn, lower=True, overwrite_a=True)
    dual_nk = linalg.cho_solve((lower_nn, True), target_nk.astype(np.float32))
    inverse_nn, _ = linalg.lapack.spotri(lower_nn, lower=1)
    left_out_nk = target_nk - dual_nk / np.diag(inverse_nn)[:, None]
    r_k = _correlations(left_out_nk, target_nk).clip(*CORRELATIONS)
    size_k = target_nk.std(0) / np.maximum(left_out_nk.std(0), 1e-9)
    weights_gk = x_ng.T @ (dual_nk - dual_nk.mean(0)) * size_k
    offset_k = mean_k - np.asarray(x_ng.mean(0)).ravel() @ weights_gk
    found = weights_gk, offset_k, r_k**2 / (1 - r_k**2)
    return Estimates(*(np.asarray(part, dtype=np.float32) for part in found))


def _correlations(a_nk: np.ndarray, b_nk: np.ndarray) -> np.ndarray:
    a_nk, b_nk = a_nk - a_nk.mean(0), b_nk - b_nk.mean(0)
    return (a_nk * b_nk).sum(0) / np.maximum(np.sqrt((a_nk**2).sum(0) * (b_nk**2).sum(0)), 1e-9)


def own_estimates(x_ng: np.ndarray | sparse.csr_matrix, weights_gk: np.ndarray, seed: int) -> Estimates:
    """Take components as a modality's estimates of themselves.

    How precise they are follows from the correlation r of two random halves of the features: the whole has twice the
    signal over noise of a half, r / (1 − r) (Spearman and Brown).
    """
    first_g = np.random.default_rng(seed).random(x_ng.shape[1]) < 0.5
    halves = [x_ng[:, chosen] @ weights_gk[chosen] for chosen in (first_g, ~first_g)]
    r_k = _correlations(*halves).clip(*CORRELATIONS)
    return Estimates(weights_gk, np.zeros_like(r_k, dtype=np.float32), (2 * r_k / (1 - r_k)).astype(np.float32))


class Component(NamedTuple):
    """The components that start from one modality, and how each modality tells them."""

    first: int
    """The dimension of the first of them."""
    strength_k: np.ndarray
    """(k,) float32: singular values relative to the first."""
    estimates: dict[str, Estimates]
    """By modality: its own, and of the others those that enough rows have together with it."""


def component_starts(
    x: Mapping[str, np.ndarray | sparse.csr_matrix],
    has: Mapping[str, np.ndarray],
    n_components: Mapping[str, int],
    groups_n: np.ndarray | None,
    seed: int,
) -> dict[str, Component]:
    """Find the components of each modality, and how the other modalities tell them.

    Parameters
    ----------
    x
        Scaled values of each modality, of the rows that have it.
    has
        (n,) bool per modality: which rows have it.
    n_components
        Components of each modality.
    groups_n
        (n,) group of each row, or None for one group.
    seed
        Seed of the randomised algorithms.
    """
    starts, first = {}, 0
    for name, x_ng in x.items():
        groups = None if groups_n is None else groups_n[has[name]]
        found = principal_directions(x_ng, n_components[name], groups, seed)
        estimates = {name: own_estimates(x_ng, found.weights_gk, seed)}
        for other in (m for m in x if m != name):
            both_n = has[name] & has[other]
            if both_n.sum() >= FEWEST_PAIRED:
                target_nk = x_ng[both_n[has[name]]] @ found.weights_gk
                estimates[other] = ridge_estimates(x[other][both_n[has[other]]], target_nk, seed)
        starts[name] = Component(first, found.strength_k, estimates)
        first += found.weights_gk.shape[1]
    return starts


def _centred_within(x_ng: np.ndarray, groups_n: np.ndarray | None) -> np.ndarray:
    if groups_n is None:
        return x_ng - x_ng.mean(0)
    centred = x_ng.copy()
    for group in np.unique(groups_n):
        centred[groups_n == group] -= x_ng[groups_n == group].mean(0)
    return centred


def only_present(grid: Grid) -> Grid:
    """Keep the rows that have anything of the modality."""
    has_n = grid.seen.any(1)
    return Grid(grid.values[has_n], grid.seen[has_n], grid.total[has_n])


def log_means(grids: Sequence[Grid], kind: Kind, groups_n: np.ndarray | None, n_groups: int) -> Tensor:
    """Average each feature within each group, on the scale of a decoder's logits.

    Parameters
    ----------
    grids
        Rows that have the modality.
    kind
        Fixes the scale: log mean share of the row's total (counts, accessibility), log mean (protein), logit of the mean
        (fraction), mean (real).
    groups_n
        Group of each row, 0 to ``n_groups`` − 1; None for one group.
    n_groups
        Number of groups; one without rows gets the overall average.

    Returns
    -------
    Tensor
        (n_groups, g).
    """
    values_ng = torch.cat([grid.values for grid in grids])
    seen_ng = torch.cat([grid.seen for grid in grids])
    group_n = torch.zeros(len(values_ng), dtype=torch.int64) if groups_n is None else torch.from_numpy(groups_n)
    if kind in ("counts", "accessibility"):
        values_ng = (values_ng > 0).float() if kind == "accessibility" else values_ng
        values_ng = values_ng / values_ng.sum(1, keepdim=True).clamp(min=1)
    sum_bg = torch.zeros(n_groups, values_ng.shape[1]).index_add_(0, group_n, values_ng * seen_ng)
    n_bg = torch.zeros_like(sum_bg).index_add_(0, group_n, seen_ng.float())
    overall_g = sum_bg.sum(0) / n_bg.sum(0).clamp(min=1)
    mean_bg = torch.where(n_bg > 0, sum_bg / n_bg.clamp(min=1), overall_g)
    if kind == "fraction":
        return torch.logit(mean_bg.clamp(1e-3, 1 - 1e-3))
    if kind == "real":
        return mean_bg
    return torch.log(mean_bg + (1e-2 if kind == "protein" else 1e-6))
