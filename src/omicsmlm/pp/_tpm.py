"""Transcripts per million, from counts and the lengths of genes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error

from ._input import Values, check_amounts, one_modality, values_of

MILLION = 1e6


@in_one_sentence_of_types
def log_tpm(
    counts: AnnData,
    gene_lengths: pd.Series | Mapping[str, float] | str,
    *,
    base: float | None = 10.0,
    layer: str | None = None,
    key_added: str | None = None,
) -> AnnData:
    r"""Return log(1 + TPM) of counts, the input of MOJO and BulkRNABert (Gélard et al. 2025).

    .. math:: \mathrm{TPM}_{ng} = 10^6 \frac{x_{ng} / l_g}{\sum_h x_{nh} / l_h}

    The sum runs over the genes of the object, so take the TPM before genes are left out.

    Parameters
    ----------
    counts
        Counts per gene, non-negative; estimates that are not whole, as of RSEM or salmon, are welcome. Not changed.
    gene_lengths
        Length of each gene in base pairs (of the merged exons, or the effective length): by name, a Series or a
        dictionary that may hold other genes too; or the name of a column of ``var``.
    base
        Base of the logarithm; None for the TPM itself.
    layer
        Layer that holds the counts; None for ``X``.
    key_added
        Layer of the new object for the result, beside ``X`` as it was; None to put it into ``X``.

    Returns
    -------
    AnnData
        A new object with ``obs`` and ``var`` as they were; float32, CSR if the counts are sparse. A sample without any
        count has zeros.

    Raises
    ------
    ValueError
        If the object is no AnnData of one modality, a count is negative or missing, a gene has no length or one that is
        not positive, or the base is not above 1.

    Examples
    --------
    >>> adata = AnnData(np.array([[10.0, 20.0]]), var=pd.DataFrame(index=["short", "long"]))
    >>> log_tpm(adata, {"short": 1000, "long": 2000}, base=None).X.tolist()
    [[500000.0, 500000.0]]
    """
    if base is not None and not base > 1:
        raise value_error("base", "a number above 1", str(base), "pass 10, or None for the TPM itself")
    counts = one_modality("counts", counts)
    values = values_of("counts", counts, layer)
    check_amounts("counts", values, whole=False)
    result = _tpm(values, _lengths(counts, gene_lengths))
    if base is not None:
        result = result.log1p() / np.log(base) if sparse.issparse(result) else np.log1p(result) / np.log(base)
    result = result.astype(np.float32)
    beside = key_added is not None and counts.X is not None
    x = values_of("counts", counts, None).copy() if beside else None
    made = AnnData(result if key_added is None else x, obs=counts.obs.copy(), var=counts.var.copy())
    if key_added is not None:
        made.layers[key_added] = result
    return made


def _lengths(counts: AnnData, given: Any) -> np.ndarray:
    """Return the length of each gene of the object, (g,) float64."""
    if isinstance(given, str):
        if given not in counts.var:
            raise value_error(
                "gene_lengths", "a column of var", f"{given!r}, not among {named(counts.var)}", "pass one of these"
            )
        by_name = counts.var[given]
    elif isinstance(given, Mapping | pd.Series):
        by_name = pd.Series(given)
        if not by_name.index.is_unique:
            twice = by_name.index[by_name.index.duplicated()]
            raise value_error(
                "gene_lengths", "one length per gene", f"several for {named(twice, 3)}", "keep one of them"
            )
        by_name = by_name.reindex(counts.var_names)
    else:
        remedy = "pass pd.Series(lengths, index=gene_names)"
        raise value_error("gene_lengths", "lengths by name, or a column of var", type(given).__name__, remedy)
    length_g = pd.to_numeric(by_name, errors="coerce").to_numpy(dtype=np.float64)
    for what, bad_g in {"a length for each gene": np.isnan(length_g), "positive lengths": ~(length_g > 0)}.items():
        if bad_g.any():
            found = f"{'none' if np.isnan(length_g).any() else 'others'} for {bad_g.sum()} of {len(bad_g)}"
            genes = named(counts.var_names[bad_g], 3)
            raise value_error("gene_lengths", what, f"{found}: {genes}", "add them, or leave these genes out")
    return length_g


def _tpm(values: Values, length_g: np.ndarray) -> Values:
    """Return transcripts per million in float64; zeros for a sample of zeros."""
    rate = values.astype(np.float64)  # a copy
    if sparse.issparse(rate):
        rate.sum_duplicates()
        rate.data /= length_g[rate.indices]
    else:
        rate /= length_g
    total_n = np.asarray(rate.sum(axis=1)).ravel()
    factor_n = MILLION / np.where(total_n > 0, total_n, 1.0)
    if sparse.issparse(rate):
        rate.data *= np.repeat(factor_n, np.diff(rate.indptr))
        return rate
    return rate * factor_n[:, None]
