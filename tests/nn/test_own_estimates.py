"""A modality's own components as estimates of themselves, against halves of the features and a power step over the others."""

import numpy as np
import pytest
from scipy import sparse

from omicsmlm.nn import own_estimates


def test_two_halves_tell_how_precise_a_component_is():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=500)
    x = (signal[:, None] + rng.normal(size=(500, 40)) * 4).astype(np.float32)
    weights = np.stack([np.full(40, 0.025), rng.normal(size=40)], 1).astype(np.float32)
    found = own_estimates(x, weights, 0)
    assert 1.2 < found.precision_k[0] < 5, "40 features of signal over noise 1/16 each: 2.5"
    assert found.precision_k[1] < 0.5
    assert not found.offset_k.any()
    np.testing.assert_array_equal(found.weights_gk, weights)


def own_case(form):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(90, 3)) * [6, 4, 3]) @ rng.normal(size=(3, 30)) + rng.normal(size=(90, 30))
    x = form((x - x.mean(0)).astype(np.float32))
    vt = np.linalg.svd(np.asarray(x.todense()) if sparse.issparse(x) else x, full_matrices=False)[2][:2]
    weights = vt.T / (x @ vt.T).std(0)
    return x, weights.astype(np.float32), rng.permutation(90) % 3


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_directions_without_a_fold_are_a_power_step_over_the_others(form):
    x, weights, fold_n = own_case(form)
    found = own_estimates(x, weights, 0, fold_n)
    for f in range(3):
        others = fold_n != f
        step = x[others].T @ (x[others] @ weights)
        step *= np.linalg.norm(weights, axis=0) / np.linalg.norm(x.T @ (x @ weights), axis=0) * 90 / others.sum()
        np.testing.assert_allclose(weights + found.folds.weights_fgk[f], step, rtol=2e-2, atol=1e-3)
        others_mean = (x[others] @ (weights + found.folds.weights_fgk[f]) + found.folds.offset_fk[f]).mean(0)
        np.testing.assert_allclose(others_mean, (x[others] @ weights).mean(0), atol=1e-4)
    np.testing.assert_array_equal(found.weights_gk, weights)


def test_differences_between_groups_are_in_no_direction_of_a_fold():
    x, weights, fold_n = own_case(np.asarray)
    groups = np.arange(90) % 2
    apart = x + 20 * groups[:, None]
    found, plain = own_estimates(apart, weights, 0, fold_n, groups), own_estimates(apart, weights, 0, fold_n)
    between = np.ones(30) / np.sqrt(30)
    assert np.abs(between @ found.folds.weights_fgk[0]).max() < np.abs(between @ plain.folds.weights_fgk[0]).max()


def test_directions_without_weights_stay_so():
    x, weights, fold_n = own_case(np.asarray)
    weights[:, 1] = 0
    assert not own_estimates(x, weights, 0, fold_n).folds.weights_fgk[:, :, 1].any()
