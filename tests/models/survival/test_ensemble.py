"""The ensemble of risk scores against sums by hand."""

import numpy as np
import pytest

from omicsmlm._cox import Baseline, Times
from omicsmlm.models.survival._candidates import ScoreWeights, fit_weights
from omicsmlm.models.survival._ensemble import RiskEnsemble, _moments, complete

NAN = np.nan


def test_moments_are_of_the_scores_that_are_known():
    mean_p, deviation_p = _moments(np.array([[1.0, NAN, 5.0], [3.0, NAN, 5.0], [NAN, NAN, 5.0]]))
    assert mean_p.tolist() == [2.0, 0.0, 5.0]
    assert deviation_p.tolist() == [1.0, 1.0, 1.0]


def test_which_observations_are_complete():
    score_np = np.array([[1.0, NAN, NAN], [NAN, NAN, NAN], [NAN, 2.0, 1.0]])
    assert complete(score_np).tolist() == [False, False, True]
    score_np[2, 2] = NAN
    assert complete(score_np).tolist() == [True, False, True]


@pytest.fixture
def ensemble():
    """Covariates and two scores, two strata: north (0) and south (1), and all (last)."""
    mean_sp = np.array([[1.0, 0.0, 10.0], [0.0, 4.0, 20.0], [0.0, 2.0, 15.0]])
    deviation_sp = np.array([[2.0, 1.0, 2.0], [1.0, 2.0, 5.0], [1.0, 4.0, 10.0]])
    baselines = [Baseline(np.array([1.0]), np.array([hazard])) for hazard in (0.1, 0.2, 0.4)]
    return RiskEnsemble(mean_sp, deviation_sp, ScoreWeights(0.5, 3.0, np.array([False, True, True])), baselines)


def test_scores_are_standardised_in_their_stratum_averaged_and_weighted(ensemble):
    score_np = np.array([[5.0, 1.0, 14.0], [1.0, 2.0, NAN], [NAN, NAN, NAN], [NAN, 6.0, 35.0]])
    found = ensemble.log_risk(score_np, np.array([0, 1, 0, -1]))
    np.testing.assert_allclose(found, [0.5 * 2 + 3 * 1.5, 0.5 - 3, 0, 3 * 1.5])


def test_survival_is_that_of_the_stratum_s_baseline(ensemble):
    found = ensemble.survival(np.log([1.0, 2.0, 3.0]), np.array([0, 1, -1]), np.array([0.5, 1.0, 9.0]))
    expected = np.exp(-np.array([[0.1], [0.4], [1.2]]) * [[0.0, 1.0, 1.0]])
    np.testing.assert_allclose(found, expected)


def fitted(rng, n=4000):
    """An ensemble of a score of another scale in each of two strata, one that nobody has, and one of half of all."""
    stratum_n, truth_n = rng.integers(0, 2, n), rng.normal(size=n)
    time_n = rng.exponential(np.exp(-truth_n) * (1 + 3 * stratum_n))
    times = Times(time_n, np.ones(n, dtype=bool), stratum_n)
    half = np.where(np.arange(n) % 2 == 0, 0.5 * truth_n, NAN)
    scores = np.stack([np.full(n, NAN), truth_n * (1 + stratum_n) + 5 * stratum_n, np.full(n, NAN), half], 1)
    return *RiskEnsemble.fit(scores, times, rng.integers(0, 3, n), 2), scores, times, truth_n


def test_it_is_standardised_and_calibrated(rng):
    found, table, scores, times, truth_n = fitted(rng)
    assert table.index.tolist() == ["with linear models", "with networks"]
    assert found.weights.omics == pytest.approx(1, abs=0.05)
    assert found.weights.covariates == 0
    np.testing.assert_allclose(found.log_risk(scores, times.stratum_n), found.weights.omics * truth_n, atol=0.2)
    np.testing.assert_allclose(found.mean_sp[:, 1], [0, 5, 2.5], atol=0.15)
    survival_nt = found.survival(found.log_risk(scores, times.stratum_n), times.stratum_n, np.array([0.0, 1.0]))
    assert (survival_nt[:, 0] == 1).all()
    exact_n = np.exp(-np.exp(truth_n) / (1 + 3 * times.stratum_n))
    assert np.abs(survival_nt[:, 1] - exact_n).mean() < 0.02


def test_an_unknown_stratum_is_scaled_by_the_spread_within_strata(rng):
    found, _, scores, times, _ = fitted(rng)
    within = scores[:, 1] - np.array([scores[times.stratum_n == s, 1].mean() for s in (0, 1)])[times.stratum_n]
    assert found.deviation_sp[-1, 1] == pytest.approx(within.std())
    assert found.deviation_sp[-1, 1] < 0.7 * scores[:, 1].std(), "not by that of all, which the strata's means widen"
    assert found.mean_sp[-1, 1] == pytest.approx(scores[:, 1].mean())
    for stratum in (0, 1):
        own = scores[times.stratum_n == stratum, 1]
        assert found.deviation_sp[stratum, 1] == pytest.approx(own.std())


def test_weights_are_those_of_the_complete_observations_and_the_baselines_those_of_all(rng):
    found, _, scores, times, _ = fitted(rng)
    standardised_np, whole_n = found.standardised(scores, times.stratum_n), np.isfinite(scores[:, 3])
    expected = fit_weights(standardised_np[whole_n], found.weights.averaged_p, times.only(whole_n))
    assert found.weights[:2] == pytest.approx(expected[:2])
    everyone = fit_weights(standardised_np, found.weights.averaged_p, times)
    assert found.weights.omics != pytest.approx(everyone.omics, abs=1e-9)
    assert [len(baseline.time_t) for baseline in found.baselines] == [
        (times.stratum_n == 0).sum(),
        (times.stratum_n == 1).sum(),
        len(scores),
    ]
    risk_n, of_n = np.exp(found.log_risk(scores, times.stratum_n)), times.stratum_n == 1
    first = times.time_n[of_n].min()
    assert found.baselines[1].at(np.array([first]))[0] == pytest.approx(1 / risk_n[of_n].sum())
    first = times.time_n.min()
    assert found.baselines[2].at(np.array([first]))[0] == pytest.approx(1 / risk_n.sum())


def test_it_is_saved_as_tensors_and_restored(rng):
    found, _, scores, times, _ = fitted(rng, 200)
    again = RiskEnsemble.restore(found.state_dict())
    for stratum_n in (times.stratum_n, np.full(200, -1)):
        np.testing.assert_array_equal(
            again.survival(again.log_risk(scores, stratum_n), stratum_n, np.array([0.5])),
            found.survival(found.log_risk(scores, stratum_n), stratum_n, np.array([0.5])),
        )


def test_one_of_0_1_had_one_slope_and_no_score_of_covariates(rng):
    found, _, scores, times, _ = fitted(rng, 200)
    state = found.state_dict()
    former = {name: value for name, value in state.items() if name not in ("covariate_weight", "averaged_p")}
    former |= {name: state[name][:, 1:] for name in ("mean_sp", "deviation_sp")}
    again = RiskEnsemble.restore(former)
    assert not again.weights.averaged_p[0], "the score of the covariates, which it had not"
    assert again.weights.averaged_p[1:].all()
    standardised_np = ((scores - found.mean_sp[times.stratum_n]) / found.deviation_sp[times.stratum_n])[:, 1:]
    expected = found.weights.omics * np.nanmean(standardised_np, axis=1)
    np.testing.assert_allclose(again.log_risk(scores, times.stratum_n), expected)
