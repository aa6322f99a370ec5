"""What all families do alike: the split into training and validation."""

from dataclasses import replace

import numpy as np
import pytest

from omicsmlm import OmicsMLM
from tests.objects import SMALL, rna
from tests.test_bad_input import refused


@pytest.fixture(scope="module")
def adata():
    return rna()


def split_of(adata, seed, train_size=0.75):
    return OmicsMLM(adata, replace(SMALL, seed=seed))._split(train_size)


def test_the_split_follows_from_the_seed_and_divides_all_observations(adata):
    train, validation = split_of(adata, 0)
    assert len(train) == round(0.75 * adata.n_obs)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(adata.n_obs))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    np.testing.assert_array_equal(split_of(adata, 0)[1], validation)
    others = [split_of(adata, seed)[1] for seed in (1, 2)]
    assert all(set(other) != set(validation) for other in others)
    assert set(others[0]) != set(others[1])


def test_all_may_be_trained_on_and_one_is_the_least(adata):
    assert [len(part) for part in split_of(adata, 0, 1.0)] == [adata.n_obs, 0]
    assert [len(part) for part in split_of(adata, 0, 1e-9)] == [1, adata.n_obs - 1]


@pytest.mark.parametrize("train_size", [0.0, -0.1, 1.01])
def test_a_size_out_of_range_is_refused(adata, train_size):
    with refused(f"train_size: expected a .* above 0 and at most 1, got {train_size}; pass 0.9, say"):
        split_of(adata, 0, train_size)
