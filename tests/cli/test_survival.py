"""Risks are learned once and predicted again alike."""

import pandas as pd
import pytest

import omicsmlm


@pytest.fixture(autouse=True)
def without_networks(monkeypatch):
    """Linear models alone, which take no training."""
    own = omicsmlm.SurvivalConfig
    monkeypatch.setattr(omicsmlm, "SurvivalConfig", lambda seed: own(seed=seed, n_networks=0), raising=False)


def test_learn_save_and_predict(run, files, tmp_path):
    first, second, saved = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "survival"
    keys = ["--time-key", "time", "--event-key", "died", "--covariate-key", "age"]
    called = run("survival", files / "multiome.h5mu", files / "model", first, *keys, "--at", 5, "--save-model", saved)
    assert called.status == 0, called.err
    table = pd.read_csv(first, index_col=0)
    assert len(table) == 150
    assert table["survival_5"].between(0, 1).all()
    assert table["log_risk"].corr(table["survival_5"], method="spearman") < -0.99
    assert run("survival", files / "multiome.h5mu", saved, second).status == 0
    pd.testing.assert_series_equal(pd.read_csv(second, index_col=0)["log_risk"], table["log_risk"], atol=1e-5)


def test_both_columns_are_needed(run, files, tmp_path):
    called = run("survival", files / "multiome.h5mu", files / "model", tmp_path / "a.csv", "--time-key", "time")
    assert called.status == 2
    assert "--time-key: expected --time-key and --event-key" in called.err
