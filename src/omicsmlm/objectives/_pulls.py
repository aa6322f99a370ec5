"""Pulls that mix the batches while a model trains, towards targets that a census of all training rows has found."""

from abc import ABC, abstractmethod
from itertools import combinations

import torch
from sklearn.cluster import KMeans
from torch import Tensor


class Pull(ABC):
    """Mean squared distance of embeddings to their targets, in units of the total variance of the training rows."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop all targets."""
        self._rows, self._embedding = torch.empty(0, dtype=torch.int64), torch.empty(0, 0)

    def take(self, embedding_nd: Tensor, covariates_nk: Tensor, rows_n: Tensor) -> None:
        """Find the targets anew.

        Parameters
        ----------
        embedding_nd
            Embedding of all training rows, as it now is.
        covariates_nk
            Their covariates, the batch first.
        rows_n
            Their row numbers, ascending.
        """
        self._rows, self._embedding = rows_n, embedding_nd
        self._variance = embedding_nd.var(0, correction=min(1, len(rows_n) - 1)).sum().clamp(min=1e-6)
        self._prepare(covariates_nk[:, 0] if covariates_nk.shape[1] else torch.zeros_like(rows_n))

    def __call__(self, mean_nd: Tensor, rows_n: Tensor) -> Tensor:
        """Judge the embeddings of some rows; those without a target count as 0, and so does all before a census."""
        if len(self._rows) == 0:
            return mean_nd.new_zeros(())
        at_n = torch.searchsorted(self._rows, rows_n).clamp(max=len(self._rows) - 1)
        target_nd, has_n = self._targets(at_n)
        squares_n = (mean_nd - target_nd).square().sum(1)
        return (squares_n * (has_n & (self._rows[at_n] == rows_n))).mean() / self._variance

    @abstractmethod
    def _prepare(self, batch_n: Tensor) -> None:
        """Read from the census what the targets need."""

    @abstractmethod
    def _targets(self, at_n: Tensor) -> tuple[Tensor, Tensor]:
        """Give (n, d) targets of rows at these positions of the census, and which have one."""


class MutualNeighbours(Pull):
    """Pulls a row to one of its mutual nearest neighbours in other batches, drawn at random.

    Two rows of two batches are mutual nearest neighbours if each is among the k nearest rows of the other's batch
    (Haghverdi et al. 2018). Rows whose type the other batches lack mostly have none and stay where they are.

    Parameters
    ----------
    n_neighbors
        k.
    n_rows_per_batch
        Most rows of a batch among which neighbours are sought; a random sample where it has more.
    """

    def __init__(self, n_neighbors: int = 15, n_rows_per_batch: int = 3000) -> None:
        super().__init__()
        self.n_neighbors = n_neighbors
        self.n_rows_per_batch = n_rows_per_batch

    def _prepare(self, batch_n: Tensor) -> None:
        members = [self._sample((batch_n == b).nonzero()[:, 0]) for b in batch_n.unique() if b >= 0]
        pairs = [mutual_pairs(self._embedding, a, b, self.n_neighbors) for a, b in combinations(members, 2)]
        one_way_2p = torch.cat([torch.empty(2, 0, dtype=torch.int64, device=batch_n.device), *pairs], 1)
        pair_2p = torch.cat([one_way_2p, one_way_2p.flip(0)], 1)
        self._partner_p = pair_2p[1, pair_2p[0].argsort(stable=True)]
        self._count_n = torch.bincount(pair_2p[0], minlength=len(batch_n))
        self._first_n = self._count_n.cumsum(0) - self._count_n

    def _targets(self, at_n: Tensor) -> tuple[Tensor, Tensor]:
        if len(self._partner_p) == 0:
            return self._embedding[at_n], torch.zeros_like(at_n, dtype=torch.bool)
        drawn_n = (torch.rand(len(at_n), device=at_n.device) * self._count_n[at_n]).long()
        partner_n = self._partner_p[(self._first_n[at_n] + drawn_n).clamp(max=len(self._partner_p) - 1)]
        return self._embedding[partner_n], self._count_n[at_n] > 0

    def _sample(self, members: Tensor) -> Tensor:
        if len(members) <= self.n_rows_per_batch:
            return members
        return members[torch.randperm(len(members), device=members.device)[: self.n_rows_per_batch]]


