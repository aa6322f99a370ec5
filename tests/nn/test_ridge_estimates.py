"""Estimates of components, whole and without each fold, against regressions fitted anew."""

import numpy as np
import pytest
from scipy import sparse

from omicsmlm.nn import ridge_estimates
from omicsmlm.nn._ridge_estimates import Estimates, FoldEstimates, shrunk


def test_ridge_estimates_are_those_of_leaving_each_row_out():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8)).astype(np.float32)
    target = x[:, :2] @ rng.normal(size=(2, 3)) + rng.normal(size=(60, 3))
    found = ridge_estimates(x, target, 0)
    centred, truth = x - x.mean(0), target - target.mean(0)
    strength = 3 * np.trace(centred @ centred.T) / 60
    left_out = np.empty_like(truth)
    for i in range(60):  # the ridge fitted without row i, on the same centred values
        others = np.arange(60) != i
        a, b = centred[others], truth[others]
        left_out[i] = centred[i] @ np.linalg.solve(a.T @ a + strength * np.eye(8), a.T @ b)
    r = np.array([np.corrcoef(left_out[:, k], truth[:, k])[0, 1] for k in range(3)]).clip(0.05, 0.98)
    np.testing.assert_allclose(found.precision_k, r**2 / (1 - r**2), rtol=1e-2)
    whole = np.linalg.solve(centred.T @ centred + strength * np.eye(8), centred.T @ truth)
    size = truth.std(0) / left_out.std(0)
    np.testing.assert_allclose(found.weights_gk, whole * size, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose((x @ found.weights_gk + found.offset_k).mean(0), target.mean(0), atol=1e-2)


def test_ridge_estimates_are_the_same_for_sparse_values():
    rng = np.random.default_rng(0)
    x = rng.poisson(0.5, (80, 30)).astype(np.float32)
    target = x[:, :4] + rng.normal(size=(80, 4))
    dense, packed = (ridge_estimates(values, target, 0) for values in (x, sparse.csr_matrix(x)))
    np.testing.assert_allclose(dense.weights_gk, packed.weights_gk, rtol=1e-2, atol=1e-4)


def test_estimates_are_shrunk_to_what_their_precision_lets_one_expect():
    """Of precision 9/16 r is .6, and of 0 nothing is left but the mean; without a fold the same of the sum of both maps."""
    folds = FoldEstimates(np.array([[[1.0, 2.0]]]), np.array([[0.5, -1.0]]))
    found = shrunk(
        Estimates(np.array([[2.0, 3.0]]), np.array([1.0, 7.0]), np.array([9 / 16, 0.0]), folds), np.array([4.0, 5.0])
    )
    np.testing.assert_allclose(found.weights_gk, [[1.2, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(found.offset_k, [0.6 * 1 + 0.4 * 4, 5.0], rtol=1e-6)
    np.testing.assert_allclose(found.folds.weights_fgk, [[[0.6, 0.0]]], rtol=1e-6)
    np.testing.assert_allclose(found.folds.offset_fk, [[0.3, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(found.precision_k, [9 / 16, 0.0])


def test_shrunken_estimates_have_the_least_squared_error():
    """Of estimates with the variance of the truth, r times the deviation from the mean predicts it best."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    target = 2 + x[:, :2] + 1.5 * rng.normal(size=(400, 2))
    found = ridge_estimates(x, target, 0)
    new = rng.normal(size=(4000, 6)).astype(np.float32)
    truth, less = 2 + new[:, :2] + 1.5 * rng.normal(size=(4000, 2)), shrunk(found, target.mean(0))

    def error(estimates, factor=1.0):
        predicted = new @ estimates.weights_gk + estimates.offset_k
        return ((2 + factor * (predicted - 2) - truth) ** 2).mean()

    assert error(less) < 0.9 * error(found)
    assert min(error(less, 0.8), error(less, 1.25)) > error(less)


def test_what_is_not_told_has_little_precision():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    found = ridge_estimates(x, np.stack([x[:, 0] + 0.1 * rng.normal(size=200), rng.normal(size=200)], 1), 0)
    assert found.precision_k[0] > 5
    assert found.precision_k[1] < 0.1


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("n", [6, 200])
def test_what_does_not_vary_tells_the_mean(form, n, rng):
    target = rng.normal(size=(n, 3)) + 2
    alike = np.tile(rng.random(40).astype(np.float32), (n, 1))
    found = ridge_estimates(form(alike), target, 0)
    assert not found.weights_gk.any()
    np.testing.assert_allclose(found.offset_k, target.mean(0), rtol=1e-6)
    assert (found.precision_k < 0.01).all()


def centred_case(g, seed=0):
    """60 observations of g features that have mean 0, as a fold's regression keeps the means of all; and two components."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, g)).astype(np.float32)
    x -= x.mean(0)
    target = x[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(60, 2))
    return x, target - target.mean(0), rng.permutation(60) % 3


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("g", [8, 150])
def test_the_estimates_of_a_fold_are_those_of_a_ridge_without_it(form, g):
    x, target, fold_n = centred_case(g)
    found = ridge_estimates(form(x), target, 0, fold_n)
    strength = 3 * np.trace(x @ x.T) / 60
    weights, left_out = [], np.empty_like(target)
    for f in range(3):
        others = fold_n != f
        a = x[others].astype(np.float64)
        weights.append(np.linalg.solve(a.T @ a + strength * np.eye(g), a.T @ target[others]))
        left_out[~others] = x[~others] @ weights[-1]
    size = target.std(0) / left_out.std(0)
    mean_g = x.mean(0)
    for f in range(3):
        own = fold_n == f
        estimate = x[own] @ (found.weights_gk + found.folds.weights_fgk[f]) + found.offset_k + found.folds.offset_fk[f]
        np.testing.assert_allclose(estimate, x[own] @ weights[f] * size, rtol=1e-2, atol=2e-2)
        shift = found.offset_k + found.folds.offset_fk[f] + mean_g @ (found.weights_gk + found.folds.weights_fgk[f])
        np.testing.assert_allclose(shift, 0, atol=1e-5)
    estimate = np.empty_like(target)
    for f in range(3):
        estimate[fold_n == f] = x[fold_n == f] @ (found.weights_gk + found.folds.weights_fgk[f])
    np.testing.assert_allclose(estimate.std(0), target.std(0), rtol=0.05)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_folds_leave_the_estimates_of_others_as_they_are(form):
    x, target, fold_n = centred_case(150)
    with_folds, without = ridge_estimates(form(x), target, 0, fold_n), ridge_estimates(form(x), target, 0)
    for one, other in zip(with_folds[:3], without[:3], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert without.folds is None


def test_a_fold_does_not_see_its_own_targets():
    """With more features than observations, the whole regression answers what it was told; the fold's does not."""
    x, target, fold_n = centred_case(400, seed=2)
    told = ridge_estimates(x, target, 0, fold_n)
    changed = target.copy()
    changed[fold_n == 1] = changed[fold_n == 1][::-1]
    other = ridge_estimates(x, changed, 0, fold_n)
    own = x[fold_n == 1]

    def direction(found, f):
        weights = found.weights_gk if f is None else found.weights_gk + found.folds.weights_fgk[f]
        return weights / np.linalg.norm(weights, axis=0)

    np.testing.assert_allclose(own @ direction(told, 1), own @ direction(other, 1), atol=1e-3)
    assert np.abs(own @ direction(told, None) - own @ direction(other, None)).max() > 0.3


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_a_fold_without_observations_is_no_matter(form):
    x, target, _ = centred_case(20)
    found = ridge_estimates(form(x), target, 0, np.where(np.arange(60) % 2, 2, 0))
    assert found.folds.weights_fgk.shape == (3, 20, 2)
    assert np.isfinite(found.folds.weights_fgk).all()


def test_folds_of_what_does_not_vary_say_the_mean_too():
    found = ridge_estimates(np.ones((60, 4), np.float32), centred_case(4)[1], 0, np.arange(60) % 3)
    assert found.folds.weights_fgk.shape == (3, 4, 2)
    assert not found.folds.weights_fgk.any()
    assert not found.folds.offset_fk.any()
