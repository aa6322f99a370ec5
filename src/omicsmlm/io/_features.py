"""Names of features: versions of Ensembl identifiers, entries without a name, several of one name."""

import re
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

VERSION = re.compile(r"^(ENS[A-Z]{0,4}[GTP]\d{11})\.\d+")


def without_versions(names: pd.Index) -> tuple[pd.Index, int]:
    """Return names of which Ensembl identifiers lack their versions, and how many had one.

    Examples
    --------
    >>> without_versions(pd.Index(["ENSG00000141510.18", "TP53"]))
    (Index(['ENSG00000141510', 'TP53'], dtype='str'), 1)
    """
    texts = list(map(str, names))
    stripped = [VERSION.sub(r"\1", name) for name in texts]
    return pd.Index(stripped), sum(a != b for a, b in zip(texts, stripped, strict=True))


def with_distinct_names(adata: AnnData, *, additive: bool) -> tuple[AnnData, str | None]:
    """Return an object with one feature of each name, and what was done about others.

    Parameters
    ----------
    adata
        Values dense or CSR in ``X``.
    additive
        Whether values of one name are summed (counts, TPM); else the feature with the highest mean is kept
        (Miller et al. 2011, ``collapseRows``).

    Examples
    --------
    >>> adata = AnnData(np.array([[1.0, 2.0, 5.0]]), var=pd.DataFrame(index=["A", "B", "A"]))
    >>> with_distinct_names(adata, additive=True)[0].X.tolist()
    [[6.0, 2.0]]
    """
    names = adata.var_names
    if names.is_unique:
        return adata, None
    code_g, distinct = pd.factorize(names)
    n_twice = len(distinct[np.bincount(code_g) > 1])
    values: Any = adata.X
    if additive:
        sums_gk = sparse.csr_matrix((np.ones(len(code_g)), (np.arange(len(code_g)), code_g)))
        first_k = np.flatnonzero(~names.duplicated())
        summed = values @ sums_gk
        summed = sparse.csr_matrix(summed) if sparse.issparse(values) else np.asarray(summed)
        made = AnnData(summed, obs=adata.obs.copy(), var=adata.var.iloc[first_k].copy())
        return made, f"{n_twice} names of several features, which were summed"
    mean_g = np.asarray(values.mean(axis=0)).ravel() if sparse.issparse(values) else np.nanmean(values, axis=0)
    order = np.argsort(-np.nan_to_num(mean_g, nan=-np.inf), kind="stable")
    kept = np.sort(order[~pd.Index(code_g[order]).duplicated()])
    return adata[:, kept].copy(), f"{n_twice} names of several features, of which that with the highest mean was kept"
