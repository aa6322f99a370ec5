"""Values, names and what else a table says are told apart."""

import numpy as np
import pandas as pd
import pytest

from omicsmlm.io._matrix_tables import matrix_table


def test_a_table_of_cbioportal():
    frame = pd.DataFrame(
        {"Hugo_Symbol": ["TP53", None], "Entrez_Gene_Id": [7157, 1], "P1": [1.0, 2.0], "P2": ["3", "4"]}
    )
    table = matrix_table("rna", frame)
    np.testing.assert_array_equal(table.values, [[1, 3], [2, 4]])
    assert list(table.annotation) == ["Entrez_Gene_Id"]
    made = table.oriented("columns")
    assert (list(made.obs_names), list(made.var_names)) == (["P1", "P2"], ["TP53"]), "a gene without a name is left out"
    assert made.var["Entrez_Gene_Id"].tolist() == [7157]


def test_texts_beside_values_of_cells():
    frame = pd.DataFrame({"type": ["T", "B"], "TP53": [1, 0], "MYC": [2, 5]}, index=["c1", "c2"])
    made = matrix_table("rna", frame).oriented("rows")
    assert (list(made.obs_names), list(made.var_names)) == (["c1", "c2"], ["TP53", "MYC"])
    assert made.obs["type"].tolist() == ["T", "B"]
    np.testing.assert_array_equal(made.X, [[1, 2], [0, 5]])


def test_a_frame_stays_as_it_is():
    frame = pd.DataFrame({"a": [1.0], "b": [2.0]}, index=["x"])
    before = frame.copy()
    matrix_table("rna", frame).oriented("columns").X[:] = 9
    pd.testing.assert_frame_equal(frame, before)


def test_a_table_of_texts_is_refused():
    with pytest.raises(ValueError, match="expected a table with columns of numbers"):
        matrix_table("rna", pd.DataFrame({"gene": ["A"], "name": ["alpha"]}))


def test_an_index_that_is_called_like_a_column():
    frame = pd.DataFrame({"gene": ["TP53", "MYC"], "s1": [1, 2], "s2": [3, 4]}).set_index("gene", drop=False)
    made = matrix_table("rna", frame).oriented("columns")
    assert (list(made.obs_names), list(made.var_names)) == (["s1", "s2"], ["TP53", "MYC"])
    np.testing.assert_array_equal(made.X, [[1, 2], [3, 4]])
