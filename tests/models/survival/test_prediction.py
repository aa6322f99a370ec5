"""What a survival model predicts, against its parts put together by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from omicsmlm import OmicsMLM, Survival, SurvivalConfig
from omicsmlm._cox import Times
from omicsmlm._risk_scores import brier, calibration, concordance
from omicsmlm.models.survival._candidates import PARTS
from omicsmlm.models.survival._evaluation import SCORES
from omicsmlm.models.survival._prediction import DECILES
from tests.models.survival.test_model import HOW, cohort
from tests.objects import SMALL
from tests.test_bad_input import refused

CONFIG = SurvivalConfig(n_networks=2, n_steps=4, n_components=6, n_pooled_components=6, n_folds=3)


@pytest.fixture(scope="module")
def survival():
    """A survival model with two networks; tests must not change it."""
    made = Survival.from_model(OmicsMLM(cohort(), SMALL), "time", "died", "site", "age", CONFIG)
    made.train(**HOW)
    return made


@pytest.fixture(scope="module")
def others():
    """Samples of two sites that were not learned from, and of one that is unknown."""
    data = cohort(60, first=300)
    data.obs.iloc[:5, data.obs.columns.get_loc("site")] = "west"
    return data


def test_the_scores_are_those_of_the_parts(survival, others):
    parts = survival.predict_parts(others)
    assert parts.columns.tolist() == [*PARTS, "log risk"]
    model = survival.model
    manager = model.manager_for(others)
    batch = manager.create_torch_dataset()[np.arange(60)]
    covariate_nk = survival.columns.covariates(others)
    stratum_n = survival.columns.stratum_codes(others)
    with torch.no_grad():
        x_ng = survival.features(batch)
        inputs_nf = np.hstack([x_ng.numpy(), covariate_nk])
        linear = survival.linear_models
        own_n = np.einsum("nf,nf->n", inputs_nf, linear.own_sf.numpy()[stratum_n])
        own_n[stratum_n < 0] = np.nan
        np.testing.assert_allclose(parts["covariates"], covariate_nk @ linear.covariate_k.numpy(), atol=1e-4)
        np.testing.assert_allclose(parts["own Cox"], own_n, atol=1e-4)
        np.testing.assert_allclose(parts["pooled Cox"], inputs_nf @ linear.pooled_f.numpy(), atol=1e-4)
        risks = []
        for network in survival.networks:
            z_nd = network.embed(model.parts.tokenizer(batch), batch).mean
            known = torch.from_numpy(stratum_n), torch.from_numpy(covariate_nk)
            risks.append(network.head(z_nd, *known, x_ng)[:, 0].numpy())
    assert not np.allclose(*risks)
    np.testing.assert_allclose(parts["network"], np.mean(risks, axis=0), atol=1e-4)
    log_risk_n = survival.ensemble.log_risk(parts[PARTS].to_numpy(), stratum_n)
    np.testing.assert_allclose(parts["log risk"], log_risk_n, atol=1e-5)
    assert survival.predict(others).equals(parts["log risk"])
    assert parts["own Cox"].isna().sum() == 5


def test_survival_probabilities_are_those_of_the_stratum_s_baseline(survival, others):
    table = survival.predict_survival([0.5, 2.0], others)
    stratum_n = survival.columns.stratum_codes(others)
    assert set(stratum_n) == {-1, 0, 1}
    hazard_st = np.stack([baseline.at(np.array([0.5, 2.0])) for baseline in survival.ensemble.baselines])
    expected = np.exp(-hazard_st[stratum_n] * np.exp(survival.predict(others).to_numpy())[:, None])
    np.testing.assert_allclose(table, expected)
    assert table.columns.tolist() == [0.5, 2.0]
    assert table.index.equals(others.obs_names)
    assert survival.predict_survival(1.0, others, indices=[3, 1]).index.tolist() == others.obs_names[[3, 1]].tolist()


@pytest.mark.parametrize("times", [[-1.0], [np.nan], [np.inf, 1.0]])
def test_times_that_cannot_be_asked(survival, times):
    with refused("times: expected times that are not negative, got '(-1.0|nan|inf)'"):
        survival.predict_survival(times)


def test_the_table_of_scores_by_hand(survival, others):
    table = survival.evaluate(others)
    assert table.index.tolist() == ["north", "south", "unknown", "mean", "weighted", "pooled"]
    obs, risk = others.obs, survival.predict(others)
    stratum_n = survival.columns.stratum_codes(others)
    survival_nt = survival.predict_survival(survival.grid_t, others).to_numpy()
    baseline_nt = survival.ensemble.survival(np.zeros(60), stratum_n, survival.grid_t)
    for name, code in (("north", 0), ("south", 1)):
        of_n = stratum_n == code
        time_n, event_n = obs["time"].to_numpy()[of_n], obs["died"].to_numpy()[of_n]
        assert table.loc[name, "C-index"] == pytest.approx(concordance(risk[of_n], time_n, event_n))
        assert table.loc[name, "n"] == of_n.sum()
        assert table.loc[name, "events"] == event_n.sum()
        scores = [brier(p_nt[of_n], survival.grid_t, time_n, event_n).mean() for p_nt in (survival_nt, baseline_nt)]
        error = calibration(survival_nt[of_n, 4], time_n, event_n, survival.grid_t[4], 5).attrs["error"]
        np.testing.assert_allclose(table.loc[name, SCORES].astype(float), [*scores, error], rtol=1e-4)
    assert table.loc["unknown", SCORES].isna().all(), "five are too few"
    strata = table.loc[["north", "south"], SCORES].astype(float)
    np.testing.assert_allclose(table.loc["mean", SCORES].astype(float), strata.mean())
    weight = table.loc[["north", "south"], "n"].to_numpy(dtype=float)
    np.testing.assert_allclose(table.loc["weighted", SCORES].astype(float), weight @ strata / weight.sum())
    everyone = brier(survival_nt, survival.grid_t, obs["time"].to_numpy(), obs["died"].to_numpy()).mean()
    assert table.loc["pooled", "Brier"] == pytest.approx(everyone, rel=1e-4)
    pooled = concordance(-survival_nt[:, 4], obs["time"], obs["died"])
    assert table.loc["pooled", "C-index"] == pytest.approx(pooled), "by survival at the median, as baselines differ"


def test_the_grid_is_of_the_deciles_of_the_times_of_events(survival):
    obs = survival.model.adata.obs
    events = obs["time"].to_numpy()[obs["died"] == 1]
    np.testing.assert_allclose(survival.grid_t, np.quantile(events, np.arange(1, 10) / 10))
    assert len(DECILES) == 9


def test_strata_without_events_or_with_too_few_samples_have_no_brier_score(survival):
    rng = np.random.default_rng(0)
    stratum_n = np.repeat([0, 1], [30, 9])
    event_n = rng.random(39) < 0.8
    times = Times(rng.exponential(3, 39), event_n, stratum_n)
    table = survival._scores(rng.normal(size=39), times)
    assert table.loc["south", SCORES].isna().all()
    assert table.loc["north", SCORES].notna().all()
    np.testing.assert_allclose(table.loc["weighted", SCORES].astype(float), table.loc["north", SCORES].astype(float))
    without = times._replace(event_n=event_n & (stratum_n == 1), stratum_n=1 - stratum_n)
    assert survival._scores(rng.normal(size=39), without).loc["south", SCORES].isna().all()
    enough = times._replace(stratum_n=np.repeat([0, 1], [29, 10]), event_n=event_n | True)
    assert survival._scores(rng.normal(size=39), enough).loc["south", SCORES].notna().all()


def test_observations_that_lack_a_time_are_not_evaluated(survival, others):
    data = others.copy()
    data.obs.iloc[10:, data.obs.columns.get_loc("time")] = np.nan
    assert survival.evaluate(data).loc["pooled", "n"] == 10
    data.obs["time"] = np.nan
    with refused("evaluate: expected observations with a time and an event, got none; pass an object", data):
        survival.evaluate(data)


def test_without_data_the_scores_are_those_of_training_and_a_copy(survival):
    found = survival.evaluate()
    found.loc["mean"] = 0.0
    assert survival.evaluate().loc["mean", "C-index"] != 0


@pytest.mark.parametrize("tuning", ["full", "frozen"])
def test_weights_are_named_by_part_and_restored(survival, others, tuning):
    config = CONFIG if tuning == "full" else SurvivalConfig(**{**vars(CONFIG), "tuning": "frozen"})
    made = survival
    if tuning == "frozen":
        made = Survival.from_model(survival.model, "time", "died", "site", "age", config)
        made.train(**HOW)
    weights = made._weights()
    assert {name.split(".")[0] for name in weights} == {"features", "anchor", "networks", "combination"}
    assert any(".encoder." in name for name in weights) == (tuning == "full")
    again = Survival._restored(made.model, config, made._derived().to_json(), weights)
    again.is_trained = True
    pd.testing.assert_frame_equal(again.predict_parts(others), made.predict_parts(others))
    pd.testing.assert_frame_equal(again.evaluate(), made.evaluate())
