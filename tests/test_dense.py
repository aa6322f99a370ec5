"""Embeddings that are stored sparse or as a table."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from omicsmlm._dense import dense


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_array, pd.DataFrame])
def test_the_form_does_not_matter(form):
    x = np.array([[0.0, 2], [3, 0]])
    found = dense(form(x), np.float32)
    assert type(found) is np.ndarray
    assert found.dtype == np.float32
    assert found.tolist() == x.tolist()
