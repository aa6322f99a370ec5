"""Expected values are written, of cells that lack the modality too."""

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad
from mudata import read_h5mu

import omicsmlm


@pytest.mark.parametrize("name", ["x.h5ad", "x.csv"])
def test_values_are_those_of_the_model(run, files, tmp_path, name):
    called = run("impute", files / "multiome.h5mu", files / "model", tmp_path / name, "--modality", "atac", "--json")
    assert called.status == 0, called.err
    found = read_h5ad(tmp_path / name).to_df() if name == "x.h5ad" else pd.read_csv(tmp_path / name, index_col=0)
    expected = omicsmlm.OmicsMLM.load(files / "model").impute(read_h5mu(files / "multiome.h5mu"), "atac")
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert list(found.index) == list(expected.index)
    assert (called.result["n_obs"], called.result["n_features"]) == expected.shape


def test_a_modality_of_the_model_is_needed(run, files, tmp_path):
    called = run("impute", files / "multiome.h5mu", files / "model", tmp_path / "x.csv", "--modality", "protein")
    assert called.status == 2
    assert "modality: expected one of ['rna', 'atac'], got 'protein'" in called.err
    assert list(tmp_path.iterdir()) == []
