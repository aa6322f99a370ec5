import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData

from omicsmlm import IsoFormer, OmicsMLM, Survival, SurvivalConfig
from omicsmlm._manifest import write_manifest
from omicsmlm._risk_scores import concordance
from omicsmlm.models.heads._encoder_copy import copy_of
from omicsmlm.models.survival import _model
from omicsmlm.models.survival._module import train_network, training_risk
from tests.models.classifier.test_model import same, weights
from tests.objects import SMALL, SMALL_ISOFORMER, modality, state_of, transcripts
from tests.test_bad_input import refused

QUICK = SurvivalConfig(n_networks=1, n_steps=8, n_components=10, n_pooled_components=10, n_folds=3)
HOW = {"progress_bar": False, "accelerator": "cpu", "batch_size": 64}


def cohort(n=150, first=0, seed=0):
    """Rows with methylation and values of genes, some with one only; type and age set the hazard, sites the baseline."""
    parts = {"rna": modality("real", n, 30, first=first), "meth": modality("fraction", n, 20, first=first)}
    lacks = {"rna": slice(0, n - 20), "meth": slice(10, n)}
    data = MuData({name: part[lacks[name]].copy() for name, part in parts.items()})
    data.obs["type"] = parts["rna"].obs["type"].reindex(data.obs_names)
    rng = np.random.default_rng([seed, first])
    data.obs["site"] = np.where(rng.random(n) < 0.5, "north", "south")
    data.obs["age"] = rng.normal(60, 10, n)
    log_risk = data.obs["type"].cat.codes.to_numpy() - 1.0 + 0.05 * (data.obs["age"] - 60)
    time = rng.exponential(np.exp(-log_risk) * np.where(data.obs["site"] == "north", 1, 5))
    seen_until = rng.exponential(8, n)
    data.obs["time"], data.obs["died"] = np.minimum(time, seen_until), (time <= seen_until).astype(int)
    for part in data.mod.values():
        del part.obs["type"], part.obs["batch"]
    data.obs.iloc[::9, data.obs.columns.get_loc("age")] = np.nan
    data.update()
    return data


@pytest.fixture(scope="module")
def model():
    """A model of them; tests must not change it."""
    return OmicsMLM(cohort(), SMALL)


@pytest.fixture(scope="module")
def survival(model):
    """A survival model of it; tests must not change it."""
    made = Survival.from_model(model, "time", "died", "site", "age", QUICK)
    made.train(**HOW)
    return made


@pytest.fixture(scope="module")
def others():
    """Rows that were not learned from."""
    return cohort(first=300)


def test_risks_are_right_for_rows_that_were_not_learned_from(survival, others):
    risk = survival.predict(others)
    assert risk.index.equals(others.obs_names)
    table = survival.evaluate(others)
    assert table.index.tolist() == ["north", "south", "mean", "weighted", "pooled"]
    for site in ("north", "south"):
        rows = (others.obs["site"] == site).to_numpy()
        found = concordance(risk[rows], others.obs["time"][rows], others.obs["died"][rows])
        assert table.loc[site, "C-index"] == pytest.approx(found)
    assert table.loc["mean", "C-index"] > 0.65
    blind = concordance(risk, others.obs["time"], others.obs["died"])
    assert table.loc["pooled", "C-index"] > blind, "sites differ, and their baselines know it"
    assert (table["Brier"] < table["Brier, no risk"]).all()


def test_survival_probabilities_fall_with_time_and_risk(survival, others):
    times = [0.0, 0.3, 1.0, 1e6]
    table = survival.predict_survival(times, others)
    assert table.columns.tolist() == times
    assert (table[0.0] == 1).all()
    assert (np.diff(table.to_numpy(), axis=1) <= 0).all()
    risk = survival.predict(others)
    for site in ("north", "south"):
        rows = (others.obs["site"] == site).to_numpy()
        assert risk[rows].corr(table[1.0][rows], method="spearman") == pytest.approx(-1)
    hazard = -np.log(table[1.0]) / np.exp(risk)
    assert hazard.groupby(others.obs["site"]).std().max() < 1e-6, "one baseline per site"


def test_rows_and_batch_sizes_do_not_matter(survival, others):
    whole = survival.predict_parts(others)
    pd.testing.assert_frame_equal(survival.predict_parts(others, batch_size=7), whole, atol=1e-5)
    pd.testing.assert_frame_equal(survival.predict_parts(others, indices=[5, 3]), whole.iloc[[5, 3]], atol=1e-5)
    assert survival.predict(others, indices=[]).empty
    assert whole.notna().all(axis=None)


def test_rows_that_lack_a_modality_a_covariate_or_a_stratum_have_a_risk(survival, others):
    for name in others.mod:
        alone = MuData({name: others[name].copy()})
        alone.obs = others.obs.loc[alone.obs_names].copy()
        assert np.isfinite(survival.predict(alone)).all()
    elsewhere = cohort(first=300)
    elsewhere.obs["site"], elsewhere.obs["age"] = "west", np.nan
    parts = survival.predict_parts(elsewhere)
    assert parts["own Cox"].isna().all()
    assert parts["covariates"].notna().all()
    assert np.isfinite(parts["log risk"]).all()
    assert survival.predict_survival([1.0], elsewhere).notna().all(axis=None)


