"""Which features a model looks at, where a modality has more than it can use."""

import warnings

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse


def variable_features(counts: sparse.csr_matrix, n_features: int, groups_n: np.ndarray | None) -> np.ndarray:
    """Choose the genes whose counts vary most for their mean.

    Parameters
    ----------
    counts
        (n, g) raw counts.
    n_features
        Genes to choose; all are taken where there are no more.
    groups_n
        Batch of each row: genes are then ranked within each batch that varies, so that a batch effect is not variation.

    Returns
    -------
    numpy.ndarray
        Ascending positions, int64.
    """
    if counts.shape[1] <= n_features:
        return np.arange(counts.shape[1])
    adata = AnnData(counts.astype(np.float32))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    if not _varies(adata.X):
        return np.arange(n_features)
    batch_key = None
    if groups_n is not None:
        ranked = [group for group in np.unique(groups_n) if _varies(adata.X[groups_n == group])]
        if ranked:
            adata = adata[np.isin(groups_n, ranked)].copy()
            adata.obs["group"] = pd.Categorical(groups_n[np.isin(groups_n, ranked)])
            batch_key = "group"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.highly_variable_genes(adata, n_top_genes=n_features, flavor="seurat", batch_key=batch_key)
    chosen = np.flatnonzero(adata.var["highly_variable"].to_numpy())
    score_g = adata.var["dispersions_norm"].to_numpy()[chosen]  # scanpy takes all that tie for the last place
    return np.sort(chosen[np.argsort(-score_g, kind="stable")[:n_features]])


def _varies(values: sparse.csr_matrix) -> bool:
    """Tell whether any feature differs between rows; a batch of one row, or of empty rows, ranks no gene."""
    return bool((values.max(0) != values.min(0)).nnz)


def common_features(values: sparse.csr_matrix, n_features: int) -> np.ndarray:
    """Choose the regions that are open in most rows; ascending positions, int64."""
    if values.shape[1] <= n_features:
        return np.arange(values.shape[1])
    n_open_g = np.asarray((values > 0).sum(0)).ravel()
    return np.sort(np.argsort(-n_open_g, kind="stable")[:n_features])
