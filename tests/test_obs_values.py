import anndata as ad
import numpy as np
import pandas as pd
import pytest
from mudata import MuData

from omicsmlm._obs_values import obs_values


@pytest.fixture
def mdata():
    rna = ad.AnnData(np.ones((2, 1)), pd.DataFrame(index=["a", "b"]), pd.DataFrame(index=["g"]))
    protein = ad.AnnData(np.ones((2, 1)), pd.DataFrame(index=["b", "c"]), pd.DataFrame(index=["p"]))
    return MuData({"rna": rna, "protein": protein})


def test_the_top_level_goes_first(mdata):
    mdata["rna"].obs["batch"] = ["1", "2"]
    mdata.obs["batch"] = ["x", "y", "z"]
    assert obs_values(mdata, "batch").to_dict() == {"a": "x", "b": "y", "c": "z"}


def test_a_column_of_modalities_alone_is_merged(mdata):
    mdata["rna"].obs["batch"], mdata["protein"].obs["batch"] = ["1", "2"], ["3", "4"]
    assert obs_values(mdata, "batch").to_dict() == {"a": "1", "b": "2", "c": "4"}
    mdata["protein"].obs["n"] = [0.5, 1.5]
    np.testing.assert_array_equal(obs_values(mdata, "n"), [np.nan, 0.5, 1.5])
    assert pd.api.types.is_float_dtype(obs_values(mdata, "n"))


def test_categories_of_modalities_with_different_values_meet(mdata):
    mdata["rna"].obs["type"] = pd.Categorical(["T", "B"])
    mdata["protein"].obs["type"] = pd.Categorical(["B", "NK"])
    assert obs_values(mdata, "type").tolist() == ["T", "B", "NK"]


def test_none_where_nobody_has_it(mdata):
    assert obs_values(mdata, "no") is None
    assert obs_values(mdata["rna"], "no") is None


def test_an_anndata_gives_its_own(mdata):
    mdata["rna"].obs["batch"] = ["1", "2"]
    assert obs_values(mdata["rna"], "batch").tolist() == ["1", "2"]
