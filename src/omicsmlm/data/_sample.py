"""A sample of rows as matrices: what statistics and starts are read from."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from omicsmlm._types import Batch


def stored_values(sample: Sequence[Batch], name: str, n_vocabulary: int) -> sparse.csr_matrix:
    """Put the tokens of a modality together.

    Parameters
    ----------
    sample
        Batches of rows.
    name
        Name of the modality.
    n_vocabulary
        Features of its vocabulary.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n, n_vocabulary) float32; a row that lacks the modality is empty.
    """
    blocks = []
    for batch in sample:
        ids, values, offsets = (part.numpy() for part in batch.tokens[name])
        blocks.append(sparse.csr_matrix((values, ids, offsets), shape=(len(offsets) - 1, n_vocabulary)))
    return sparse.vstack(blocks, format="csr")


def batch_codes(sample: Sequence[Batch]) -> np.ndarray | None:
    """Give the batch of each row, (n,) int64; None where there is no batch, or only one."""
    codes_nk = np.concatenate([batch.covariates.numpy() for batch in sample])
    return codes_nk[:, 0] if codes_nk.shape[1] and len(np.unique(codes_nk[:, 0])) > 1 else None
