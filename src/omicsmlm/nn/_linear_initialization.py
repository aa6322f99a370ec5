"""The linear model that a network is initialised with: principal components for the encoder, log means for the decoder."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from omicsmlm._types import Grid, Kind

from ._linked_estimates import (
    Links,
    Pairs,
    is_tied_by_links,
    link_between,
    linked_estimates,
    with_pairs,
)
from ._own_estimates import centred_within, own_estimates
from ._ridge_estimates import Directions, Estimates, ridge_estimates, shrunk

FEWEST_PAIRED = 100
"""Paired observations from which on one modality is initialised by its regression on another: a correlation of 0.2 is then
significant at 5 %."""
LEAST_SINGULAR_VALUE = 1e-4
"""Singular value, relative to the largest, up to which a direction is rounding: scaled values have seven digits, of which the
logarithm of a depth and a division by a small deviation cost three. Brought to unit variance, such a direction would make what
is summed in another order, and so the size of a minibatch, visible in the embedding."""


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
    centred = x_ng if sparse.issparse(x_ng) else centred_within(x_ng, groups_n)
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


class Component(NamedTuple):
    """The components of one modality, and their regression on each modality."""

    first: int
    """The dimension of the first of them."""
    strength_k: np.ndarray
    """(k,) float32: singular values relative to the first."""
    estimates: dict[str, Estimates]
    """By modality: its own, and of the others those that enough observations have together with it."""


class Fitting(NamedTuple):
    """How initial components are fitted."""

    seed: int
    """Seed of the randomised algorithms."""
    groups_n: np.ndarray | None = None
    """(n,) group of each observation, or None for one group."""
    fold_n: np.ndarray | None = None
    """(n,) fold of each observation: all estimates are then also made without each fold. None for no folds."""
    links: Links = MappingProxyType({})
    """Links between the features of two modalities."""
    shrinks: bool = False
    """Whether what paired observations say of a modality by another is as far from the mean as its precision allows
    (:func:`shrunk`), or has the variance of the components."""


def initial_components(
    x: Mapping[str, np.ndarray | sparse.csr_matrix],
    has: Mapping[str, np.ndarray],
    n_components: Mapping[str, int],
    fitting: Fitting,
    stage: Callable[[str], None] | None = None,
) -> dict[str, Component]:
    """Return the components of each modality, and their regressions on the other modalities.

    Two modalities that few observations have together, or none (:func:`is_tied_by_links`), are brought together by the links
    of their features, where there are some: see :func:`linked_estimates`. Otherwise what links say is averaged with a regression
    on the observations that have both: see :func:`with_pairs`.

    Parameters
    ----------
    x
        Scaled values of each modality, of the observations that have it.
    has
        (n,) bool per modality: which observations have it.
    n_components
        Components of each modality.
    fitting
        Seed, groups, folds and links.
    stage
        Called with the name of each step before it begins, if given.
    """
    starts, first = {}, 0
    stage = stage or (lambda name: None)
    for name, x_ng in x.items():
        stage(f"components of {name}")
        groups, folds = (_at(of_n, has[name]) for of_n in (fitting.groups_n, fitting.fold_n))
        found = principal_directions(x_ng, n_components[name], groups, fitting.seed)
        estimates = {name: own_estimates(x_ng, found.weights_gk, fitting.seed, folds, groups)}
        for other in (m for m in x if m != name):
            stage(f"{name} predicted from {other}")
            predicted = _from_other(x, has, (name, other), found, fitting)
            estimates.update({} if predicted is None else {other: predicted})
        starts[name] = Component(first, found.strength_k, estimates)
        first += found.weights_gk.shape[1]
    return starts


def _from_other(
    x: Mapping[str, np.ndarray | sparse.csr_matrix],
    has: Mapping[str, np.ndarray],
    names: tuple[str, str],
    directions: Directions,
    fitting: Fitting,
) -> Estimates | None:
    """Return estimates of the components of the first modality from the second; None where nothing ties the two."""
    name, other = names
    both_n, link_go = has[name] & has[other], link_between(fitting.links, name, other)
    is_both_n = both_n[has[other]]
    pairs = Pairs(np.flatnonzero(is_both_n), _those(x[name], both_n[has[name]]) @ directions.weights_gk)
    if link_go is not None and has[other].any():
        seed, fold_n = fitting.seed, _at(fitting.fold_n, has[other])
        if is_tied_by_links(has[name], has[other]):
            return linked_estimates(x[name], directions, x[other], link_go, seed=seed, fold_n=fold_n, pairs=pairs)
        linked = linked_estimates(x[name], directions, x[other], link_go, seed=seed, fold_n=fold_n)
        found = with_pairs(linked, x[other], pairs, seed, fold_n)
    elif len(pairs.other_p) >= FEWEST_PAIRED:
        x_po, fold_p = _those(x[other], is_both_n), _at(fitting.fold_n, both_n)
        found = ridge_estimates(x_po, pairs.target_pk, fitting.seed, fold_p)
    else:
        return None
    return shrunk(found, pairs.target_pk.mean(0)) if fitting.shrinks else found


def _at(of_n: np.ndarray | None, kept_n: np.ndarray) -> np.ndarray | None:
    return None if of_n is None else of_n[kept_n]


def are_paired(has: Mapping[str, np.ndarray]) -> bool:
    """Return whether enough observations have two modalities for one of them to be initialised by the other.

    Parameters
    ----------
    has
        (n,) bool per modality: which observations have it.

    Examples
    --------
    >>> are_paired({"rna": np.arange(300) < 200, "atac": np.arange(300) >= 100})
    True
    """
    return any(int((has[one] & has[other]).sum()) >= FEWEST_PAIRED for one, other in combinations(has, 2))


def _those(x_ng: np.ndarray | sparse.csr_matrix, kept_n: np.ndarray) -> np.ndarray | sparse.csr_matrix:
    """Return some observations; all of them without a copy."""
    return x_ng if kept_n.all() else x_ng[kept_n]


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
