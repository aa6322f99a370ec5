"""Counts come back from logarithms, of any base, and nothing else is taken for such."""

import numpy as np
import pytest

from omicsmlm._log_counts import counts_of_logs


@pytest.fixture
def counts_ng():
    return np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(0.5, 2.0, 200), (30, 200))


def found(logs_ng):
    """Counts of a dense matrix, or None."""
    made_m = counts_of_logs(logs_ng[logs_ng != 0], (logs_ng != 0).sum(1))
    if made_m is None:
        return None
    whole_ng = np.zeros(logs_ng.shape)
    whole_ng[logs_ng != 0] = made_m
    return whole_ng


@pytest.mark.parametrize("base", [np.e, 2, 10])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_come_back(counts_ng, base, dtype):
    logs_ng = (np.log1p(1e4 * counts_ng / counts_ng.sum(1, keepdims=True)) / np.log(base)).astype(dtype)
    np.testing.assert_array_equal(found(logs_ng), counts_ng)
    np.testing.assert_array_equal(found(logs_ng.round(4)), counts_ng)  # as a table of text has them
    np.testing.assert_array_equal(found(logs_ng[:, ::2]), counts_ng[:, ::2])  # without half of the genes


def test_an_observation_without_a_single_molecule_of_anything(counts_ng):
    counts_ng[3] = np.where(counts_ng[3] == 1, 0, counts_ng[3])
    counts_ng[4] = 0
    assert (counts_ng[3] == 2).any()
    assert (counts_ng[3] == 3).any()
    np.testing.assert_array_equal(found(np.log1p(counts_ng * 3.7)), counts_ng)


@pytest.mark.parametrize(
    "change",
    [
        np.sqrt,
        lambda logs: logs * np.linspace(1, 2, logs.shape[1]),  # divided by a gene's deviation
        lambda logs: logs + np.random.default_rng(2).normal(0, 0.2, logs.shape).clip(0) * (logs > 0),
        lambda logs: -logs,
        lambda logs: np.where(logs > 0, 1.0, 0.0),  # nothing but one value says nothing
        lambda logs: logs * 1e3,
    ],
)
def test_other_values_are_none(counts_ng, change):
    assert found(change(np.log1p(counts_ng * 2.3))) is None


def test_a_single_observation_that_does_not_fit_is_enough(counts_ng):
    logs_ng = np.log1p(counts_ng * 2.3)
    logs_ng[7] *= 1.3
    assert found(logs_ng) is None
    assert counts_of_logs(np.zeros(0), np.zeros(3, dtype=int)) is None
