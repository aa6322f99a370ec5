import anndata as ad
import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from scipy import sparse

from omicsmlm.pl import _color_values
from omicsmlm.pl._color_values import color_values


@pytest.fixture
def mdata():
    names = ["a", "b", "c"]
    counts = ad.AnnData(
        np.array([[3.0, 1.0], [0.0, 4.0]]), pd.DataFrame(index=names[:2]), pd.DataFrame(index=["g", "h"])
    )
    beta = ad.AnnData(np.array([[0.2], [np.nan]]), pd.DataFrame(index=names[1:]), pd.DataFrame(index=["g"]))
    mdata = MuData({"rna": counts, "methylation": beta})
    mdata.obs["h"] = [7, 8, 9]
    return mdata


def test_obs_goes_first(mdata):
    found = color_values(mdata, "h", pd.DataFrame({"h": [0.0, 0.0, 0.0]}, ["a", "b", "c"]))
    assert (found.values.tolist(), found.unit) == ([7, 8, 9], "")


def test_counts_are_scaled_and_other_values_left(mdata):
    counts = color_values(mdata, "rna:g")
    assert counts.unit == "rna, log(1 + CP10k)"
    np.testing.assert_allclose(counts.values, [np.log1p(7500), 0, np.nan])
    beta = color_values(mdata, "methylation:g")
    assert beta.unit == "methylation, value"
    np.testing.assert_allclose(beta.values, [np.nan, 0.2, np.nan])


def test_imputed_values_are_matched_by_name(mdata):
    imputed = pd.DataFrame({"g": [1.0, 2.0]}, ["c", "a"])
    found = color_values(mdata, "g", imputed)
    np.testing.assert_allclose(found.values, [2.0, np.nan, 1.0])
    assert found.unit == "imputed"


def test_a_name_with_a_colon_of_its_own(mdata):
    mdata["rna"].var_names = ["rna:g", "h"]
    assert color_values(mdata, "rna:g").values.notna().sum() == 2


def test_counts_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(_color_values, "_BLOCK", 2)
    counts = sparse.csr_matrix([[3.0, 1.0], [0.0, 4.0], [2.0, 2.0]])
    adata = ad.AnnData(counts, var=pd.DataFrame(index=["g", "h"]))
    adata.write(tmp_path / "cells.h5ad")
    backed = color_values(ad.read_h5ad(tmp_path / "cells.h5ad", backed="r"), "g")
    np.testing.assert_allclose(backed.values, np.log1p([7500, 0, 5000]))
    assert backed.unit == "log(1 + CP10k)"


def test_one_modality():
    adata = ad.AnnData(np.array([[0.5, 1.0]]), var=pd.DataFrame(index=["g", "h"]))
    found = color_values(adata, "g")
    assert (found.values.tolist(), found.unit) == ([0.5], "value")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "x",
            "color 'x': expected a column of .obs or a feature of a modality, got neither one of 'h' nor",
        ),
        ("g", "color 'g': expected a feature of one modality, got 'rna', 'methylation'; write rna:g"),
    ],
)
def test_wrong_names_get_a_sentence(mdata, name, words):
    with pytest.raises(ValueError, match=words):
        color_values(mdata, name)
