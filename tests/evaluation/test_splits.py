import numpy as np
import pandas as pd
import pytest

from omicsmlm.evaluation import splits
from tests.test_bad_input import refused


@pytest.fixture
def obs(rng):
    n = 400
    patient = rng.integers(0, 150, n)
    cohort_of, event_of = rng.integers(0, 3, 150), rng.random(150) < 0.3
    return pd.DataFrame({"patient": patient, "cohort": cohort_of[patient], "event": event_of[patient]})


def test_folds_are_a_partition_and_hold_of_every_combination_alike(obs):
    found = splits(obs[["cohort", "event"]], n_folds=5, n_repeats=2)
    assert len(found) == 10
    for repeat in (found[:5], found[5:]):
        assert np.sort(np.concatenate([fold.test for fold in repeat])).tolist() == list(range(400))
    for fold in found:
        assert not set(fold.train) & set(fold.test)
        counts = obs.iloc[fold.test].groupby(["cohort", "event"]).size() - obs.groupby(["cohort", "event"]).size() / 5
        assert counts.abs().max() < 1
    assert set(found[0].test) != set(found[5].test)


def test_no_patient_is_torn_apart(obs):
    for fold in splits(obs[["cohort", "event"]], obs["patient"], n_folds=4, n_repeats=2):
        assert not set(obs["patient"].iloc[fold.train]) & set(obs["patient"].iloc[fold.test])
        assert abs(obs["event"].iloc[fold.test].mean() - obs["event"].mean()) < 0.1


def test_the_seed_decides(obs):
    first, same, other = (splits(obs["event"], seed=seed)[0].test for seed in (1, 1, 2))
    assert (first == same).all()
    assert set(first) != set(other)


def test_rare_and_missing_strata_do_no_harm():
    labels = ["a"] * 20 + ["b"] * 20 + ["c", None, "d"]
    assert sum(len(fold.test) for fold in splits(labels, n_folds=5)) == 43
    assert sum(len(fold.test) for fold in splits(labels, np.arange(43) // 2, n_folds=5)) == 43


@pytest.mark.parametrize(
    ("groups", "n_folds", "message"),
    [
        (["p"] * 3, 2, "groups: expected one per observation, 4, got 3; pass those of the same observations"),
        (["p", "q", None, "q"], 2, "groups: expected a group for each observation, got missing ones"),
        (["p", "p", "q", "q"], 3, "n_folds: expected a number from 2 to that of groups, 2, got 3"),
        (None, 1, "n_folds: expected a number from 2 to that of groups, 4, got 1"),
    ],
)
def test_wrong_input(groups, n_folds, message):
    with refused(message):
        splits(["a", "a", "b", "b"], groups, n_folds=n_folds)
