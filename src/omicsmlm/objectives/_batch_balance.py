"""Weights by which an adversary learns nothing from which types a batch has."""

import torch
from torch import Tensor


def balance_weights(cluster_n: Tensor, batch_n: Tensor, n_clusters: int, most: float) -> Tensor:
    r"""Compute what an observation of a cluster and a batch counts in the adversary's loss, (k, b) float32.

    .. math:: w_{kb} = \min\left(\frac{n_k}{B\, n_{kb}},\; w_\text{most}\right)

    with :math:`n_{kb}` observations of batch b in cluster k, :math:`n_k` in the cluster, and B batches. Up to the bound, each
    batch has 1/B of a cluster: to tell the batch, an adversary has to find what differs within clusters, since how often a batch
    has a cluster says nothing. Where batches have other types in other proportions, an adversary that counts observations alike
    removes a part of the types with the batch (weights by the inverse of a propensity, Rosenbaum & Rubin 1983).

    Parameters
    ----------
    cluster_n
        (n,) int64: cluster of each observation.
    batch_n
        (n,) int64: its batch, -1 where it is unknown; these do not count.
    n_clusters
        Number of clusters.
    most
        The bound: a few observations of a batch in a cluster of another are otherwise all that the adversary sees.

    Examples
    --------
    >>> balance_weights(torch.zeros(4).long(), torch.tensor([0, 0, 0, 1]), 1, 4.0).round(decimals=2)
    tensor([[0.6700, 2.0000]])
    """
    n_batches = max(1, int(batch_n.max()) + 1)
    known_n = batch_n >= 0
    group_n = cluster_n * n_batches + batch_n.clamp(min=0)
    count_kb = torch.bincount(group_n[known_n], minlength=n_clusters * n_batches).view(n_clusters, n_batches).float()
    n_present = (count_kb.sum(0) > 0).sum().clamp(min=1)
    return (count_kb.sum(1, keepdim=True) / n_present / count_kb.clamp(min=1)).clamp(max=most)