def test_nothing_of_the_users_is_changed(model):
    before, held = weights(model.module), state_of(model.adata)
    made = Survival.from_model(model, "time", "died", config=QUICK)
    made.train(**HOW)
    made.predict()
    assert same(before, weights(model.module))
    assert same(before, weights(made.model.module))
    assert state_of(model.adata) == held


def test_rows_without_time_or_event_are_not_learned_from(model):
    data = cohort()
    blind = cohort()
    out = np.arange(data.n_obs) % 4 == 0
    blind.obs.loc[out, "time"] = np.nan
    config = replace(QUICK, n_networks=0)
    with_nan, fewer = (
        Survival.from_model(OmicsMLM(part, SMALL), "time", "died", covariate_keys="age", config=config)
        for part in (blind, data[~out].copy())
    )
    with_nan.train()
    fewer.train()
    np.testing.assert_allclose(with_nan.predict(data), fewer.predict(data), atol=1e-3)


def test_one_stratum_has_one_exact_model(model):
    made = Survival.from_model(model, "time", "died", config=QUICK)
    made.train(**HOW)
    parts = made.predict_parts()
    assert parts["pooled Cox"].isna().all()
    assert parts[["own Cox", "network"]].notna().all(axis=None)
    assert made.evaluate().index.tolist() == ["all", "mean", "weighted", "pooled"]


def test_the_exact_models_alone_and_the_networks_alone(model, others):
    exact, network = (
        Survival.from_model(model, "time", "died", "site", config=replace(QUICK, **changes))
        for changes in ({"n_networks": 0}, {"linear_models": False, "n_networks": 2, "n_steps": 40})
    )
    exact.train()
    network.train(**HOW)
    assert exact.predict_parts(others)["network"].isna().all()
    assert network.predict_parts(others)[["own Cox", "pooled Cox"]].isna().all(axis=None)
    for made in (exact, network):
        assert made.evaluate(others).loc["mean", "C-index"] > 0.6


@pytest.mark.parametrize("tuning", ["frozen", "lora", "ia3", "full"])
def test_tuning_moves_the_encoder_or_leaves_it(model, tuning):
    if tuning in ("lora", "ia3"):
        pytest.importorskip("peft")
    made = Survival.from_model(model, "time", "died", config=replace(QUICK, tuning=tuning, linear_models=False))
    made.train(2, **HOW)
    (network,) = made.networks
    encoder = weights(network.encoder)
    assert encoder.keys() == model.module.state_dict().keys(), "adapters are merged"
    assert same(encoder, weights(model.module)) == (tuning == "frozen")
    losses = made.history["train_loss_0"]["train_loss_0"]
    assert len(losses) == 2


@pytest.mark.parametrize("changes", [{}, {"tuning": "frozen"}, {"likelihood": "discrete", "n_intervals": 4}])
def test_save_and_load(model, others, tmp_path, changes):
    made = Survival.from_model(model, "time", "died", "site", ["age"], replace(QUICK, **changes))
    made.train(1, **HOW)
    made.save(tmp_path / "risk")
    assert {file.suffix for file in (tmp_path / "risk").rglob("*") if file.is_file()} == {".json", ".safetensors"}
    for loaded in (Survival.load(tmp_path / "risk"), Survival.load(tmp_path / "risk", model.adata)):
        pd.testing.assert_frame_equal(loaded.predict_parts(others), made.predict_parts(others))
        pd.testing.assert_frame_equal(loaded.predict_survival([1.0], others), made.predict_survival([1.0], others))
        pd.testing.assert_frame_equal(loaded.evaluate(), made.evaluate())
        pd.testing.assert_frame_equal(loaded.candidates, made.candidates)
        pd.testing.assert_series_equal(loaded.weights, made.weights)
        assert loaded.config == made.config
        assert loaded.columns == made.columns
        assert loaded.history.keys() == made.history.keys()
    made.save(tmp_path / "risk", overwrite=True)


def test_the_same_seed_gives_the_same_numbers(model, survival, others):
    again = Survival.from_model(model, "time", "died", "site", "age", QUICK)
    again.train(**HOW)
    pd.testing.assert_frame_equal(again.predict_parts(others), survival.predict_parts(others))


def test_features_that_say_nothing_get_no_weight_and_covariates_predict(caplog):
    data = cohort()
    data.obs["time"] = np.random.default_rng(3).exponential(np.exp(-0.1 * (data.obs["age"].fillna(60) - 60)))
    data.obs["died"] = 1
    made = Survival.from_model(OmicsMLM(data, SMALL), "time", "died", covariate_keys="age", config=QUICK)
    with caplog.at_level("INFO", "omicsmlm"):
        made.train(**HOW)
    assert made.candidates.index.tolist() == ["covariates alone", "with linear models", "with networks"]
    assert made.candidates.index[made.candidates["chosen"]].tolist() == ["covariates alone"]
    assert made.weights["omics"] == 0
    assert f"covariates alone: weight of covariates {made.weights['covariates']:.2f}, of omics 0.00." in caplog.text
    parts = made.predict_parts()
    assert parts["covariates"].corr(parts["log risk"]) == pytest.approx(1)
    assert parts["own Cox"].notna().all(), "what takes no part is still told"


