"""Raw counts out of log-normalised values."""

import numpy as np
from anndata import AnnData
from scipy import sparse

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error
from omicsmlm._log_counts import counts_of_logs

from ._input import one_modality, values_of


@in_one_sentence_of_types
def recover_counts(adata: AnnData, layer: str | None = None) -> AnnData:
    r"""Return a copy with the raw counts c that values log(1 + s c) were made of.

    The scale s of each observation (10,000 over its total, say) follows from its smallest value that is not 0, which is taken
    for a count of 1: of the thousands of genes of a cell some have one molecule. The logarithm may be natural, binary or
    decimal, and genes may have been left out since. Scaled or batch-corrected values are no such logarithms.

    Parameters
    ----------
    adata
        Log-normalised values of one modality. Not changed.
    layer
        The layer that holds them; None for ``X``.

    Returns
    -------
    AnnData
        ``X``: whole numbers, CSR float32.

    Raises
    ------
    ValueError
        If values are negative or not finite, or do not come out as whole numbers in every observation.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(1.0, (20, 50))
    >>> logs = np.log1p(1e4 * counts / counts.sum(1, keepdims=True))
    >>> bool((recover_counts(AnnData(logs)).X.toarray() == counts).all())
    True
    """
    adata = one_modality("recover_counts", adata)
    logs = sparse.csr_matrix(values_of("recover_counts", adata, layer), dtype=np.float64)
    logs.eliminate_zeros()
    counts_m = counts_of_logs(logs.data, np.diff(logs.indptr))
    if counts_m is None:
        found = f"values from {logs.data.min():g} to {logs.data.max():g}" if logs.nnz else "zeros alone"
        found += ", which are no whole numbers before any logarithm"
        remedy = "look for counts in adata.raw or in a layer, or use the values as they are"
        raise value_error("recover_counts", "logarithms of scaled counts", found, remedy)
    made = adata.copy()
    made.X = sparse.csr_matrix((counts_m, logs.indices, logs.indptr), shape=logs.shape)
    made.uns.pop("log1p", None)  # scanpy's mark of values that are logarithms
    return made
