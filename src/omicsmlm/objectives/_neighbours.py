"""Pulling mutual nearest neighbours of different batches together while a model trains."""

from itertools import combinations

import torch
from torch import Tensor


class MutualNeighbours:
    """Squared distance of a row's embedding to that of a mutual nearest neighbour in another batch.

    Two rows of two batches are mutual nearest neighbours if each is among the k nearest rows of the other's batch (Haghverdi
    et al. 2018). They are found anew in every census, in the embedding as it then is; rows whose type the other batch
    lacks mostly have none, and are left where they are.

    Parameters
    ----------
    n_neighbors
        k.
    start
        Share of the training after which the first census is taken; neighbours in an untrained embedding mislead.
    n_rows_per_batch
        Most rows of a batch among which neighbours are sought; a random sample where it has more.
    """

    def __init__(self, n_neighbors: int = 15, start: float = 0.2, n_rows_per_batch: int = 3000) -> None:
        self.n_neighbors = n_neighbors
        self.start = start
        self.n_rows_per_batch = n_rows_per_batch
        self._rows = torch.empty(0, dtype=torch.int64)

    def take(self, embedding_nd: Tensor, covariates_nk: Tensor, rows_n: Tensor) -> None:
        """Find the pairs among all training rows.

        Parameters
        ----------
        embedding_nd
            Their embedding.
        covariates_nk
            Their covariates, the batch first.
        rows_n
            Their row numbers, ascending.
        """
        batch_n = covariates_nk[:, 0]
        members = [self._sample((batch_n == b).nonzero()[:, 0]) for b in batch_n.unique()]
        pairs = [mutual_pairs(embedding_nd, a, b, self.n_neighbors) for a, b in combinations(members, 2)]
        both_2p = torch.cat([torch.cat(pairs, 1), torch.cat(pairs, 1).flip(0)], 1) if pairs else None
        if both_2p is None or both_2p.shape[1] == 0:
            return
        order_p = both_2p[0].argsort(stable=True)
        self._rows, self._bank = rows_n, embedding_nd
        self._partner_p = both_2p[1, order_p]
        self._count_n = torch.bincount(both_2p[0], minlength=len(rows_n))
        self._first_n = self._count_n.cumsum(0) - self._count_n
        self._variance = embedding_nd.var(0).sum().clamp(min=1e-6)

    def __call__(self, mean_nd: Tensor, rows_n: Tensor) -> Tensor:
        """Give the mean squared distance to one partner per row, drawn at random, in units of the total variance."""
        if len(self._rows) == 0:
            return mean_nd.new_zeros(())
        at_n = torch.searchsorted(self._rows, rows_n).clamp(max=len(self._rows) - 1)
        has_n = (self._rows[at_n] == rows_n) & (self._count_n[at_n] > 0)
        drawn_n = (torch.rand(len(rows_n), device=mean_nd.device) * self._count_n[at_n]).long()
        partner_n = self._partner_p[(self._first_n[at_n] + drawn_n).clamp(max=len(self._partner_p) - 1)]
        squares_n = (mean_nd - self._bank[partner_n]).square().sum(1)
        return (squares_n * has_n).mean() / self._variance

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
