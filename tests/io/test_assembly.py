"""Sources become one object: each turned the right way, by what the others tell."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from omicsmlm.io._assembly import ONE, Opening, Reading, assembled, oriented
from omicsmlm.io._matrix_tables import matrix_table
from omicsmlm.io._sources import Opened

READING = Reading({}, "batch", False, {})


def table(role, frame, sample=ONE):
    return Opening(role, sample, Opened({}, matrix_table(role, frame)))


def test_a_table_that_tells_tells_of_the_others():
    odd = pd.DataFrame(np.ones((2, 3)), index=["f1", "f2"], columns=["p1", "p2", "p3"])
    genes = pd.DataFrame(np.ones((3, 3)), index=["p1", "p2", "p3"], columns=["TP53", "MYC", "ACTB"])
    parts, lines = oriented([table("protein", odd), table("rna", genes)], set(), {})
    assert parts["protein"][ONE].shape == (3, 2)
    assert parts["rna"][ONE].shape == (3, 3)
    assert "observations on columns (the names of its observations are known)" in lines[1]
    with pytest.raises(ValueError, match="observations_on"):
        oriented([table("protein", odd)], set(), {})
    assert oriented([table("protein", odd)], set(), {"protein": "columns"})[0]["protein"][ONE].shape == (3, 2)
    assert oriented([table("protein", odd)], {"p1", "p2"}, {})[0]["protein"][ONE].shape == (3, 2)


def test_a_source_of_its_own_goes_before_that_of_a_file_of_several():
    one, two = AnnData(np.ones((2, 2))), AnnData(np.ones((2, 5)))
    both = Opening("rna", ONE, Opened({"rna": one, "protein": two}))
    own = Opening("protein", ONE, Opened({"protein": AnnData(np.ones((2, 7)))}))
    assert oriented([both], set(), {})[0]["protein"][ONE] is two
    assert oriented([both, own], set(), {})[0]["protein"][ONE].n_vars == 7


def test_values_beside_a_layer_of_counts_stay():
    adata = AnnData(np.array([[0.5, 99.7]]), layers={"counts": np.array([[1, 7]])})
    mdata, lines = assembled({"rna": {ONE: adata}}, READING)
    np.testing.assert_array_equal(mdata["rna"].X, [[0.5, 99.7]])
    assert "layers['counts']" in lines[0]


def test_observations_of_one_name_are_refused():
    adata = AnnData(np.ones((2, 2)), obs=pd.DataFrame(index=["a", "a"]))
    with pytest.raises(ValueError, match="rna: expected distinct names of observations, got duplicates 'a'"):
        assembled({"rna": {ONE: adata}}, READING)


def test_duplicates_are_summed_before_the_logarithm():
    adata = AnnData(np.array([[4.0, 3, 8]]), var=pd.DataFrame(index=["A", "A", "B"]))
    mdata, _ = assembled({"rna": {ONE: adata}}, READING._replace(units={"rna": "tpm"}))
    np.testing.assert_allclose(mdata["rna"].X, np.log2([[8, 9]]), rtol=1e-6)
