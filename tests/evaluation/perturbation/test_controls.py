"""Embeddings relative to controls, against loops and step by step."""

import math

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from omicsmlm.evaluation import perturbation


@pytest.mark.parametrize("function", ["centre", "standardise"])
@pytest.mark.parametrize("batched", [False, True])
def test_relative_to_the_controls_of_a_loop(cells, function, batched):
    x, _, is_control, batches = cells
    found = getattr(perturbation, function)(x, is_control, batches if batched else None)
    for i in range(len(x)):
        own = [j for j in range(len(x)) if is_control[j] and (not batched or batches[j] == batches[i])]
        for d in range(x.shape[1]):
            mean = sum(x[j, d] for j in own) / len(own)
            deviation = math.sqrt(sum((x[j, d] - mean) ** 2 for j in own) / len(own))
            expected = x[i, d] - mean if function == "centre" else (x[i, d] - mean) / deviation
            assert found[i, d] == pytest.approx(expected)


def test_a_dimension_in_which_controls_agree_is_only_centred():
    assert perturbation.standardise([[1.0], [1.0], [4.0]], np.array([True, True, False])).ravel().tolist() == [0, 0, 3]


@pytest.mark.parametrize("batched", [False, True])
def test_tvn_step_by_step(cells, batched):
    x, _, is_control, batches = cells
    found = perturbation.tvn(x, is_control, batches if batched else None)
    z = (x - x[is_control].mean(0)) / x[is_control].std(0)
    _, axes = np.linalg.eigh(np.cov(z[is_control], rowvar=False))
    z = z @ axes[:, ::-1]
    for batch in np.unique(batches) if batched else [None]:
        own = batches == batch if batched else np.ones(len(x), dtype=bool)
        controls = own & is_control
        z[own] = (z[own] - z[controls].mean(0)) / z[controls].std(0)
        if batched:
            z[own] = z[own] @ fractional_matrix_power(np.cov(z[controls], rowvar=False) + 0.5 * np.eye(4), -0.5)
    # the sign of a principal axis is free, and a whitening is the same for either
    np.testing.assert_allclose(np.abs(found), np.abs(z), atol=1e-6)
    np.testing.assert_allclose(found @ found.T, z @ z.T, atol=1e-6)


def test_tvn_of_few_controls_keeps_as_many_axes():
    x = np.random.default_rng(0).normal(size=(9, 6))
    found = perturbation.tvn(x, np.arange(9) < 4, ["x"] * 9)
    assert found.shape == (9, 4)
    assert np.isfinite(found).all()


def test_profiles_are_means_without_controls(cells):
    x, names, is_control, _ = cells
    found = perturbation.profiles(x, names, is_control)
    assert list(found.index) == ["a", "b"]
    np.testing.assert_allclose(found.loc["b"], x[names == "b"].mean(0))


def no_controls(x, is_control, batches):
    return x, is_control & (batches == "x"), batches


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, c, b: (x[0], c, b), r"embedding: expected finite values of shape \(n, d\), got shape \(4,\); pass"),
        (
            lambda x, c, b: (x * np.nan, c, b),
            r"embedding: expected finite values of shape \(n, d\), got NaN or infinity",
        ),
        (
            lambda x, c, b: (x, c[1:], b),
            r"is_control: expected 120 booleans, one per observation, got bool of shape \(119,\); pass",
        ),
        (
            lambda x, c, b: (x, c * 1, b),
            r"is_control: expected 120 booleans, one per observation, got int64 of shape \(120,\)",
        ),
        (
            lambda x, c, b: (x, c, b[1:]),
            "batches: expected 120 names, one per observation, got 119; pass a column of the .obs",
        ),
        (
            lambda x, c, b: (x, c, [None, *b[1:]]),
            "batches: expected 120 names, one per observation, got 1 missing; pass a column",
        ),
        (
            no_controls,
            "batch 'y': expected at least 2 controls, got 0; leave these observations out, or pass no batches",
        ),
        (
            lambda x, c, b: (x, c & False, None),
            "is_control: expected at least 2 controls, got 0; leave these observations out",
        ),
    ],
)
def test_what_does_not_fit_is_refused(cells, change, message):
    x, _, is_control, batches = cells
    with pytest.raises(ValueError, match=message):
        perturbation.tvn(*change(x, is_control, batches))
