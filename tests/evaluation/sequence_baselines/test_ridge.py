import re

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from omicsmlm.evaluation import splits
from omicsmlm.evaluation.sequence_baselines import (
    concatenated,
    ridge,
)
from tests.test_bad_input import refused

STRENGTHS = (0.1, 3.0, 100.0)


def problem(rng, n, d, t=4):
    x_nd = rng.normal(2, 3, (n, d))
    y_nt = x_nd @ rng.normal(size=(d, t)) + rng.normal(0, 5, (n, t))
    y_nt[rng.random((n, t)) < 0.1] = np.nan
    y_nt[:, 1] = np.where(np.isnan(y_nt[:, 0]), np.nan, rng.normal(size=n))  # measured where the first is
    return x_nd, y_nt, rng.random(n) < 0.7


def sklearn_ridge(x_nd, y_nt, trained_n, strength):
    scaled = (x_nd - x_nd[trained_n].mean(0)) / x_nd[trained_n].std(0)
    columns = []
    for y_n in y_nt.T:
        of_n = trained_n & np.isfinite(y_n)
        columns.append(Ridge(strength, solver="svd").fit(scaled[of_n], y_n[of_n]).predict(scaled))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(("n", "d"), [(80, 7), (60, 90)])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_solution_is_that_of_sklearn_for_each_output(rng, n, d, strength):
    x_nd, y_nt, trained_n = problem(rng, n, d)
    found = ridge(x_nd, y_nt, trained_n, strengths=[strength])
    np.testing.assert_allclose(found, sklearn_ridge(x_nd, y_nt, trained_n, strength), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("n", "d"), [(80, 7), (60, 90)])
def test_strength_is_that_of_a_slow_loop_over_folds(rng, n, d):
    x_nd, y_nt, trained_n = problem(rng, n, d)
    groups = rng.integers(0, 20, n)
    rows = np.flatnonzero(trained_n)
    variance_t = np.nanvar(y_nt[rows], axis=0)
    scaled = (x_nd - x_nd[rows].mean(0)) / x_nd[rows].std(0)
    errors = dict.fromkeys(STRENGTHS, 0.0)
    for fold in splits(np.zeros(len(rows)), groups[rows], n_folds=5, seed=3):
        for strength in STRENGTHS:
            for t, y_n in enumerate(y_nt.T):
                of = rows[fold.train][np.isfinite(y_n[rows[fold.train]])]
                fit = Ridge(strength, solver="svd").fit(scaled[of], y_n[of])
                error = (fit.predict(scaled[rows[fold.test]]) - y_n[rows[fold.test]]) ** 2
                errors[strength] += np.nansum(error) / variance_t[t]
    best = min(errors, key=errors.get)
    found = ridge(x_nd, y_nt, trained_n, groups=groups, strengths=STRENGTHS, seed=3)
    np.testing.assert_array_equal(found, ridge(x_nd, y_nt, trained_n, strengths=[best]))
    assert all(
        np.abs(found - ridge(x_nd, y_nt, trained_n, strengths=[other])).max() > 1e-3
        for other in STRENGTHS
        if other != best
    )


def test_targets_of_other_rows_are_not_looked_at(rng):
    x_nd, y_nt, trained_n = problem(rng, 60, 5)
    changed_nt = np.where(trained_n[:, None], y_nt, np.nan)
    np.testing.assert_array_equal(ridge(x_nd, y_nt, trained_n), ridge(x_nd, changed_nt, trained_n))


def test_features_that_do_not_vary_do_no_harm(rng):
    x_nd, y_nt, trained_n = problem(rng, 60, 5)
    constant_nd = np.hstack([x_nd, np.full((60, 1), 0.1), np.zeros((60, 1))])
    np.testing.assert_allclose(ridge(constant_nd, y_nt, trained_n), ridge(x_nd, y_nt, trained_n), rtol=1e-5)


def test_absent_modalities_are_the_mean_of_the_others(rng):
    rna_nd, protein_nd = rng.normal(3, 2, (50, 4)), rng.normal(-1, 5, (50, 9))
    protein_nd[rng.random(50) < 0.4] = np.nan
    trained_n = np.arange(50) < 40
    found = concatenated({"rna": rna_nd, "protein": protein_nd}, trained_n)
    assert found.shape == (50, 4 + 9 + 1)
    visible_n = np.isfinite(protein_nd[:, 0])
    np.testing.assert_array_equal(found[:, -1], visible_n)
    assert (found[~visible_n, 4:] == 0).all()
    np.testing.assert_allclose(found[trained_n, :-1].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found[trained_n, :4].var(axis=0), 1 / 4)
    np.testing.assert_allclose(found[trained_n & visible_n, 4:13].var(axis=0), 1 / 9)


X, Y, ALL = np.zeros((12, 2)), np.zeros((12, 1)), np.ones(12, dtype=bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ridge(X[:5], Y, ALL), "ridge: expected as many rows of features and targets, both (n, columns), and booleans, got features (5, 2), targets (12, 1) and (12,) of bool"),
        (lambda: ridge(X, Y, np.arange(12)), "and (12,) of int64; pass those of the same observations"),
        (lambda: ridge(np.full((12, 2), np.nan), Y, ALL), "features_nd: expected finite values, got NaN or infinity in 12 observations; leave these observations out, or pass absent"),
        (lambda: ridge(X, Y, ALL, strengths=[0.0]), "strengths: expected positive numbers, got [0.0]; pass such"),
        (lambda: ridge(X, Y, np.arange(12) < 9), "targets_nt: expected each output measured in 10 training observations, got one in 9; leave it out"),
        (lambda: concatenated({}, ALL), "features: expected at least one modality, got none; pass some"),
        (lambda: concatenated({"rna": X[:3]}, ALL), "rna: expected features (n, d) of 12 observations, got (3, 2); pass those"),
        (lambda: concatenated({"rna": X * np.nan}, ALL), "rna: expected some training observation that has it, got none; leave"),
    ],
)  # fmt: skip
def test_wrong_input(call, message):
    with refused(re.escape(message)):
        call()
