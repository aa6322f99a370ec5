"""Scales of single features against numpy, feature by feature."""

import numpy as np
import pytest
import torch

from omicsmlm.tokenizers._feature_scales import N_FEATURE_KNOTS, feature_quantiles, from_levels, to_levels

LEVELS = np.linspace(0, 1, N_FEATURE_KNOTS)


@pytest.fixture
def values() -> np.ndarray:
    """Five features: plain, with gaps, half of it zeros, constant, and never measured."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, (41, 5))
    x[rng.random(41) < 0.3, 1] = np.nan
    x[:20, 2] = 0.0
    x[20:, 2] = np.abs(x[20:, 2])
    x[:, 3] = 7.0
    x[:, 4] = np.nan
    return x


def test_quantiles_are_those_of_numpy_where_a_feature_was_measured(values):
    found = feature_quantiles(values)
    assert found.shape == (5, N_FEATURE_KNOTS)
    for j in range(4):
        np.testing.assert_allclose(found[j], np.nanquantile(values[:, j], LEVELS), atol=1e-12)
    assert not found[4].any()


def test_levels_are_interpolated_between_the_knots_of_the_feature(values):
    knots = feature_quantiles(values)
    at, feature = np.nonzero(~np.isnan(values))
    x = np.concatenate([values[at, feature], [-100.0, 100.0]])
    feature = np.concatenate([feature, [0, 1]])
    found = to_levels(
        torch.tensor(x), torch.tensor(feature), torch.tensor(knots), torch.tensor(LEVELS, dtype=torch.float64)
    ).numpy()
    for value, j, level in zip(x, feature, found, strict=True):
        own, last = np.unique(knots[j][::-1], return_index=True)  # of equal knots the highest level
        expected = 1.0 if len(own) == 1 and value >= own[0] else np.interp(value, own, LEVELS[::-1][last])
        # Just below a value that is many quantiles, the line goes to the lowest of their levels.
        if j != 2 or value == 0:
            assert level == pytest.approx(expected, abs=1e-9)
    assert found[-2:].tolist() == [0.0, 1.0]
    zeros = found[:-2][(feature[:-2] == 2) & (x[:-2] == 0)]
    assert (zeros == zeros[0]).all()
    assert 0.4 < zeros[0] < 0.55, "half of the feature's values are 0"
    positive = found[:-2][(feature[:-2] == 2) & (x[:-2] > 0)]
    assert (positive > zeros[0]).all()


def test_values_come_back_from_their_levels(values):
    knots, levels = torch.tensor(feature_quantiles(values)), torch.tensor(LEVELS)
    x = torch.tensor(values[:, :1])
    level = to_levels(x[:, 0], torch.zeros(41, dtype=torch.int64), knots, levels)
    torch.testing.assert_close(from_levels(level[:, None], knots[:1], levels), x)
    assert from_levels(torch.tensor([[0.3, 0.9]]).double(), knots[3:], levels).tolist() == [[7.0, 0.0]]
