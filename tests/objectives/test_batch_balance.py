"""Weights of the adversary's loss, against their definition and against an adversary that knows the clusters alone."""

import pytest
import torch
from torch.nn import functional as F

from omicsmlm.objectives import balance_weights


@pytest.fixture
def groups():
    """Clusters and batches of 400 observations, whose batches have the clusters in other proportions; ten are of no batch."""
    torch.manual_seed(0)
    batch_n = torch.arange(400) % 3
    cluster_n = torch.multinomial(torch.tensor([[8.0, 1, 1], [1, 4, 5], [3, 3, 4]])[batch_n], 1)[:, 0]
    batch_n[:10] = -1
    return cluster_n, batch_n


def test_each_batch_has_the_same_part_of_a_cluster(groups):
    cluster_n, batch_n = groups
    weight_kb = balance_weights(*groups, 3, 1e9)
    for k in range(3):
        n_k = int(((cluster_n == k) & (batch_n >= 0)).sum())
        for b in range(3):
            n_kb = int(((cluster_n == k) & (batch_n == b)).sum())
            assert float(weight_kb[k, b]) * n_kb == pytest.approx(n_k / 3)


def test_the_clusters_then_tell_nothing_of_the_batch(groups):
    cluster_n, batch_n = (part[10:] for part in groups)
    weight_n = balance_weights(cluster_n, batch_n, 3, 1e9)[cluster_n, batch_n]

    def loss(weight_n):
        """Of the best that can be said by the cluster alone."""
        table_kb = torch.zeros(3, 3).index_put_((cluster_n, batch_n), weight_n, accumulate=True)
        log_p_kb = (table_kb / table_kb.sum(1, keepdim=True)).log()
        return float((weight_n * F.nll_loss(log_p_kb[cluster_n], batch_n, reduction="none")).sum() / weight_n.sum())

    uniform = float(torch.tensor(3.0).log())
    assert loss(weight_n) == pytest.approx(uniform)
    assert loss(torch.ones(len(cluster_n))) < uniform - 0.1


def test_no_observation_counts_more_than_the_bound(groups):
    bounded, free = balance_weights(*groups, 3, 1.5), balance_weights(*groups, 3, 1e9)
    assert float(free.max()) > 1.5
    assert torch.equal(bounded, free.clamp(max=1.5))


def test_a_batch_without_observations_is_none():
    cluster_n, batch_n = torch.zeros(6).long(), torch.tensor([0, 0, 0, 0, 2, 2])
    assert balance_weights(cluster_n, batch_n, 1, 9.0)[0, [0, 2]].tolist() == [0.75, 1.5]


def test_where_no_batch_is_known_all_is_finite():
    assert torch.isfinite(balance_weights(torch.zeros(3).long(), torch.full((3,), -1), 1, 4.0)).all()