def test_networks_are_held_out_from_the_fold_that_they_are_judged_by(model, monkeypatch):
    """A spy beside the real functions: what each network was trained on, with which seed, and what it then predicts."""
    trained, seeds, judged = [], [], []

    def train(encoder, training, indices, times, config, settings):
        trained.append(set(indices.tolist()))
        seeds.append(config.seed)
        return train_network(encoder, training, indices, times, config, settings)

    def risk(encoder, training, indices):
        judged.append(set(indices.tolist()))
        return training_risk(encoder, training, indices)

    monkeypatch.setattr(_model, "train_network", train)
    monkeypatch.setattr(_model, "training_risk", risk)
    made = Survival.from_model(model, "time", "died", "site", "age", replace(QUICK, n_networks=3))
    made.train(**HOW)
    assert seeds == [made.config.seed, made.config.seed + 1, made.config.seed + 2]
    for own, others in zip(trained, judged, strict=True):
        assert others
        assert not own & others
        assert own | others == trained[0] | judged[0]
    assert set.union(*judged) == trained[0] | judged[0], "each observation is judged once"


def test_a_copy_of_a_model_has_weights_of_its_own(model):
    own = copy_of(model)
    with torch.no_grad():
        next(own.module.parameters()).add_(1)
    assert not same(weights(own.module), weights(model.module))


# ---- wrong input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("time", -1.0, "column 'time': expected times that are not negative, got times down to -1; count from"),
        ("died", 2, "column 'died': expected 0 .censored. and 1 .event., got 0, 1, 2; code it so"),
        ("age", "old", "column 'age': expected numbers, got 'old', .*; code it as numbers"),
    ],
)
def test_columns_that_do_not_hold_what_they_should(column, value, message):
    data = cohort(60)
    data.obs[column] = pd.Series([value, *data.obs[column].iloc[1:]], index=data.obs_names, dtype=object)
    model = OmicsMLM(data, SMALL)
    with refused(message, data):
        Survival.from_model(model, "time", "died", covariate_keys="age")


def test_what_cannot_be_learned_from(model, tmp_path):
    with refused("model: expected a model of omicsmlm, got MuData", model.adata):
        Survival.from_model(model.adata, "time", "died")
    with refused("column 'nothing': expected a column of .obs", model.adata):
        Survival.from_model(model, "nothing", "died")
    data = cohort(60)
    data.obs["died"] = 0
    none = OmicsMLM(data, SMALL)
    with refused("column 'died': expected observations with the event, got none in 60 observations with a time", data):
        Survival.from_model(none, "time", "died")
    data.obs["died"], data.obs["age"] = 1, np.nan
    with refused("column 'age': expected numbers, got none in the observations with a time; leave this", data):
        Survival.from_model(none, "time", "died", covariate_keys=["age"])
    model.save(tmp_path / "alone")
    with refused("model: expected one with its object, got one loaded alone"):
        Survival.from_model(OmicsMLM.load(tmp_path / "alone"), "time", "died")


def test_a_model_of_sequences_is_refused():
    adata = transcripts()
    adata.obs["time"], adata.obs["event"] = np.arange(1.0, 1 + adata.n_obs), 1
    message = (
        "model: expected one of values of features, got an IsoFormer of 'dna', 'protein'; pass an omicsmlm.OmicsMLM"
    )
    with pytest.raises(ValueError, match=message):
        Survival.from_model(IsoFormer(adata, SMALL_ISOFORMER), "time", "event")


def test_an_untrained_one_says_so(model, tmp_path):
    made = Survival.from_model(model, "time", "died")
    for verb, call in (
        ("predict", made.predict),
        ("predict", lambda: made.predict_survival([1.0])),
        ("evaluate", made.evaluate),
        ("weights", lambda: made.weights),
        ("save", lambda: made.save(tmp_path / "risk")),
    ):
        with refused(f"{verb}: expected a trained survival model, got one that is not; call train"):
            call()


def test_what_cannot_be_asked(survival, tmp_path):
    with refused("times: expected times that are not negative, got '-1.0'; count from the start"):
        survival.predict_survival([-1.0])
    data = cohort(30, first=300)
    data.obs["time"] = np.nan
    with refused("evaluate: expected observations with a time and an event, got none", data):
        survival.evaluate(data)
    survival.save(tmp_path / "risk")
    loaded = Survival.load(tmp_path / "risk")
    with refused("train: expected a survival model with its object, got one loaded alone"):
        loaded.train()
    config = tmp_path / "risk" / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"class": "Gone"}))
    write_manifest(tmp_path / "risk")
    with refused("load: expected a survival model of a known family, got 'Gone'"):
        Survival.load(tmp_path / "risk")
