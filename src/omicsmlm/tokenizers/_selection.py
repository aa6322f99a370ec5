"""Which features a model looks at, where a modality has more than it can use."""

import warnings

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from omicsmlm._compat import threads_kept


def variable_features(counts: sparse.csr_matrix, n_features: int, groups_n: np.ndarray | None) -> np.ndarray:
    """Choose the genes whose counts vary most for their mean.

    Parameters
    ----------
    counts
        (n, g) raw counts.
    n_features
        Genes to choose; all are taken where there are no more.
    groups_n
        Batch of each row: genes are then ranked within each batch, so that a batch effect is not variation.

    Returns
    -------
    numpy.ndarray
        Ascending positions, int64; exactly ``n_features`` of them, if there are as many.
    """
    if counts.shape[1] <= n_features:
        return np.arange(counts.shape[1])
    adata = AnnData(counts.astype(np.float32))
    with warnings.catch_warnings(), threads_kept():
        warnings.simplefilter("ignore")
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        chosen = _ranked(adata, n_features, groups_n)
    if len(chosen) < n_features:
        log_ng = sparse.csr_matrix(adata.X)
        variance_g = np.asarray(log_ng.multiply(log_ng).mean(0) - np.square(log_ng.mean(0))).ravel()
        chosen = np.concatenate([chosen, np.setdiff1d(np.argsort(-variance_g, kind="stable"), chosen, True)])
    return np.sort(chosen[:n_features])


def _ranked(adata: AnnData, n_features: int, groups_n: np.ndarray | None) -> np.ndarray:
    """Rank genes by scanpy's normalised dispersion; none where groups are too small or too much alike for that."""
    if groups_n is not None:
        adata.obs["group"] = pd.Categorical(groups_n)
    try:
        sc.pp.highly_variable_genes(
            adata, n_top_genes=n_features, flavor="seurat", batch_key=None if groups_n is None else "group"
        )
    except (IndexError, ValueError):  # what scanpy raises where no gene of a group varies
        return np.empty(0, dtype=np.int64)
    chosen = np.flatnonzero(adata.var["highly_variable"].to_numpy())
    return chosen[np.argsort(-adata.var["dispersions_norm"].to_numpy()[chosen], kind="stable")]


def common_features(values: sparse.csr_matrix, n_features: int) -> np.ndarray:
    """Choose the regions that are open in most rows; ascending positions, int64."""
    if values.shape[1] <= n_features:
        return np.arange(values.shape[1])
    n_open_g = np.asarray((values > 0).sum(0)).ravel()
    return np.sort(np.argsort(-n_open_g, kind="stable")[:n_features])
