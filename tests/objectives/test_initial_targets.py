"""Targets that a training keeps to, against those worked out by hand."""

import copy

import numpy as np
import pytest
import torch

from omicsmlm._types import Batch
from omicsmlm.objectives import ClusterAlignment, InitialTargets, _initial_targets


def batch_of(indices):
    return Batch({}, {}, {}, torch.zeros(len(indices), 1, dtype=torch.int64), torch.as_tensor(indices))


def test_without_batches_the_target_is_the_embedding_before():
    z_nd = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]])
    loss = InitialTargets()
    loss.prepare(z_nd, torch.zeros(4).long(), 0)
    variance = np.var(z_nd.numpy(), axis=0, ddof=1).sum()
    at = [3, 0]
    assert loss(z_nd[at], batch_of(at)) == 0
    moved = z_nd[at] + torch.tensor([[1.0, 2.0], [0.0, 3.0]])
    assert float(loss(moved, batch_of(at))) == pytest.approx((5 + 9) / 2 / variance)


def test_batches_are_brought_together_as_by_the_alignment_of_clusters(rng):
    z_nd = torch.from_numpy(rng.normal(size=(90, 3))).float()
    batch_n = torch.arange(90) % 2
    z_nd[batch_n == 1] += 2
    one_cluster = [InitialTargets(n_clusters=1), ClusterAlignment(n_clusters=1)]
    one_cluster[0].prepare(z_nd, batch_n, 0)
    one_cluster[1].refresh(z_nd, batch_n[:, None], torch.arange(90))
    means = [one_cluster[0].target_nd[batch_n == b].mean(0) for b in range(2)]
    apart = [z_nd[batch_n == b].mean(0) for b in range(2)]
    assert (means[0] - means[1]).norm() < 0.3 * (apart[0] - apart[1]).norm()
    at = list(range(0, 90, 7))
    found = [loss(torch.zeros(len(at), 3), batch_of(at)) for loss in one_cluster]
    torch.testing.assert_close(*found)
    weak = InitialTargets(strength=0.0)
    weak.prepare(z_nd, batch_n, 0)
    torch.testing.assert_close(weak.target_nd, z_nd)


def test_a_refresh_changes_nothing_and_many_observations_are_clustered_by_a_sample(rng, monkeypatch):
    monkeypatch.setattr(_initial_targets, "MOST_CLUSTERED", 40)
    z_nd = torch.from_numpy(rng.normal(size=(200, 2))).float()
    loss = InitialTargets()
    loss.prepare(z_nd, torch.full((200,), -1), 0)
    torch.testing.assert_close(loss.target_nd, z_nd)  # of an unknown batch
    loss.refresh(z_nd + 9, torch.zeros(200, 1).long(), torch.arange(200))
    loss.clear()
    assert float(loss(z_nd[5:7], batch_of([5, 6]))) == 0


def test_targets_are_taken_once(rng):
    z_nd, loss = torch.from_numpy(rng.normal(size=(40, 2))).float(), InitialTargets()
    assert loss.taken() is None
    loss.prepare(z_nd, torch.full((40,), -1), 0)
    torch.testing.assert_close(loss.taken(), z_nd)
    assert loss.taken() is None


def test_a_copy_has_begun_no_training(rng):
    z_nd, loss = torch.from_numpy(rng.normal(size=(40, 2))).float(), InitialTargets()
    loss.prepare(z_nd, torch.full((40,), -1), 0)
    assert loss.is_prepared
    assert not copy.deepcopy(loss).is_prepared
    torch.testing.assert_close(loss.taken(), z_nd)
    assert not loss.is_prepared
