"""How well batches are mixed in the neighbourhood of each observation."""

from typing import Any

import numpy as np

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error
from omicsmlm.evaluation.perturbation._controls import finite, labels

_ROUNDS = 60
"""Halvings in which a precision is found."""


@in_one_sentence_of_types
def ilisi(embedding: Any, batches: Any, *, n_neighbors: int = 90) -> float:
    r"""Compute the median effective number of batches among neighbours, scaled to 0 (one batch) … 1 (all alike).

    Neighbours j of an observation, itself left out, have weights :math:`w_j \propto e^{-\beta d_j}` with Euclidean
    distances d and the β at which their entropy is that of ``n_neighbors`` / 3 equal ones; the effective number is
    :math:`1 / \sum_b (\sum_{j \in b} w_j)^2` (iLISI, Korsunsky et al. 2019; scaled as in scIB, Luecken et al. 2022).

    Parameters
    ----------
    embedding
        (n, d), finite.
    batches
        (n,) batches, two at least.
    n_neighbors
        Nearest neighbours, exact; as many as there are others, where there are fewer.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If shapes disagree, the embedding is not finite, or there are not two batches.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> round(ilisi(x, ["a", "b"] * 100)), ilisi(x + [[0], [99]] * 100, ["a", "b"] * 100)
    (1, 0.0)
    """
    from sklearn.neighbors import NearestNeighbors

    x_nd = finite(embedding)
    batch_n = labels("batches", batches, len(x_nd))
    known, code_n = np.unique(batch_n, return_inverse=True)
    if len(known) < 2:
        raise value_error("batches", "at least two", str(len(known)), "pass another column")
    k = min(n_neighbors, len(x_nd) - 1)
    distance_nk, index_nk = NearestNeighbors(n_neighbors=k).fit(x_nd).kneighbors()
    weight_nk = _weights(distance_nk, k / 3)
    fraction_nb = np.stack([(weight_nk * (code_n[index_nk] == b)).sum(1) for b in range(len(known))], axis=1)
    effective = float(np.median(1 / np.square(fraction_nb).sum(1)))
    return (effective - 1) / (len(known) - 1)


def _weights(distance_nk: np.ndarray, perplexity: float) -> np.ndarray:
    """Compute weights that sum to 1, of this perplexity, by bisection of the logarithm of the precision."""
    distance_nk = distance_nk - distance_nk.min(1, keepdims=True)
    size_n1 = np.maximum(distance_nk.mean(1, keepdims=True), 1e-12)
    low_n1, high_n1 = np.full_like(size_n1, -20.0), np.full_like(size_n1, 20.0)
    weight_nk = np.full_like(distance_nk, 1 / distance_nk.shape[1])
    for _ in range(_ROUNDS):
        middle_n1 = (low_n1 + high_n1) / 2
        weight_nk = np.exp(-np.exp(middle_n1) * distance_nk / size_n1)
        weight_nk /= weight_nk.sum(1, keepdims=True)
        entropy_n1 = -(weight_nk * np.log(np.maximum(weight_nk, 1e-300))).sum(1, keepdims=True)
        flat_n1 = entropy_n1 > np.log(perplexity)
        low_n1, high_n1 = np.where(flat_n1, middle_n1, low_n1), np.where(flat_n1, high_n1, middle_n1)
    return weight_nk
