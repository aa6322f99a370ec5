"""Embeddings as dense arrays, however they are stored."""

from typing import Any

import numpy as np
from scipy import sparse


def dense(embedding: Any, dtype: type[np.floating[Any]]) -> np.ndarray:
    """Return an embedding as a dense array of a type; ``.obsm`` may hold sparse matrices and data frames, too.

    Examples
    --------
    >>> dense(sparse.csr_matrix([[0, 2]]), np.float32).tolist()
    [[0.0, 2.0]]
    """
    return np.asarray(embedding.toarray() if sparse.issparse(embedding) else embedding, dtype=dtype)
