"""Mixing of batches among neighbours, against a loop."""

import math

import numpy as np
import pandas as pd
import pytest

from omicsmlm.evaluation import perturbation


def test_ilisi_of_a_loop():
    rng = np.random.default_rng(0)
    x, batches = rng.normal(size=(60, 2)), rng.choice(["x", "y", "z"], 60)
    x[batches == "x"] += 1.5
    effective = []
    for i in range(60):
        distance = np.linalg.norm(x - x[i], axis=1)
        near = [j for j in np.argsort(distance) if j != i][:12]
        low, high = 1e-6, 1e6
        for _ in range(200):
            beta = math.sqrt(low * high)
            weight = np.exp(-beta * (distance[near] - distance[near].min()))
            weight /= weight.sum()
            entropy = -sum(w * math.log(w) for w in weight if w > 0)
            low, high = (beta, high) if entropy > math.log(4) else (low, beta)
        shares = [weight[[batches[j] == b for j in near]].sum() for b in "xyz"]
        effective.append(1 / sum(fraction**2 for fraction in shares))
    found = perturbation.ilisi(x, batches, n_neighbors=12)
    assert found == pytest.approx((np.median(effective) - 1) / 2, rel=1e-4)


def test_ilisi_needs_two_batches():
    with pytest.raises(ValueError, match="batches: expected at least two, got 1; pass another column"):
        perturbation.ilisi(np.eye(4), ["x"] * 4)


def test_identical_rows_are_no_trouble():
    assert perturbation.ilisi(np.zeros((40, 2)), pd.Series(["x", "y"] * 20), n_neighbors=39) == pytest.approx(
        1, abs=0.01
    )
