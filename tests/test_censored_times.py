"""Kaplan-Meier and log-rank by hand and against scipy and lifelines."""

import numpy as np
import pytest
from scipy import stats

from omicsmlm._censored_times import at_time, checked_times, kaplan_meier, log_rank
from tests.test_bad_input import refused


@pytest.fixture
def made(rng):
    """Risks with ties, tied times, censoring."""
    time_n = np.ceil(rng.exponential(8, 80))
    return rng.integers(0, 9, 80) / 3 - 0.05 * time_n.round(-1), time_n, rng.random(80) < 0.6


def test_kaplan_meier_by_hand():
    curve = kaplan_meier([1, 1, 2, 3, 4], [1, 0, 1, 0, 1])
    assert curve.to_dict() == pytest.approx({0: 1, 1: 4 / 5, 2: 4 / 5 * 2 / 3, 3: 4 / 5 * 2 / 3, 4: 0})
    assert kaplan_meier([2, 3], [0, 0]).to_dict() == {0: 1, 2: 1, 3: 1}


def test_a_curve_is_read_at_the_last_step_before():
    curve = kaplan_meier([1, 1, 2, 3, 4], [1, 0, 1, 0, 1])
    assert [at_time(curve, t) for t in (0, 0.9, 1, 1.5, 2)] == pytest.approx([1, 1, 4 / 5, 4 / 5, 8 / 15])


def test_log_rank_of_two_groups_is_scipys(made):
    risk_n, time_n, event_n = made
    high_n = risk_n > np.median(risk_n)
    halves = [stats.CensoredData.right_censored(time_n[part], ~event_n[part]) for part in (high_n, ~high_n)]
    theirs = stats.logrank(*halves)
    found = log_rank(time_n, event_n, high_n)
    assert found.statistic == pytest.approx(theirs.statistic**2)
    assert found.p_value == pytest.approx(theirs.pvalue)


def test_log_rank_of_many_groups_agrees_with_lifelines(made, rng):
    theirs = pytest.importorskip("lifelines.statistics")
    _, time_n, event_n = made
    group_n = rng.integers(0, 4, 80)
    found = log_rank(time_n, event_n, group_n)
    assert found.n_degrees == 3
    assert found.p_value == pytest.approx(theirs.multivariate_logrank_test(time_n, group_n, event_n).p_value)


def test_log_rank_within_strata_ignores_what_strata_explain(rng):
    stratum_n = rng.integers(0, 2, 400)
    group_n = np.where(rng.random(400) < 0.8, stratum_n, 1 - stratum_n)
    time_n = rng.exponential(np.where(stratum_n == 0, 1, 6))
    assert log_rank(time_n, np.ones(400), group_n).p_value < 1e-6
    assert log_rank(time_n, np.ones(400), group_n, stratum_n).p_value > 0.01


def test_one_group_cannot_be_compared():
    with refused("log_rank: expected at least two groups, got 1"):
        log_rank([1, 2], [1, 1], ["a", "a"])


def test_columns_are_of_equal_length_and_one_axis():
    time_n, event_n, other_n = checked_times("place", [1, 2], [0, 1], other=["a", "b"])
    assert (time_n.dtype, event_n.dtype, other_n.tolist()) == (np.float64, bool, ["a", "b"])
    with refused("place: expected times that are numbers, got"):
        checked_times("place", ["soon"], [1])
    with refused("place: expected event of each observation, got 2 axes"):
        checked_times("place", [1, 2], [[0], [1]])
