"""Names of features become distinct, by a rule that fits the unit."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from omicsmlm.io._features import with_distinct_names, without_versions

VALUES = np.array([[1.0, 5, 2, 0], [0, 3, 4, 1]])
VAR = pd.DataFrame({"id": ["1", "2", "3", "4"]}, index=["A", "B", "A", "C"])


@pytest.mark.parametrize("form", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize(
    ("additive", "expected", "ids"), [(True, [[3, 5, 0], [4, 3, 1]], "124"), (False, [[5, 2, 0], [3, 4, 1]], "234")]
)
def test_of_several_features_of_one_name_one_is_left(form, additive, expected, ids):
    adata = AnnData(form(VALUES), var=VAR)
    made, line = with_distinct_names(adata, additive=additive)
    np.testing.assert_array_equal(made.to_df(), expected)
    assert "".join(made.var["id"]) == ids
    assert line.startswith("1 names of several features")
    np.testing.assert_array_equal(adata.to_df(), VALUES)


def test_distinct_names_stay():
    adata = AnnData(VALUES, var=VAR.set_axis(list("ABCD")))
    assert with_distinct_names(adata, additive=True) == (adata, None)


def test_versions():
    names, n = without_versions(pd.Index(["ENSMUSG00000059552.14", "ENSG00000182378.15_PAR_Y", "RP11-34P13.7", "1.5"]))
    assert list(names) == ["ENSMUSG00000059552", "ENSG00000182378_PAR_Y", "RP11-34P13.7", "1.5"]
    assert n == 2
