import numpy as np
import pytest
from scipy import optimize

from omicsmlm.evaluation import baselines
from omicsmlm.evaluation.survival import concordance
from tests.test_bad_input import refused


@pytest.fixture
def rows(rng):
    factor_n = rng.normal(size=240)
    x_ng = rng.normal(size=(240, 60))
    x_ng[:, :20] += 2 * factor_n[:, None]
    stratum_n = np.repeat(["a", "b"], 120)
    age_n = rng.normal(60, 10, 240)
    sign_n = np.where(stratum_n == "a", 1, -1)
    time_n = rng.exponential(np.exp(-sign_n * factor_n - 0.05 * age_n)) * 100
    return x_ng, time_n, np.ones(240), rng.random(240) < 0.7, stratum_n, age_n


def test_each_stratum_has_a_cox_model_of_its_own(rows):
    x_ng, time_n, event_n, trained_n, stratum_n, age_n = rows
    risk_n = baselines.cox(x_ng, time_n, event_n, trained_n, stratum=stratum_n, covariates=age_n, n_comps=5)
    for name in "ab":
        test_n = ~trained_n & (stratum_n == name)
        assert concordance(risk_n[test_n], time_n[test_n], event_n[test_n]) > 0.6
    blind = np.where(trained_n, time_n, -1)  # times of other observations are not looked at
    again_n = baselines.cox(x_ng, blind, event_n, trained_n, stratum=stratum_n, covariates=age_n, n_comps=5)
    np.testing.assert_array_equal(again_n, risk_n)


def test_covariates_alone_are_ranked_as_they_are(rows):
    _, time_n, event_n, trained_n, stratum_n, age_n = rows
    age_n[3] = np.nan
    risk_n = baselines.cox(None, time_n, event_n, trained_n, covariates=age_n)
    assert np.corrcoef(np.delete(risk_n, 3), np.delete(age_n, 3))[0, 1] == pytest.approx(1)
    assert risk_n[3] == pytest.approx(0, abs=1e-9)


def test_a_stratum_without_events_has_no_risk(rows):
    x_ng, time_n, _, trained_n, stratum_n, _ = rows
    risk_n = baselines.cox(x_ng, time_n, stratum_n == "a", trained_n, stratum=stratum_n)
    assert np.isnan(risk_n[stratum_n == "b"]).all()
    assert np.isfinite(risk_n[stratum_n == "a"]).all()


def test_logistic_regression_is_the_minimum_in_the_features(rng):
    x_ng = rng.normal(size=(60, 90))
    label_n = np.array(["a", "b", "c"])[np.argmax(x_ng[:, :3] + rng.normal(size=(60, 3)), 1)]
    trained_n = np.arange(60) < 50
    table = baselines.logistic_regression(x_ng, np.where(trained_n, label_n, None), trained_n)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert table.columns.tolist() == ["a", "b", "c"]
    z = (x_ng - x_ng[:50].mean(0)) / x_ng[:50].std(0)
    y = (label_n[:50, None] == ["a", "b", "c"]).astype(float)

    def loss(flat):
        w = flat.reshape(91, 3)
        logits = z[:50] @ w[:90] + w[90]
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        slope = np.exp(log_p) - y
        gradient = np.vstack([z[:50].T @ slope + w[:90] / table.attrs["C"], slope.sum(0)])
        return -(y * log_p).sum() + (w[:90] ** 2).sum() / (2 * table.attrs["C"]), gradient.ravel()

    w = optimize.minimize(loss, np.zeros(273), jac=True, method="L-BFGS-B", options={"gtol": 1e-8}).x.reshape(91, 3)
    exact = np.exp(z @ w[:90] + w[90])
    np.testing.assert_allclose(table, exact / exact.sum(1, keepdims=True), atol=2e-3)


def test_components_and_missing_features(rng):
    x_ng = rng.normal(size=(100, 30)) * np.r_[10, np.ones(29)]
    label_n = np.where(x_ng[:, 0] > 0, "yes", "no")
    x_ng[::7, 1:] = np.nan
    table = baselines.logistic_regression(x_ng[:, :1].repeat(3, 1), label_n, np.arange(100) < 80, n_comps=1)
    assert (table.idxmax(axis=1) == label_n)[80:].mean() > 0.9
    whole = baselines.logistic_regression(x_ng, label_n, np.arange(100) < 80)
    assert np.isfinite(whole).all(axis=None)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "a", "b"], "logistic_regression: expected as many features, labels and observations, got 4, 3 and 4"),
        (
            ["a", None, "b", "b"],
            "labels: expected at least two labels, and one for each training observation, got observations without",
        ),
        (["a", "a", "a", "a"], "labels: expected at least two labels, .* got 'a'"),
    ],
)
def test_wrong_labels(labels, message):
    with refused(message):
        baselines.logistic_regression(np.zeros((4, 2)), labels, np.ones(4, dtype=bool))


def test_nothing_to_learn_risks_from():
    with refused("cox: expected features or covariates, got neither; pass one of them"):
        baselines.cox(None, [1, 2], [1, 1], np.ones(2, dtype=bool))
