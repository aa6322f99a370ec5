"""Scores of risk in one scale, their slope and their baselines, against loops over observations."""

import numpy as np
import pytest

from omicsmlm._cox import Times
from omicsmlm.models.survival._ensemble import RiskEnsemble, complete


@pytest.fixture
def scores(rng):
    """Two scores of 300 observations in three strata, of other means and spreads in each; a sixth of the values missing."""
    stratum_n = rng.integers(0, 3, 300)
    score_np = rng.normal(size=(300, 2)) * np.array([1.0, 3.0, 0.2])[stratum_n, None] + 10 * stratum_n[:, None]
    score_np[rng.random((300, 2)) < 1 / 6] = np.nan
    return score_np, Times(rng.exponential(1 + stratum_n), rng.random(300) < 0.7, stratum_n)


def standardised_mean(own_p, mean_p, deviation_p):
    known = [(own - m) / d for own, m, d in zip(own_p, mean_p, deviation_p, strict=True) if np.isfinite(own)]
    return np.mean(known) if known else 0.0


def test_scores_are_standardised_within_their_stratum(scores):
    score_np, times = scores
    found = RiskEnsemble.fit(score_np, times, 3).mean(score_np, times.stratum_n)
    for i in range(300):
        own = score_np[times.stratum_n == times.stratum_n[i]]
        assert found[i] == pytest.approx(standardised_mean(score_np[i], np.nanmean(own, 0), np.nanstd(own, 0)))


def test_a_stratum_never_seen_is_centred_on_all_and_scaled_by_the_spread_within_strata(scores):
    score_np, times = scores
    found = RiskEnsemble.fit(score_np, times, 3).mean(score_np, np.full(300, -1))
    within_np = score_np - np.stack([np.nanmean(score_np[times.stratum_n == s], 0) for s in range(3)])[times.stratum_n]
    mean_p, deviation_p = np.nanmean(score_np, 0), np.nanstd(within_np, 0)
    assert (deviation_p < np.nanstd(score_np, 0) / 2).all(), (
        "the means of the strata differ by more than what is in them"
    )
    expected = [standardised_mean(own_p, mean_p, deviation_p) for own_p in score_np]
    np.testing.assert_allclose(found, expected)


def test_a_score_that_nobody_has_changes_nothing(scores):
    score_np, times = scores
    with_none = np.column_stack([np.full(300, np.nan), score_np])
    for stratum_n in (times.stratum_n, np.full(300, -1)):
        first, second = (RiskEnsemble.fit(s, times, 3).log_risk(s, stratum_n) for s in (score_np, with_none))
        np.testing.assert_allclose(first, second)


def test_observations_are_complete_with_the_last_score_or_where_none_has_it_with_any():
    nan = np.nan
    assert complete(np.array([[1.0, 2.0], [1.0, nan], [nan, nan]])).tolist() == [True, False, False]
    assert complete(np.array([[1.0, nan], [nan, nan]])).tolist() == [True, False]
