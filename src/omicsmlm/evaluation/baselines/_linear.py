"""Linear embeddings: PCA of RNA, LSI of peaks, centred log-ratios of proteins, and RNA together with either."""

import anndata as ad
import mudata as md
import numpy as np
import scipy.sparse as sp

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import check_switch
from omicsmlm._compat import keep_torch_threads
from omicsmlm.evaluation.baselines._measured import measured

_RNA_FRACTION = 0.625  # 50 of 80 dimensions
_LSI_SCALE = 1 / 3  # on SNARE-seq better than 1/2, 1 or the blocks as they come, in scib total and k-NN


def dense(values: sp.csr_matrix | np.ndarray) -> np.ndarray:
    """Return the values of a few columns or of a small modality as an array."""
    return values.toarray() if isinstance(values, sp.csr_matrix) else np.asarray(values)


def are_counts(values: sp.csr_matrix | np.ndarray) -> bool:
    """Return whether all values are non-negative integers."""
    flat = np.asarray(values.data if isinstance(values, sp.csr_matrix) else values)
    return bool(np.all(flat >= 0) and np.all(flat == np.floor(flat)))


def _variable_genes(values: sp.csr_matrix | np.ndarray, n_top_genes: int) -> np.ndarray:
    """Return the columns of the genes that vary most in log1p(CP10k), by normalised dispersion (scanpy, flavor seurat)."""
    import scanpy as sc

    if values.shape[1] <= n_top_genes:
        return np.arange(values.shape[1])
    light = ad.AnnData(values)
    with keep_torch_threads():
        sc.pp.highly_variable_genes(light, n_top_genes=n_top_genes, flavor="seurat")
    return np.flatnonzero(light.var["highly_variable"].to_numpy())


def log_normalise(counts: sp.csr_matrix | np.ndarray) -> sp.csr_matrix | np.ndarray:
    """Compute log(1 + 10,000 count / total of the observation), float32; a row of zeros stays zeros.

    Examples
    --------
    >>> round(float(log_normalise(np.array([[1.0, 3.0]]))[0, 0]), 4)  # log(1 + 10,000 / 4)
    7.8244
    """
    total_n = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    factor_n = 1e4 / np.where(total_n > 0, total_n, 1.0)
    if isinstance(counts, sp.csr_matrix):
        scaled = sp.csr_matrix(sp.diags_array(factor_n) @ counts)
        scaled.data = np.log1p(scaled.data)
        return scaled.astype(np.float32)
    return np.log1p(np.asarray(counts) * factor_n[:, None]).astype(np.float32)


def _components(values_ng: np.ndarray, n_comps: int, seed: int) -> np.ndarray:
    """Compute the scores of the leading principal components; the column means are taken off first."""
    from sklearn.decomposition import PCA

    most = min(n_comps, min(values_ng.shape) - 1)
    exact = PCA(max(most, 1), svd_solver="arpack" if most < 0.8 * min(values_ng.shape) else "full", random_state=seed)
    return exact.fit_transform(values_ng)


@in_one_sentence_of_types
def pca(
    data: ad.AnnData | md.MuData,
    n_comps: int = 50,
    *,
    modality: str | None = None,
    n_top_genes: int = 2000,
    scale: bool = True,
    seed: int = 0,
) -> np.ndarray:
    """Compute principal components of one modality.

    Raw counts become log(1 + 10,000 count / total); the genes that vary most are kept, and each is standardised and
    clipped at ±10, as in scanpy's own pipeline. Values that are not counts (z-scores, fractions) are taken as they
    are, a NaN as the mean of its feature.

    Parameters
    ----------
    data
        An AnnData or MuData; not changed.
    n_comps
        Number of components; fewer where the data has fewer observations or features.
    modality
        Modality of a MuData; by default the RNA, or the only one.
    n_top_genes
        Number of variable genes kept, where there are more.
    scale
        Whether to standardise the genes.
    seed
        Seed of the solver's starting vector.

    Returns
    -------
    ndarray
        float32 (n_obs, n_comps); NaN in observations that lack the modality.

    Raises
    ------
    ValueError
        If the modality is not there.
    """
    check_switch("scale", scale)
    part = measured(data, modality)
    values = part.values
    if are_counts(values):
        values = log_normalise(values)
        values = values[:, _variable_genes(values, n_top_genes)]
    x_ng = dense(values).astype(np.float32)
    x_ng = np.where(np.isnan(x_ng), np.nanmean(x_ng, axis=0), x_ng)
    if scale:
        std_g = x_ng.std(axis=0, ddof=1)
        x_ng = np.clip((x_ng - x_ng.mean(axis=0)) / np.where(std_g > 0, std_g, 1), -10, 10)
    return part.place(_components(x_ng, n_comps, seed))


