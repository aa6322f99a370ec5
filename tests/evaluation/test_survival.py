import numpy as np
import pytest

from omicsmlm.evaluation import survival
from tests.test_bad_input import refused


def test_groups_are_of_equal_size_within_strata(rng):
    risk_n, stratum_n = rng.normal(size=90), np.repeat(["a", "b"], 45)
    risk_n[stratum_n == "b"] += 100
    group_n = survival.risk_groups(risk_n, 3, stratum_n)
    for name in ("a", "b"):
        own_n = risk_n[stratum_n == name]
        low, high = (own_n[group_n[stratum_n == name] == group] for group in ("low", "high"))
        assert len(low) == len(high) == 15
        assert low.max() < high.min()
    assert set(survival.risk_groups(risk_n, 4)) == {"1", "2", "3", "4"}


def test_the_scores_are_there():
    assert survival.concordance([2, 1], [1, 2], [1, 1]) == 1
    assert survival.log_rank([1, 2, 8, 9], [1, 1, 1, 1], ["a", "a", "b", "b"]).p_value < 0.1


@pytest.mark.parametrize(
    ("risk", "n_groups", "message"),
    [
        ([1, 2], 1, "risk_groups: expected at least two groups, got 1"),
        ([1, np.nan], 2, "risk_groups: expected finite risks, got NaN"),
    ],
)
def test_wrong_input(risk, n_groups, message):
    with refused(message):
        survival.risk_groups(risk, n_groups)
