"""Selection of the features that a model uses, where a modality has more than it can."""

import warnings

import numpy as np
import pandas as pd
from scipy import sparse

DEPTH = 1e4
"""Counts are normalised to this total before the logarithm, as by scanpy's default workflow."""
N_BINS = 20
"""Bins of genes of about the same mean, as in scanpy."""
BLOCK = 2048
"""Observations whose moments are computed at once, which bounds the memory."""


def variable_features(counts: sparse.csr_matrix, n_features: int, groups_n: np.ndarray | None) -> np.ndarray:
    """Return the genes whose counts vary most given their mean (highly variable genes).

    Parameters
    ----------
    counts
        (n, g) raw counts.
    n_features
        Genes to choose; all are taken where there are no more.
    groups_n
        Batch of each observation: genes are then ranked within each batch, so that a batch effect is not variation.

    Returns
    -------
    numpy.ndarray
        Ascending positions, int64; exactly ``n_features`` of them, if there are as many.
    """
    if counts.shape[1] <= n_features:
        return np.arange(counts.shape[1])
    log_ng = _log_normalised(counts)
    chosen = _ranked(log_ng, n_features, groups_n)
    if len(chosen) < n_features:
        variance_g = np.asarray(log_ng.multiply(log_ng).mean(0) - np.square(log_ng.mean(0))).ravel()
        chosen = np.concatenate([chosen, np.setdiff1d(np.argsort(-variance_g, kind="stable"), chosen, True)])
    return np.sort(chosen[:n_features])


def _log_normalised(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return log(1 + x) of counts normalised to a total of 10⁴ per observation, float32."""
    total_n = np.asarray(counts.sum(1, dtype=np.float64)).ravel() / DEPTH
    total_n[total_n == 0] = 1
    data = (counts.data / np.repeat(total_n, counts.getnnz(1))).astype(np.float32)
    return sparse.csr_matrix((np.log1p(data, out=data), counts.indices, counts.indptr), shape=counts.shape)


def _ranked(log_ng: sparse.csr_matrix, n_features: int, groups_n: np.ndarray | None) -> np.ndarray:
    """Return genes ranked by their normalised dispersion (Satija et al. 2015), as scanpy's "seurat" flavour does.

    scanpy itself would compile with numba first, which takes longer than this. With groups, genes come first that are among
    the most variable in many groups, then those of the largest mean normalised dispersion over the groups that have them. The
    result is empty where a group is too small for dispersions, or has no variation.
    """
    n_genes = log_ng.shape[1]
    if groups_n is None:
        scores = [_dispersions(log_ng, np.ones(n_genes, dtype=bool))]
    else:
        parts = [log_ng[groups_n == group] for group in np.unique(groups_n)]
        scores = [_dispersions(part, np.bincount(part.indices, minlength=n_genes) > 0) for part in parts]
    if not all(np.isfinite(score_g[found_g]).any() for score_g, found_g in scores):
        return np.empty(0, dtype=np.int64)
    chosen_sg = np.stack([score_g >= _nth_highest(score_g[found_g], n_features) for score_g, found_g in scores])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # genes of which no group has a dispersion
        mean_g = np.nanmean(np.stack([np.where(found_g, score_g, 0.0) for score_g, found_g in scores]), 0)
    if groups_n is None:
        return _descending(mean_g, np.flatnonzero(chosen_sg[0]))
    by_name = np.argsort(np.arange(n_genes).astype(str), kind="stable")  # how scanpy breaks ties
    order = by_name[np.lexsort((-mean_g[by_name], -chosen_sg.sum(0)[by_name]))]
    return _descending(mean_g, np.sort(order[:n_features]))


def _descending(score_g: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Return genes by descending score; equal ones in the given order."""
    return genes[np.argsort(-score_g[genes], kind="stable")]


def _nth_highest(scores: np.ndarray, n: int) -> float:
    """Return the n-th highest score, NaN left out; the lowest where there are fewer."""
    known = np.sort(scores[~np.isnan(scores)])[::-1]
    return float(known[min(n, len(known)) - 1])


def _dispersions(log_ng: sparse.csr_matrix, found_g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each gene's log dispersion (variance / mean), standardised among genes of about the same mean; and ``found_g``.

    It is NaN for genes without variance, and for those that are not in ``found_g``, which are left out of the comparison.
    """
    n, n_genes = log_ng.shape
    sum_g, squares_g = np.zeros(n_genes), np.zeros(n_genes)
    for first in range(0, n, BLOCK):
        block = log_ng[first : first + BLOCK]
        x_t = np.expm1(block.data)
        sum_g += np.bincount(block.indices, x_t, n_genes)
        squares_g += np.bincount(block.indices, np.square(x_t), n_genes)
    mean_g = sum_g[found_g] / n
    variance_g = (squares_g[found_g] / n - mean_g**2) * (n / max(n - 1, 1))
    mean_g[mean_g == 0] = 1e-12
    score_g = np.full(n_genes, np.nan)
    if not len(mean_g):
        return score_g, found_g
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_g = variance_g / mean_g
        log_g = np.log(np.where(ratio_g == 0, np.nan, ratio_g))
        table = pd.DataFrame({"bin": pd.cut(np.log1p(mean_g), N_BINS, labels=False), "dispersion": log_g})
        bins = table.groupby("bin")["dispersion"].agg(["mean", "std"])
        alone = bins["std"].isna()  # a gene that is alone in its bin gets a score of 1: mean 0, deviation its own value
        bins.loc[alone, "std"], bins.loc[alone, "mean"] = bins.loc[alone, "mean"], 0.0
        own = bins.loc[table["bin"]]
        score_g[found_g] = (log_g - own["mean"].to_numpy()) / own["std"].to_numpy()
    return score_g, found_g


def common_features(values: sparse.csr_matrix, n_features: int) -> np.ndarray:
    """Return the peaks that are accessible in most observations; ascending positions, int64."""
    if values.shape[1] <= n_features:
        return np.arange(values.shape[1])
    n_open_g = np.zeros(values.shape[1], dtype=np.int64)
    for first in range(0, values.shape[0], BLOCK):
        block = values[first : first + BLOCK]
        n_open_g += np.bincount(block.indices[block.data > 0], minlength=len(n_open_g))
    return np.sort(np.argsort(-n_open_g, kind="stable")[:n_features])
