"""Running sums give what is computed of all observations at once, however they are divided into batches."""

import numpy as np
import pandas as pd
import pytest
import torch

from omicsmlm._types import Grid
from omicsmlm.models.base import _feature_sums
from omicsmlm.models.base._feature_sums import LEAST_DEVIATION, CorrelationSums, LabelSums

N, G, D, K = 40, 6, 3, 3


@pytest.fixture
def observations(rng):
    """Scaled values, where they are visible, a whitened embedding, attributions, labels."""
    visible_ng = rng.random((N, G)) < 0.7
    visible_ng[:, 4] = False
    x_ng = rng.normal(0.3, 1.2, (N, G)) * visible_ng
    x_ng[:, 5] = 0.25 * visible_ng[:, 5]
    q_nd = rng.normal(size=(N, D))
    q_nd = (q_nd - q_nd.mean(0)) / q_nd.std(0)
    return visible_ng, x_ng, q_nd


def batches(n=N, size=7):
    return [slice(first, first + size) for first in range(0, n, size)]


def test_correlations_are_over_the_observations_in_which_a_feature_is_visible(observations):
    visible_ng, x_ng, q_nd = observations
    sums = CorrelationSums(G, D)
    for at in batches():
        sums.add(*(torch.from_numpy(part[at]) for part in (x_ng, visible_ng, q_nd)))
    expected_gd = np.zeros((G, D))
    for g in range(4):
        own = visible_ng[:, g]
        x_n = x_ng[own, g]
        for d in range(D):
            covariance = np.mean(x_n * q_nd[own, d]) - x_n.mean() * q_nd[own, d].mean()
            expected_gd[g, d] = covariance / x_n.std()  # the dimension has variance 1 over all observations
    found_gd = sums.correlations()
    assert found_gd.dtype == np.float32
    np.testing.assert_allclose(found_gd, expected_gd, atol=1e-6)
    assert not found_gd[4:].any(), "of what is not visible, or does not vary"
    assert sums.n_obs == visible_ng.any(1).sum()


def test_an_observation_without_the_modality_is_not_counted():
    sums = CorrelationSums(2, 1)
    visible_ng = torch.tensor([[True, False], [False, False], [True, True]])
    sums.add(torch.ones(3, 2) * visible_ng, visible_ng, torch.ones(3, 1))
    assert sums.n_obs == 2
    assert sums.n_g.tolist() == [2, 1]


@pytest.mark.parametrize(("deviation", "found"), [(0.5 * LEAST_DEVIATION, 0.0), (10 * LEAST_DEVIATION, 1.0)])
def test_a_deviation_of_rounding_is_none(deviation, found):
    x_n1 = deviation * torch.tensor([[1.0], [-1.0]])
    sums = CorrelationSums(1, 1)
    sums.add(x_n1, torch.ones(2, 1, dtype=torch.bool), torch.tensor([[1.0], [-1.0]]))
    assert sums.correlations().item() == pytest.approx(found)


def test_a_correlation_is_at_most_one():
    """Over a part of the observations a dimension may vary more than over all of them."""
    x_n1 = torch.tensor([[1.0], [-1.0]])
    sums = CorrelationSums(1, 2)
    sums.add(x_n1, torch.ones(2, 1, dtype=torch.bool), torch.cat([3 * x_n1, -3 * x_n1], 1))
    assert sums.correlations().tolist() == [[1.0, -1.0]]


def test_means_by_label_are_those_of_a_table(observations, rng):
    visible_ng, x_ng, _ = observations
    attribution_ng = rng.normal(size=(N, G)) * visible_ng
    code_n = rng.integers(0, K, N)
    code_n[0], visible_ng[code_n == 2, 0] = 2, False
    attribution_ng, x_ng = attribution_ng * visible_ng, x_ng * visible_ng
    sums = LabelSums(K, G)
    for at in batches():
        grid = Grid(*(torch.from_numpy(part[at]) for part in (x_ng, visible_ng, x_ng.sum(1))))
        sums.add(torch.from_numpy(code_n[at]), torch.from_numpy(attribution_ng[at]), grid)
    found = sums.means()
    assert list(found) == ["attribution", "positive", "mean_inside", "mean_outside"]
    for g in range(G):
        own = pd.DataFrame({"a": attribution_ng[:, g], "x": x_ng[:, g], "label": code_n})[visible_ng[:, g]]
        for k in range(K):
            inside, outside = own[own["label"] == k], own[own["label"] != k]
            expected = [inside["a"].mean(), (inside["a"] > 0).mean(), inside["x"].mean(), outside["x"].mean()]
            np.testing.assert_allclose([found[name][k, g] for name in found], expected, rtol=1e-5)
            assert sums.n_kg[k, g] == len(inside)
    assert np.isnan(found["attribution"][2, 0])
    assert found["attribution"].dtype == np.float32


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _feature_sums.LEAST_DEVIATION == 1e-06
