"""The linear solution that a network starts from: principal components of the scaled values of each modality."""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd


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
    skipped = 1 if sparse.issparse(x_ng) else 0
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
