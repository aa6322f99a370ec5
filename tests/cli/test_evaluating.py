"""Scores stand beside those of baselines."""

import numpy as np
import pandas as pd
import pytest

import omicsmlm
from omicsmlm.cli._evaluating import printed


def test_the_best_is_printed_first():
    table = pd.DataFrame({"Total": [0.25, 0.5], "Bio conservation": [0.1, 0.9]}, index=["ours", "PCA"])
    lines = [line for line in printed(table).splitlines() if "ours" in line or "PCA" in line]
    assert ["PCA" in lines[0], "0.900" in lines[0], "0.250" in lines[1]] == [True] * 3


def test_a_file_without_an_embedding(run, files, tmp_path):
    called = run("benchmark", files / "multiome.h5mu", "--labels-key", "cell_type")
    assert called.status == 2
    assert "--key: expected an embedding in .obsm" in called.err


@pytest.mark.slow
def test_scores(run, tmp_path):
    adata = omicsmlm.datasets.simulate_rna(200, 40)
    adata.obsm["X_omics"] = np.log1p(adata.X.toarray()[:, :8])
    adata.write_h5ad(tmp_path / "e.h5ad")
    out = tmp_path / "scores.csv"
    called = run("benchmark", tmp_path / "e.h5ad", "--labels-key", "cell_type", "--out", out, "--json")
    assert called.status == 0, called.err
    table = pd.read_csv(out, index_col=0)
    assert {"X_omics", "PCA"} < set(table.index) == set(called.result["scores"])
    assert called.result["scores"]["PCA"]["Total"] == pytest.approx(table.loc["PCA", "Total"])
