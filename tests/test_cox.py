"""The exact Cox solution against slow sums over risk sets, hand-worked cases and lifelines."""

import numpy as np
import pandas as pd
import pytest

from omicsmlm._cox import Times, baseline_hazard, partial_likelihood, ridge_cox


@pytest.fixture
def made(rng):
    """Observations whose hazard depends on three columns, with many ties and three strata."""
    x_nd = rng.normal(size=(120, 3))
    time_n = np.ceil(5 * rng.exponential(np.exp(-x_nd @ [0.8, -0.5, 0.0])))
    return x_nd, Times(time_n, rng.random(120) < 0.7, rng.integers(0, 3, 120))


def slow_likelihood(eta_n, times):
    """Efron's sum, event by event, as it is written in the books."""
    total = 0.0
    for stratum in np.unique(times.stratum_n):
        of_n = times.stratum_n == stratum
        for when in np.unique(times.time_n[of_n & times.event_n]):
            at_risk = sum(np.exp(e) for e, t, s in zip(eta_n, times.time_n, of_n, strict=True) if s and t >= when)
            tied = [e for e, t, d, s in zip(eta_n, *times[:2], of_n, strict=True) if s and d and t == when]
            for r in range(len(tied)):
                total -= np.log(at_risk - r / len(tied) * sum(np.exp(tied)))
            total += sum(tied)
    return total


def test_the_partial_likelihood_is_efrons_sum(made, rng):
    x_nd, times = made
    for eta_n in (np.zeros(120), rng.normal(size=120), 300 + rng.normal(size=120)):
        assert partial_likelihood(eta_n, times) == pytest.approx(slow_likelihood(eta_n - eta_n.mean(), times))


def test_the_partial_likelihood_by_hand():
    times = Times(np.array([1.0, 1.0, 2.0]), np.array([True, True, False]), np.zeros(3))
    hand = np.log(2 / (2 + 1 + 3)) + np.log(1 / (2 + 1 + 3 - 0.5 * (2 + 1)))
    assert partial_likelihood(np.log([2.0, 1.0, 3.0]), times) == pytest.approx(hand)


def test_the_solution_is_the_minimum(made, rng):
    x_nd, times = made
    penalty_d = np.array([0.01, 0.1, 0.02])
    weight_d = ridge_cox(x_nd, times, penalty_d)

    def loss(w):
        return -slow_likelihood(x_nd @ w, times) / 120 + 0.5 * (penalty_d * w**2).sum()

    best = loss(weight_d)
    for d in range(3):
        away = np.eye(3)[d] * 1e-4
        slope = (loss(weight_d + away) - loss(weight_d - away)) / 2e-4
        assert abs(slope) < 1e-6
    assert all(loss(weight_d + rng.normal(0, 0.05, 3)) > best for _ in range(5))
    near_d = ridge_cox(x_nd, times, penalty_d, start_d=weight_d + 0.1)
    np.testing.assert_allclose(near_d, weight_d, atol=1e-4)


def test_a_large_shift_or_scale_does_no_harm(made):
    x_nd, times = made
    weight_d = ridge_cox(x_nd, times, np.full(3, 0.1))
    np.testing.assert_allclose(ridge_cox(x_nd + 1e3, times, np.full(3, 0.1)), weight_d, atol=1e-5)
    scaled_d = ridge_cox(50 * x_nd, times, np.full(3, 0.1 * 2500))
    np.testing.assert_allclose(scaled_d * 50, weight_d, atol=1e-5)


def test_without_events_nothing_is_learned(rng):
    times = Times(np.arange(5.0), np.zeros(5, dtype=bool), np.zeros(5))
    assert not ridge_cox(rng.normal(size=(5, 2)), times, np.ones(2)).any()
    assert partial_likelihood(np.ones(5), times) == 0


@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_it_agrees_with_lifelines(made, strength):
    lifelines = pytest.importorskip("lifelines")
    x_nd, times = made
    frame = pd.DataFrame(x_nd, columns=list("abc")).assign(t=times.time_n, e=times.event_n, s=times.stratum_n)
    theirs = lifelines.CoxPHFitter(penalizer=strength).fit(frame, "t", "e", strata="s")
    # lifelines scales the columns before it penalises them
    penalty_d = np.maximum(strength, 1e-9) * x_nd.var(0, ddof=1)
    np.testing.assert_allclose(ridge_cox(x_nd, times, penalty_d), theirs.params_, atol=2e-4)
    assert (
        partial_likelihood(x_nd @ theirs.params_.to_numpy(), times) == pytest.approx(theirs.log_likelihood_) or strength
    )


def test_the_baseline_is_breslows_sum(made, rng):
    x_nd, times = made
    eta_n = x_nd @ np.array([0.5, -0.2, 0.1])
    found = baseline_hazard(eta_n, times)
    for when in (0.0, 1.0, 3.5, 100.0):
        slow = sum(
            1 / np.exp(eta_n)[times.time_n >= t].sum() for t, d in zip(*times[:2], strict=True) if d and t <= when
        )
        assert found.at(np.array([when]))[0] == pytest.approx(slow)
