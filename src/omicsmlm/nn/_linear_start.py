"""The linear solution that a network starts from: principal components for the encoder, log means for the decoder."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from omicsmlm._types import Grid, Kind


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
