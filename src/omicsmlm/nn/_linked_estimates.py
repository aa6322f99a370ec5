"""Estimates of one modality's components from another whose features are linked with its own, where few or no observations have both.

Tensor axes: n observations, p those with both modalities, g features of the modality that is estimated, o features of the other, k
components, f folds.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ._own_estimates import half_precision
from ._ridge_estimates import (
    CORRELATIONS,
    Directions,
    Estimates,
    FoldEstimates,
    correlations,
    ridge_estimates,
    size_of,
)
from ._transport import transported

LINKED_FEATURES = 1000
"""Features whose linked sums are laid out at once."""
LEAST_LINKED_DEVIATION = 1e-6
"""Deviation of a linked sum up to which it says nothing: that of rounding."""
MATCHING_POWER = 2.0
"""Power of its relative singular value that a component is multiplied with where observations are matched: as in the latent of
``OmicsMLM``, so that components of noise do not decide what is near."""
FEWEST_CALIBRATING = 500
"""Paired observations from which on they tell how precise estimates through links are, and, where they are most observations, tie two
modalities themselves."""

type Links = Mapping[tuple[str, str], sparse.csr_matrix]
"""By two modalities, (features of the first, features of the second) weights of their links."""


class Pairs(NamedTuple):
    """Observations that have both modalities."""

    other_p: np.ndarray
    """Positions among the observations of the modality that is estimated from, ascending."""
    target_pk: np.ndarray
    """Components of the modality that is estimated."""


def link_between(links: Links, name: str, other: str) -> sparse.csr_matrix | None:
    """Return the links of two modalities, (features of the first, features of the second); None where there are none.

    Examples
    --------
    >>> link = sparse.csr_matrix(np.array([[1.0, 0.0, 2.0]]))
    >>> link_between({("rna", "atac"): link}, "atac", "rna").toarray().tolist()
    [[1.0], [0.0], [2.0]]
    """
    if (name, other) in links:
        return links[name, other]
    return links[other, name].T.tocsr() if (other, name) in links else None


def is_tied_by_links(one_n: np.ndarray, other_n: np.ndarray) -> bool:
    """Return whether links alone tell of one modality by another: where few observations have both, or not most of the other.

    With one modality much larger, links may tell of the smaller by the larger, and pairs as well of the larger by the smaller:
    the mean of all that the larger one has alone says more than few pairs (``docs/experiments/single_cell.md``). Links alone tie
    the two where they do so in both directions.

    Parameters
    ----------
    one_n, other_n
        (n,) bool, the observations that have the modality that is estimated, and the one that it is estimated from.

    Examples
    --------
    >>> one, other = np.arange(2000) < 1600, np.arange(2000) >= 1000  # 600 have both: of 1,600, and of 1,000
    >>> is_tied_by_links(one, other), is_tied_by_links(other, one)
    (False, True)
    >>> is_tied_by_links(one[:1400], other[:1400])  # 400 have both
    True
    """
    n_both = int((one_n & other_n).sum())
    return n_both < FEWEST_CALIBRATING or 2 * n_both <= int(other_n.sum())


def linked_weights(
    x_ng: np.ndarray | sparse.csr_matrix,
    weights_gk: np.ndarray,
    x_no: np.ndarray | sparse.csr_matrix,
    link_go: sparse.csr_matrix,
) -> np.ndarray:
    r"""Return the weights by which features of one modality stand for the linked features of another, (o, k) float32.

    The sum over the links of a feature g, :math:`a_g = \sum_o L_{go} x_o` (of a gene, the accessibility of its peaks: its
    activity), brought to the standard deviation of g, takes the place of g in the components:

    .. math:: W_{ok} = \sum_g L_{go} \frac{\sigma(x_g)}{\sigma(a_g)} w_{gk}

    Parameters
    ----------
    x_ng, weights_gk
        Scaled values of the modality whose components these are, and their weights.
    x_no
        Scaled values of the other, of other observations.
    link_go
        Weights of the links.
    """
    link_og = link_go.T.tocsc()
    own_g, sums_g = deviations(x_ng), np.empty(link_go.shape[0])
    for first in range(0, len(sums_g), LINKED_FEATURES):
        last = first + LINKED_FEATURES
        sums_g[first:last] = deviations(x_no @ link_og[:, first:last])
    varies_g = sums_g > LEAST_LINKED_DEVIATION
    scale_g = np.where(varies_g, own_g, 0) / np.where(varies_g, sums_g, 1)
    return np.asarray(link_og @ (scale_g[:, None] * weights_gk), dtype=np.float32)


def linked_estimates(
    x_ng: np.ndarray | sparse.csr_matrix,
    directions: Directions,
    x_no: np.ndarray | sparse.csr_matrix,
    link_go: sparse.csr_matrix,
    *,
    seed: int,
    fold_n: np.ndarray | None = None,
    pairs: Pairs | None = None,
) -> Estimates:
    r"""Estimate the components of one modality from another through linked features, where few observations have both, or none.

    Of each observation the linked features stand for those of the modality (:func:`linked_weights`). These scores, of few peaks
    a gene, are noisy: they are predicted anew from all features of the observation, by the ridge regression of
    :func:`ridge_estimates`, in which an observation shares strength with those that are like it.

    An optimal transport then carries these estimates to the components of the observations that have the modality
    (:func:`transported`), as the two sets of observations are taken to be of like composition, and the same regression is fitted to
    where they were carried. Where links tell little, an estimate is carried to a mean of many observations, and so stays near the
    mean of all. An observation that has both modalities is carried to its own components.

    Parameters
    ----------
    x_ng
        As in :func:`linked_weights`.
    directions
        The components.
    x_no, link_go
        As in :func:`linked_weights`.
    seed
        Seed of the regression's sample, of the transport's, and of the halves of features.
    fold_n
        Fold of each observation of the other modality, from 0 on; None for no folds.
    pairs
        Observations that have both; None for none.

    Returns
    -------
    Estimates
        Their precision is that by which two halves of the features agree. How much of what they agree on is the other modality's
        too, paired observations alone can tell: with ``FEWEST_CALIBRATING`` of these, it is that of their estimates by the other folds.
    """
    linked_ok = linked_weights(x_ng, directions.weights_gk, x_no, link_go)
    estimate_nk, own_nk = x_no @ linked_ok, x_ng @ directions.weights_gk
    deviation_k = estimate_nk.std(0)
    estimate_nk = np.where(deviation_k > LEAST_LINKED_DEVIATION, estimate_nk - estimate_nk.mean(0), 0) / np.maximum(
        deviation_k, LEAST_LINKED_DEVIATION
    )
    found = ridge_estimates(x_no, estimate_nk * own_nk.std(0) + own_nk.mean(0), seed, fold_n)
    scale_k = directions.strength_k**MATCHING_POWER
    carried_nk = transported(_left_out(found, x_no, fold_n), own_nk, scale_k, seed)
    if pairs is not None:
        carried_nk[pairs.other_p] = pairs.target_pk
    found = ridge_estimates(x_no, carried_nk, seed, fold_n)
    if pairs is None or len(pairs.other_p) < FEWEST_CALIBRATING:
        return found._replace(precision_k=half_precision(x_no, linked_ok, seed))
    estimate_pk = _left_out(found, x_no, fold_n)[pairs.other_p]
    return found._replace(precision_k=np.asarray(_precision(estimate_pk, pairs.target_pk), dtype=np.float32))


def with_pairs(
    linked: Estimates,
    x_no: np.ndarray | sparse.csr_matrix,
    pairs: Pairs,
    seed: int,
    fold_n: np.ndarray | None = None,
) -> Estimates:
    r"""Return what links and paired observations say together, each component by its precision.

    Of observations that were left out, r is the correlation with the truth, of which what exceeds its standard error,
    :math:`1/\sqrt{n}`, is believed; the two estimates weigh by :math:`r^2 / (1 - r^2)`. What they say together has the standard
    deviation of the truth.

    Parameters
    ----------
    linked
        Of :func:`linked_estimates`.
    x_no
        Scaled values of the modality that is estimated from.
    pairs
        The paired observations.
    seed
        Seed of the regression on them.
    fold_n
        Fold of each observation of the other modality, as in :func:`linked_estimates`.
    """
    is_whole = len(pairs.other_p) == x_no.shape[0]  # then without a copy
    x_po = x_no if is_whole else x_no[pairs.other_p]
    fold_p = None if fold_n is None else fold_n[pairs.other_p]
    sources = linked, ridge_estimates(x_po, pairs.target_pk, seed, fold_p)
    left_out = [_left_out(source, x_po, fold_p) for source in sources]
    precisions = [_precision(estimate_pk, pairs.target_pk) for estimate_pk in left_out]
    weights = [precision_k / sum(precisions) for precision_k in precisions]
    estimate_pk = weights[0] * left_out[0] + weights[1] * left_out[1]
    precision_k, mean_k = _precision(estimate_pk, pairs.target_pk), pairs.target_pk.mean(0)
    size_k = size_of(pairs.target_pk, estimate_pk)

    def joined(*parts: np.ndarray) -> np.ndarray:
        return np.asarray(size_k * (weights[0] * parts[0] + weights[1] * parts[1]), dtype=np.float32)

    offset_k = joined(*(source.offset_k for source in sources)) + (1 - size_k) * mean_k
    folds = [source.folds for source in sources if source.folds is not None]
    return Estimates(
        joined(*(source.weights_gk for source in sources)),
        np.asarray(offset_k, dtype=np.float32),
        np.asarray(precision_k, dtype=np.float32),
        FoldEstimates(joined(*(f.weights_fgk for f in folds)), joined(*(f.offset_fk for f in folds)))
        if folds
        else None,
    )


def deviations(x_ng: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    """Return the standard deviation of each feature, (g,)."""
    if isinstance(x_ng, np.ndarray):
        deviation_g: np.ndarray = x_ng.std(0)
        return deviation_g
    mean_g = np.asarray(x_ng.mean(0)).ravel()
    return np.sqrt(np.maximum(np.asarray(x_ng.multiply(x_ng).mean(0)).ravel() - mean_g**2, 0))


def _left_out(estimates: Estimates, x_no: np.ndarray | sparse.csr_matrix, fold_n: np.ndarray | None) -> np.ndarray:
    """Return the estimates of observations, (n, k), each by the map without its fold where there are folds."""
    estimate_nk = np.asarray(x_no @ estimates.weights_gk + estimates.offset_k)
    if fold_n is None or estimates.folds is None:
        return estimate_nk
    for f in np.unique(fold_n):
        of_fold_n = fold_n == f
        estimate_nk[of_fold_n] += x_no[of_fold_n] @ estimates.folds.weights_fgk[f] + estimates.folds.offset_fk[f]
    return estimate_nk


def _precision(estimate_nk: np.ndarray, target_nk: np.ndarray) -> np.ndarray:
    """Return the signal over noise of estimates, (k,), by what of their correlation with the truth exceeds its standard error."""
    r_k = (correlations(estimate_nk, target_nk) - 1 / np.sqrt(len(target_nk))).clip(*CORRELATIONS)
    precision_k: np.ndarray = r_k**2 / (1 - r_k**2)
    return precision_k