@in_one_sentence_of_types
def lsi(data: ad.AnnData | md.MuData, n_comps: int = 50, *, modality: str | None = None, seed: int = 0) -> np.ndarray:
    """Compute latent semantic indexing of peaks: truncated SVD of log(1 + 10,000 tf idf).

    With binary peaks b: tf = b / number of open peaks of the cell, idf = log(1 + n / (1 + cells with the peak)).
    No component is dropped; the first one often follows the depth.

    Parameters
    ----------
    data, modality, seed
        As in :func:`pca`; the default modality is the ATAC.
    n_comps
        Number of components.

    Returns
    -------
    ndarray
        float32 (n_obs, n_comps); NaN in observations that lack the modality.

    Raises
    ------
    ValueError
        If the modality is not there.
    """
    from sklearn.decomposition import TruncatedSVD

    part = measured(data, modality, "atac")
    weights = tf_idf(part.values)
    most = max(min(n_comps, min(weights.shape) - 1), 1)
    return part.place(TruncatedSVD(most, algorithm="arpack", random_state=seed).fit_transform(weights))


def tf_idf(counts: sp.csr_matrix | np.ndarray) -> sp.csr_matrix:
    """Compute log(1 + 10,000 tf idf) of the counts as zero or not; CSR float64, as in :func:`lsi`."""
    binary = sp.csr_matrix(counts, dtype=np.float64, copy=True)
    binary.eliminate_zeros()
    binary.data[:] = 1.0
    open_n = np.asarray(binary.sum(axis=1)).ravel()
    cells_g = np.asarray(binary.sum(axis=0)).ravel()
    idf_g = np.log1p(binary.shape[0] / (1.0 + cells_g))
    weights = sp.csr_matrix(sp.diags_array(1.0 / np.maximum(open_n, 1.0)) @ binary @ sp.diags_array(idf_g))
    weights.data = np.log1p(1e4 * weights.data)
    return weights


@in_one_sentence_of_types
def clr(
    data: ad.AnnData | md.MuData, n_comps: int | None = None, *, modality: str | None = None, seed: int = 0
) -> np.ndarray:
    """Compute centred log-ratios of proteins: log(1 + count) minus its mean over the proteins of the cell.

    Parameters
    ----------
    data, modality, seed
        As in :func:`pca`; the default modality is the protein.
    n_comps
        Principal components of the log-ratios; by default the log-ratios themselves.

    Returns
    -------
    ndarray
        float32 (n_obs, n_comps or n_proteins); NaN in observations that lack the modality.

    Raises
    ------
    ValueError
        If the modality is not there.
    """
    part = measured(data, modality, "protein")
    log_ng = np.log1p(dense(part.values).astype(np.float64))
    ratio_ng = log_ng - log_ng.mean(axis=1, keepdims=True)
    return part.place(ratio_ng if n_comps is None else _components(ratio_ng, n_comps, seed))


def _beside(first_nd: np.ndarray, second_nd: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Concatenate two embeddings, of total standard deviation 1 and `scale`; NaN where either is."""
    first_nd, second_nd = (block / np.sqrt(np.nanvar(block, axis=0).sum()) for block in (first_nd, second_nd))
    both_nd = np.hstack([first_nd, scale * second_nd])
    both_nd[~np.isfinite(both_nd).all(axis=1)] = np.nan
    return both_nd.astype(np.float32)


@in_one_sentence_of_types
def pca_lsi(data: md.MuData, n_comps: int = 80, *, seed: int = 0) -> np.ndarray:
    """Concatenate RNA components and ATAC components, 5 : 3, of total standard deviation 1 and 1/3.

    Parameters
    ----------
    data
        A MuData with RNA and ATAC; not changed.
    n_comps
        Number of dimensions in all: 5/8 of :func:`pca`, 3/8 of :func:`lsi`.
    seed
        Seed of the solvers.

    Returns
    -------
    ndarray
        float32 (n_obs, n_comps); NaN in observations that lack a modality.

    Raises
    ------
    ValueError
        If a modality is not there.
    """
    n_rna = round(_RNA_FRACTION * n_comps)
    return _beside(pca(data, n_rna, seed=seed), lsi(data, n_comps - n_rna, seed=seed), _LSI_SCALE)


@in_one_sentence_of_types
def pca_clr(data: md.MuData, n_comps: int = 80, *, seed: int = 0) -> np.ndarray:
    """Concatenate RNA components and the components of the proteins' centred log-ratios, 5 : 3, each of total variance one.

    Parameters
    ----------
    data
        A MuData with RNA and protein; not changed.
    n_comps
        Number of dimensions in all: 3/8 of :func:`clr` (at most one less than there are proteins), the rest of
        :func:`pca`.
    seed
        Seed of the solvers.

    Returns
    -------
    ndarray
        float32 (n_obs, n_comps); NaN in observations that lack a modality.

    Raises
    ------
    ValueError
        If a modality is not there.
    """
    protein_nd = clr(data, n_comps - round(_RNA_FRACTION * n_comps), seed=seed)
    return _beside(pca(data, n_comps - protein_nd.shape[1], seed=seed), protein_nd)