def mutual_pairs(embedding_nd: Tensor, a: Tensor, b: Tensor, n_neighbors: int) -> Tensor:
    """Give (2, p) pairs of rows, the first in ``a`` and the second in ``b``, each among the other's k nearest.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [9.0], [1.0], [5.0]])
    >>> mutual_pairs(x, torch.tensor([0, 1]), torch.tensor([2, 3]), 1)
    tensor([[0, 1],
            [2, 3]])
    """
    distance_ab = torch.cdist(embedding_nd[a], embedding_nd[b])
    near_ab, near_ba = torch.zeros_like(distance_ab, dtype=torch.bool), torch.zeros_like(distance_ab, dtype=torch.bool)
    near_ab.scatter_(1, distance_ab.topk(min(n_neighbors, len(b)), 1, largest=False).indices, True)
    near_ba.scatter_(0, distance_ab.topk(min(n_neighbors, len(a)), 0, largest=False).indices, True)
    first, second = (near_ab & near_ba).nonzero(as_tuple=True)
    return torch.stack([a[first], b[second]])


class ClusterAlignment(Pull):
    """Pulls a masked row to where its full view would be if its cluster's batches had one centre.

    Within each cluster of the embedding, a batch's mean is moved to the mean over batches; both shrink to what they were
    where a batch has few rows. A cluster of one batch stays where it is, so that a type which only one batch has is
    not pulled over another (the correction of Harmony, Korsunsky et al. 2019, with hard clusters).

    Parameters
    ----------
    n_clusters
        Most clusters; one per 30 rows where there are few rows.
    n_shrinkage
        Rows at which a batch's shift is halved.
    strength
        Share of the way that a batch's mean is moved, at most 1.
    """

    def __init__(self, n_clusters: int = 30, n_shrinkage: int = 10, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = min(strength, 1.0)
        self.n_clusters = n_clusters
        self.n_shrinkage = n_shrinkage

    def _prepare(self, batch_n: Tensor) -> None:
        z_nd = self._embedding
        n_clusters = max(1, min(self.n_clusters, len(z_nd) // 30))
        found = KMeans(n_clusters, n_init=1, random_state=0).fit(z_nd.float().cpu().numpy()).labels_
        moved_nd = aligned(z_nd, torch.from_numpy(found).to(z_nd.device), batch_n, self.n_shrinkage)
        self._target_nd = z_nd + self.strength * (moved_nd - z_nd)

    def forget(self) -> None:
        """Drop all targets."""
        super().forget()
        self._target_nd = self._embedding

    def _targets(self, at_n: Tensor) -> tuple[Tensor, Tensor]:
        return self._target_nd[at_n], torch.ones_like(at_n, dtype=torch.bool)


def aligned(embedding_nd: Tensor, cluster_n: Tensor, batch_n: Tensor, n_shrinkage: float) -> Tensor:
    """Move, within each cluster, the mean of each batch to their common centre; batches of under 3 rows stay.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [0.0], [0.0], [4.0], [4.0], [4.0]])
    >>> aligned(x, torch.zeros(6), torch.tensor([0, 0, 0, 1, 1, 1]), 3).T  # half-way, as 3 rows halve the shift
    tensor([[1., 1., 1., 3., 3., 3.]])
    """
    moved_nd = embedding_nd.clone()
    for cluster in cluster_n.unique():
        members = [((cluster_n == cluster) & (batch_n == b)).nonzero()[:, 0] for b in batch_n.unique() if b >= 0]
        members = [rows for rows in members if len(rows) >= 3]
        if len(members) < 2:
            continue
        mean_bd = torch.stack([embedding_nd[rows].mean(0) for rows in members])
        weight_b = torch.tensor([len(rows) / (len(rows) + n_shrinkage) for rows in members]).to(mean_bd)
        centre_d = weight_b @ mean_bd / weight_b.sum()
        for rows, mean_d, weight in zip(members, mean_bd, weight_b, strict=True):
            moved_nd[rows] -= weight * (mean_d - centre_d)
    return moved_nd
