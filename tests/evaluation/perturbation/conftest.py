"""Observations that several files test with."""

import numpy as np
import pytest


@pytest.fixture
def cells():
    """Observations of two batches that differ by shift and scale, a third of them controls."""
    rng = np.random.default_rng(0)
    names = np.array(["control", "a", "b"] * 40)
    batches = np.repeat(["x", "y"], 60)
    x = rng.normal(size=(120, 4)) @ rng.normal(size=(4, 4))
    x = x * np.where(batches == "y", 3.0, 1.0)[:, None] + np.where(batches == "y", 9.0, 0.0)[:, None]
    return x, names, names == "control", batches
