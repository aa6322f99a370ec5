from itertools import product

import numpy as np
import pytest
from scipy import stats

from omicsmlm.evaluation import mcnemar, sign_flip
from tests.test_bad_input import refused


def test_sign_flips_are_gone_through():
    first, second = np.array([3.0, 1.0, 4.0, 2.0, 2.0]), np.array([1.0, 2.0, 1.0, 1.0, 2.0])
    moved = [2, -1, 3, 1]
    sums = [abs(sum(s * d for s, d in zip(signs, moved, strict=True))) for signs in product((1, -1), repeat=4)]
    found = sign_flip(first, second)
    assert found == (pytest.approx(1.0), np.mean(np.array(sums) >= 5), 4)
    assert sign_flip(second, first).p_value == found.p_value


def test_many_pairs_are_drawn_and_agree_with_scipy(rng):
    first = rng.normal(0.3, 1, 60)
    found = sign_flip(first, np.zeros(60))
    theirs = stats.permutation_test((first,), np.mean, permutation_type="samples", n_resamples=9999)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.02)
    assert sign_flip(first, np.zeros(60)) == found
    assert sign_flip(first, first) == (0, 1, 0)


def test_mcnemar_is_a_binomial_test():
    first, second = np.repeat([1, 1, 0, 0], [50, 9, 2, 10]), np.repeat([1, 0, 1, 0], [50, 9, 2, 10])
    found = mcnemar(first, second)
    assert found.p_value == pytest.approx(stats.binomtest(9, 11).pvalue)
    assert (found.difference, found.n) == (pytest.approx(7 / 71), 11)
    assert mcnemar([1, 0], [1, 0]).p_value == 1


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([1, 2], [1]), "sign_flip: expected as many scores of both, got 2 and 1 scores; pass those of the same"),
        (([1, np.nan], [1, 2]), "sign_flip: expected finite scores, got NaN or infinity; leave these pairs out"),
    ],
)
def test_wrong_input(pair, message):
    with refused(message):
        sign_flip(*pair)
