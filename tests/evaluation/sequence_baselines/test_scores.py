import re

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from omicsmlm.evaluation.sequence_baselines import output_scores, sequence_scores
from tests.test_bad_input import refused


@pytest.fixture
def truth_and_predicted(rng):
    truth_nt = np.round(rng.normal(size=(80, 5)), 1)  # with ties
    predicted_nt = np.round(truth_nt + rng.normal(0, 2, (80, 5)), 1)
    truth_nt[rng.random((80, 5)) < 0.2] = np.nan
    return truth_nt, predicted_nt, rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 80)


def centred(value_nt):
    return value_nt - np.nanmean(value_nt, axis=1, keepdims=True)


def slow_within(truth_m, predicted_m, group_m):
    """Group by group and pair by pair."""
    correlations, pairs = [], []
    for group in set(group_m):
        rows = np.flatnonzero(group_m == group)
        if len(set(truth_m[rows])) > 1:
            varies = len(set(predicted_m[rows])) > 1
            correlations.append(stats.spearmanr(truth_m[rows], predicted_m[rows])[0] if varies else 0)
        for i in rows:
            for j in rows:
                if truth_m[i] > truth_m[j]:
                    pairs.append((predicted_m[i] > predicted_m[j]) + 0.5 * (predicted_m[i] == predicted_m[j]))
    return np.mean(correlations), np.mean(pairs)


def test_scores_are_those_of_sklearn_and_scipy(truth_and_predicted):
    truth_nt, predicted_nt, group_n = truth_and_predicted
    found = output_scores(truth_nt, predicted_nt, group_n, names=list("vwxyz"))
    assert list(found.index) == list("vwxyz")
    own_nt, own_predicted_nt = centred(truth_nt), centred(np.where(np.isnan(truth_nt), np.nan, predicted_nt))
    for t in range(5):
        of_n = ~np.isnan(truth_nt[:, t])
        pair = truth_nt[of_n, t], predicted_nt[of_n, t]
        expected = [
            r2_score(*pair),
            stats.spearmanr(*pair)[0],
            stats.pearsonr(own_nt[of_n, t], own_predicted_nt[of_n, t])[0],
            *slow_within(*pair, group_n[of_n]),
        ]
        np.testing.assert_allclose(found.iloc[t], expected, rtol=1e-10)
    means = sequence_scores(truth_nt, predicted_nt, group_n)
    np.testing.assert_allclose(means, found.mean())
    assert list(means.index) == ["R2", "Spearman", "centred", "Spearman within", "pairs within"]


def test_the_level_of_a_row_does_not_count_as_tissue_specific(truth_and_predicted, rng):
    truth_nt, predicted_nt, _ = truth_and_predicted
    shifted = sequence_scores(truth_nt, predicted_nt + rng.normal(0, 9, (80, 1)))
    assert shifted["centred"] == pytest.approx(sequence_scores(truth_nt, predicted_nt)["centred"])
    level_nt = np.repeat(np.nanmean(truth_nt, axis=1, keepdims=True), 5, axis=1)
    assert sequence_scores(truth_nt, level_nt)["centred"] == pytest.approx(0, abs=1e-9)


def test_constants():
    truth_nt = np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    found = output_scores(truth_nt, np.full((3, 2), 7 / 3), ["a", "a", "b"])
    assert found.loc[0].drop("centred").tolist() == pytest.approx([0, 0, 0, 0.5])
    assert found.loc[1, ["R2", "Spearman", "Spearman within", "pairs within"]].isna().all()
    alone = output_scores(truth_nt[:, :1], truth_nt[:, :1], ["a", "b", "c"]).loc[0]
    assert alone["R2"] == 1
    assert alone[["centred", "Spearman within", "pairs within"]].isna().all()


@pytest.mark.parametrize(
    ("predicted", "groups", "message"),
    [
        (
            np.zeros((3, 1)),
            None,
            "predicted_nt: expected truth and predictions of one shape (n, t), got (3, 2) and (3, 1)",
        ),
        (
            np.full((3, 2), np.nan),
            None,
            "predicted_nt: expected finite predictions, got others in 3 observations; leave these",
        ),
        (
            np.zeros((3, 2)),
            ["a", "b"],
            "groups: expected a group for each observation, got others or missing ones; pass those",
        ),
        (
            np.zeros((3, 2)),
            ["a", "b", None],
            "groups: expected a group for each observation, got others or missing ones",
        ),
    ],
)
def test_wrong_input(predicted, groups, message):
    with refused(re.escape(message)):
        sequence_scores(np.arange(6.0).reshape(3, 2), predicted, groups)
