"""Samples are joined by the names of their features, and their observations stay apart."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from omicsmlm.io._samples import joined, renamed_apart


def sample(names, features, values=None, form=sparse.csr_matrix):
    values = np.arange(1.0, 1 + len(names) * len(features)).reshape(len(names), -1) if values is None else values
    return AnnData(form(np.asarray(values)), obs=pd.DataFrame(index=names), var=pd.DataFrame(index=features))


def test_the_same_features_in_another_order():
    samples = {"s1": sample(["a"], ["A", "B"]), "s2": sample(["b"], ["B", "A"])}
    made, line = joined("rna", samples, "lane", are_counts=True)
    pd.testing.assert_frame_equal(
        made.to_df(), pd.DataFrame([[1.0, 2.0], [2.0, 1.0]], index=["a", "b"], columns=["A", "B"])
    )
    assert made.obs["lane"].tolist() == ["s1", "s2"]
    assert line == "2 samples with the same features"


def test_counts_of_other_features_are_recorded_as_not_measured():
    samples = {"s1": sample(["a"], ["A", "B"]), "s2": sample(["b"], ["B", "C"])}
    made, line = joined("rna", samples, "lane", are_counts=True)
    assert made.varm["profiled"].loc["A"].tolist() == [True, False]
    assert made.to_df().loc["b"].tolist() == [0, 1, 2]
    assert line == "2 samples with 3 features, of which 1 in all"


@pytest.mark.parametrize("form", [np.array, sparse.csr_matrix])
def test_other_values_that_were_not_measured_are_missing(form):
    samples = {"s1": sample(["a"], ["A", "B"], form=form), "s2": sample(["b"], ["B", "C"], form=form)}
    made, _ = joined("rna", samples, "lane", are_counts=False)
    np.testing.assert_array_equal(made.to_df()[["A", "B", "C"]], [[1, 2, np.nan], [np.nan, 1, 2]])


def test_peaks_of_its_own_in_each_sample_are_refused():
    samples = {"s1": sample(["a"], ["chr1:1-2", "chr1:5-9"]), "s2": sample(["b"], ["chr1:1-3", "chr1:5-8"])}
    with pytest.raises(ValueError, match="atac: expected samples with the same regions, got 0 in all, of 2 .*map_reg"):
        joined("atac", samples, "lane", are_counts=True)


def test_all_modalities_are_renamed_alike_or_none():
    cells = {"s1": sample(["x", "y"], ["A"]), "s2": sample(["x"], ["A"])}
    other = {"s1": sample(["y"], ["P"]), "s2": sample(["x"], ["P"])}
    made, line = renamed_apart({"rna": cells, "protein": other})
    assert [list(part.obs_names) for part in made["rna"].values()] == [["s1:x", "s1:y"], ["s2:x"]]
    assert [list(part.obs_names) for part in made["protein"].values()] == [["s1:y"], ["s2:x"]]
    assert line is not None
    assert list(cells["s1"].obs_names) == ["x", "y"], "what was given stays"
    assert renamed_apart({"protein": other})[1] is None
