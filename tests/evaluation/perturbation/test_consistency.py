"""Agreement of the observations of a perturbation, against a loop and by hand."""

import numpy as np
import pytest

from omicsmlm.evaluation import perturbation
from omicsmlm.evaluation.perturbation._consistency import agreement


def slow_agreement(x):
    cosines = []
    for i in range(len(x)):
        others = sum(x[j] for j in range(len(x)) if j != i)
        cosines.append(float(x[i] @ others / np.linalg.norm(x[i]) / np.linalg.norm(others)))
    return sum(cosines) / len(cosines)


def test_the_agreement_of_a_loop_and_by_hand():
    x = np.random.default_rng(0).normal(size=(7, 3)) + 0.4
    assert agreement(x) == pytest.approx(slow_agreement(x))
    assert agreement(np.array([[1.0, 0], [2.0, 0]])) == pytest.approx(1)
    assert agreement(np.array([[1.0, 0], [-2.0, 0]])) == pytest.approx(-1)
    assert agreement(np.array([[1.0, 0], [0, 1], [0, 0]])) == pytest.approx(0), (
        "an observation of no length has no direction"
    )


def test_what_points_one_way_is_consistent_and_noise_is_not():
    rng = np.random.default_rng(1)
    names = np.repeat(["control", *(f"p{k}" for k in range(20)), "rare"], [60, *[15] * 20, 2])
    x = rng.normal(size=(len(names), 8))
    for k in range(5):
        x[names == f"p{k}"] += rng.normal(size=8)
    found = perturbation.consistency(x, names, names == "control", n_null=400)
    assert found.loc["p3", "cosine"] == pytest.approx(slow_agreement(x[names == "p3"]))
    assert (found.loc[[f"p{k}" for k in range(5)], "p"] < 0.01).all()
    assert found["p"].iloc[5:].min() > 0
    assert (found["p"] < 0.01).sum() <= 7, "a level of one in a hundred"
    assert found.attrs["fraction"] == pytest.approx((found["p"] < 0.01).mean())
    assert found.attrs["left_out"] == ["rare"]
    again = perturbation.consistency(x, names, names == "control", n_null=400)
    assert again.equals(found), "the seed decides"


def test_a_batch_effect_is_no_consistency():
    rng = np.random.default_rng(2)
    names = np.array(["control"] * 40 + ["a"] * 30 + ["b"] * 10)
    batches = np.array(["x"] * 20 + ["y"] * 20 + ["y"] * 30 + ["x"] * 10)
    x = rng.normal(size=(80, 5)) + 4 * (batches == "y")[:, None]
    naive = perturbation.consistency(x, names, names == "control", n_null=300)
    matched = perturbation.consistency(x, names, names == "control", batches, n_null=300)
    assert naive.loc["a", "p"] < 0.01, "all of its cells are in one batch"
    assert matched.loc["a", "p"] > 0.05


def test_too_few_draws_or_rows_are_refused(cells):
    x, names, is_control, _ = cells
    with pytest.raises(
        ValueError, match="n_null: expected more than 100 draws for the level 0.01, got 99; pass 1000, say"
    ):
        perturbation.consistency(x, names, is_control, n_null=99)
    with pytest.raises(
        ValueError, match="perturbations: expected one with 99 observations or more, got none; lower min_rows"
    ):
        perturbation.consistency(x, names, is_control, min_rows=99)
