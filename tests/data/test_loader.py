"""Minibatches come in an order that the seed and the epoch fix, and leave random states alone."""

import numpy as np
import torch

from omicsmlm.data import row_loader
from tests.objects import manager_of, rna


def order(loader):
    return [batch.rows.tolist() for batch in loader]


def test_without_a_seed_rows_come_in_the_given_order():
    assert order(row_loader(manager_of(rna()), [5, 1, 3, 2, 4], 2)) == [[5, 1], [3, 2], [4]]


def test_with_a_seed_every_row_comes_once_per_epoch_in_a_new_order():
    loader = row_loader(manager_of(rna()), np.arange(20), 6, seed=1)
    assert len(loader) == 4
    epochs = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        epochs.append(sum(order(loader), []))
    assert all(sorted(rows) == list(range(20)) for rows in epochs)
    assert epochs[0] != epochs[1]
    loader.sampler.set_epoch(0)
    assert sum(order(loader), []) == epochs[0], "an epoch that is gone through again is the same"
    assert sum(order(row_loader(manager_of(rna()), np.arange(20), 6, seed=2)), []) != epochs[0]


def test_the_callers_random_state_is_left_alone():
    before = torch.get_rng_state()
    order(row_loader(manager_of(rna()), np.arange(20), 6, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
