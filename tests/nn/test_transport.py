"""Optimal transport against a linear programme, a slow computation in logarithms, and types of known frequencies."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from omicsmlm.nn import _transport
from omicsmlm.nn._transport import transported


def slow_projection(estimate_nk, component_mk, scale_k, entropy):
    """The barycentric projection by 1,500 rounds in logarithms, of all pairs one by one."""
    n, m = len(estimate_nk), len(component_mk)
    cost = np.array([[np.sum(((a - b) * scale_k) ** 2) for b in component_mk] for a in estimate_nk])
    kernel = -cost / (entropy * np.median(cost))
    f, g = np.zeros(n), np.zeros(m)
    for _ in range(1500):
        f = -np.log(n) - logsumexp(kernel + g, axis=1)
        g = -np.log(m) - logsumexp(kernel + f[:, None], axis=0)
    plan = np.exp(kernel + f[:, None] + g)
    np.testing.assert_allclose(plan.sum(1), 1 / n, rtol=1e-3)
    return plan @ component_mk / plan.sum(1, keepdims=True)


@pytest.mark.parametrize("far", [0.0, 100.0])
def test_estimates_are_carried_where_a_slow_computation_carries_them(rng, monkeypatch, far):
    monkeypatch.setattr(_transport, "TOLERANCE", 1e-9)
    monkeypatch.setattr(_transport, "ENTROPY", 0.5)
    monkeypatch.setattr(_transport, "MOST_ROUNDS", 1500)
    monkeypatch.setattr(_transport, "BLOCK", 7)
    estimates, components = rng.normal(size=(20, 3)).astype(np.float32), rng.normal(size=(20, 3)).astype(np.float32)
    estimates[0] += far  # an outlier whose exponentials would all be 0
    scale = np.array([1.0, 0.5, 0.1])
    found = transported(estimates, components, scale, 0)
    np.testing.assert_allclose(
        found, slow_projection(estimates, components, scale, _transport.ENTROPY), rtol=1e-3, atol=1e-4
    )


def test_with_little_entropy_it_is_the_best_assignment(rng, monkeypatch):
    monkeypatch.setattr(_transport, "ENTROPY", 0.001)
    monkeypatch.setattr(_transport, "MOST_ROUNDS", 20_000)
    estimates, components = rng.normal(size=(8, 2)), rng.normal(size=(8, 2))
    cost = ((estimates[:, None] - components) ** 2).sum(2)
    _, assigned = linear_sum_assignment(cost)
    np.testing.assert_allclose(transported(estimates, components, np.ones(2), 0), components[assigned], atol=0.05)


def test_types_keep_their_frequencies_where_nearness_alone_would_not(rng):
    is_first = np.arange(1000) < 300
    components = np.where(is_first, -1.0, 1.0)[:, None] + 0.1 * rng.normal(size=(1000, 1))
    estimates = (
        0.4 * np.where(is_first, -1.0, 1.0)[:, None] + 0.7 + 0.05 * rng.normal(size=(1000, 1))
    )  # moved: the first at .3
    carried = transported(estimates, components, np.ones(1), 0)
    assert (np.sign(carried[:, 0]) == np.where(is_first, -1, 1)).mean() > 0.98
    assert (np.sign(estimates[:, 0]) == np.where(is_first, -1, 1)).mean() < 0.8


def test_what_is_not_told_stays_near_the_mean(rng):
    components = rng.normal(size=(500, 2))
    estimates = np.column_stack([components[:, 0], rng.normal(size=500)])[rng.permutation(500)]
    carried = transported(estimates, components, np.array([1.0, 0.0]), 0)
    assert carried[:, 0].std() > 0.9
    assert carried[:, 1].std() < 0.35


def test_a_sample_stands_for_all(rng, monkeypatch):
    monkeypatch.setattr(_transport, "MOST_TRANSPORTED", 300)
    components = rng.normal(size=(800, 1))
    estimates = np.sort(rng.normal(size=(700, 1)), axis=0) * 0.5 + 3
    carried = transported(estimates, components, np.ones(1), 0)
    assert np.corrcoef(carried[:, 0], estimates[:, 0])[0, 1] > 0.97
    assert abs(carried.mean() - components.mean()) < 0.15
    np.testing.assert_array_equal(carried, transported(estimates, components, np.ones(1), 0))


def test_estimates_that_do_not_vary_are_carried_to_the_mean():
    components = np.array([[0.0], [2.0], [4.0]])
    np.testing.assert_allclose(transported(np.zeros((4, 1)), components, np.zeros(1), 0), 2.0)
