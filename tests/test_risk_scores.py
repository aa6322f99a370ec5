"""Scores of risks against slow counts, hand-worked cases, scipy and lifelines."""

from itertools import combinations

import numpy as np
import pytest

from omicsmlm._risk_scores import brier, calibration, concordance, concordances
from tests.test_bad_input import refused


@pytest.fixture
def made(rng):
    """Risks with ties, tied times, censoring."""
    time_n = np.ceil(rng.exponential(8, 80))
    return rng.integers(0, 9, 80) / 3 - 0.05 * time_n.round(-1), time_n, rng.random(80) < 0.6


def slow_concordance(risk_n, time_n, event_n):
    right, pairs = 0.0, 0
    for i, j in combinations(range(len(risk_n)), 2):
        if (time_n[j], not event_n[j]) < (time_n[i], not event_n[i]):
            i, j = j, i
        if not event_n[i] or (time_n[i] == time_n[j] and event_n[j]):
            continue  # it is not known which came first
        pairs += 1
        right += (risk_n[i] > risk_n[j]) + 0.5 * (risk_n[i] == risk_n[j])
    return right / pairs


def test_concordance_counts_pairs(made):
    assert concordance(*made) == pytest.approx(slow_concordance(*made))
    assert concordance(1e-9 * made[0], *made[1:]) == pytest.approx(slow_concordance(*made)), "near is not equal"
    assert np.isnan(concordance([1, 2], [3, 3], [1, 1]))
    assert np.isnan(concordance([1, 2], [3, 4], [0, 0]))


def test_concordance_agrees_with_lifelines(made):
    utils = pytest.importorskip("lifelines.utils")
    assert concordance(*made) == pytest.approx(utils.concordance_index(made[1], -made[0], made[2]))


def test_strata_are_scored_apart_and_together(made):
    stratum_n = np.array(["a", "b", "b", "b"] * 20)
    table = concordances(*made, stratum_n)
    a, b = (concordance(*(part[stratum_n == name] for part in made)) for name in "ab")
    assert table["C-index"].to_dict() == pytest.approx(
        {"a": a, "b": b, "mean": (a + b) / 2, "weighted": (a + 3 * b) / 4, "pooled": concordance(*made)}
    )
    assert table["n"].tolist() == [20, 60, 80, 80, 80]
    assert concordances(*made, stratum_n, made[1])["C-index"]["pooled"] == pytest.approx(
        concordance(made[1], *made[1:])
    )
    alone = concordances([1, 2, 3], [1, 2, 3], [1, 1, 1], ["a", "a", "b"])
    assert np.isnan(alone["C-index"]["b"])
    assert alone["C-index"]["mean"] == alone["C-index"]["a"] == 0


def test_brier_without_censoring_is_the_mean_square(rng):
    time_n, survival_nt = rng.exponential(1, 30), rng.random((30, 2))
    at_t = np.array([0.5, 1.0])
    slow = [((survival_nt[:, k] - (time_n > t)) ** 2).mean() for k, t in enumerate(at_t)]
    np.testing.assert_allclose(brier(survival_nt, at_t, time_n, np.ones(30)), slow)


def test_brier_weighs_by_the_censoring_curve(made, rng):
    _, time_n, event_n = made
    survival_nt, at_t = rng.random((80, 2)), np.array([4.0, 9.0])

    def censoring(when):  # Kaplan and Meier of the censoring; events at a time come before censorings
        left = 1.0
        for t in np.unique(time_n[~event_n]):
            if t <= when:
                at_risk = (time_n >= t).sum() - ((time_n == t) & event_n).sum()
                left *= 1 - ((time_n == t) & ~event_n).sum() / at_risk
        return left

    slow = np.zeros(2)
    for k, t in enumerate(at_t):
        for i in range(80):
            if time_n[i] <= t and event_n[i]:
                slow[k] += survival_nt[i, k] ** 2 / censoring(time_n[i]) / 80
            elif time_n[i] > t:
                slow[k] += (1 - survival_nt[i, k]) ** 2 / censoring(t) / 80
    np.testing.assert_allclose(brier(survival_nt, at_t, time_n, event_n), slow, rtol=1e-6)


def test_calibration_compares_groups_with_their_curves(rng):
    time_n = rng.exponential(1, 4000) * np.repeat([1.0, 3.0], 2000)
    exact_n = np.exp(-1 / np.repeat([1.0, 3.0], 2000))
    table = calibration(exact_n, time_n, np.ones(4000), 1.0, n_groups=2)
    assert table["n"].tolist() == [2000, 2000]
    assert table.attrs["error"] < 0.02
    assert calibration(exact_n**3, time_n, np.ones(4000), 1.0).attrs["error"] > 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1], [1, 1]), "concordance: expected as many entries of each, got 2 of event for 1 times"),
        (([1], [-1], [1]), "concordance: expected finite times that are not negative, got others"),
        (([1], [1], [2]), "concordance: expected events that are 0 or 1, got others; code them"),
    ],
)
def test_wrong_input(arguments, message):
    with refused(message):
        concordance(*arguments)


def test_brier_takes_times_in_any_order_and_again(made, rng):
    _, time_n, event_n = made
    survival_nt = rng.random((80, 4))
    at_t = np.array([9.0, 3.0, 9.0, 5.0])
    each = [brier(survival_nt[:, [k]], [t], time_n, event_n)[0] for k, t in enumerate(at_t)]
    np.testing.assert_allclose(brier(survival_nt, at_t, time_n, event_n), each)
    assert each[0] != each[2], "two predictions for one time are two scores"


def test_scores_refuse_what_is_not_finite(made, rng):
    risk_n, time_n, event_n = made
    with refused("concordance: expected a risk of each observation, got NaN in 1 of 80"):
        concordance(np.r_[np.nan, risk_n[1:]], time_n, event_n)
    with refused("brier: expected finite probabilities, got NaN"):
        brier(np.full((80, 1), np.nan), [3.0], time_n, event_n)
    with refused("brier: expected finite times that are not negative, got"):
        brier(rng.random((80, 2)), [3.0, np.nan], time_n, event_n)
    with refused("brier: expected one column of probabilities for each time, got shape"):
        brier(rng.random((80, 2)), [3.0], time_n, event_n)
