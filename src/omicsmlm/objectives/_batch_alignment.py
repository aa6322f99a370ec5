"""Losses that mix the batches while a model trains, towards targets found in a memory bank of embeddings."""

from abc import ABC, abstractmethod
from itertools import combinations

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from omicsmlm._draws import Draws
from omicsmlm._types import Batch

from ._batch_balance import balance_weights
from ._reduction import observation_mean

MOST_PAIRS = 3 * 10**7
"""Distances between batches that a refresh of the mutual neighbours of a sample computes at most: a second or two of a core."""
N_LANDMARKS = 512
"""Landmarks by which observations outside a sample find one that is like them: some 50 of 25,000 observations at each."""


class BatchAlignmentLoss(ABC):
    """Mean squared distance of embeddings to their targets, in units of the total variance of the memory bank."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop all targets."""
        self._indices, self._embedding = torch.empty(0, dtype=torch.int64), torch.empty(0, 0)

    def refresh(self, embedding_md: Tensor, covariates_mk: Tensor, indices_m: Tensor, *, is_whole: bool = True) -> None:
        """Find the targets anew.

        Parameters
        ----------
        embedding_md
            Embedding of training observations, as it now is.
        covariates_mk
            Their covariates, the batch first.
        indices_m
            Their positions in the object, ascending.
        is_whole
            Whether these are all training observations, which then have targets of their own. Of a sample, targets hold for
            any observation whose embedding is known when it is scored (``batch.unmasked_nd``).
        """
        self._indices, self._embedding, self._is_whole = indices_m, embedding_md, is_whole
        self._variance = embedding_md.var(0, correction=min(1, len(indices_m) - 1)).sum().clamp(min=1e-6)
        self._prepare(covariates_mk[:, 0] if covariates_mk.shape[1] else torch.zeros_like(indices_m))

    def __call__(self, mean_nd: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch of embeddings; those without a target count as 0, and so does all before a refresh."""
        if len(self._indices) == 0:
            return mean_nd.new_zeros(())
        draws = batch.draws or Draws(0, batch.indices)
        if self._is_whole:
            at_n = torch.searchsorted(self._indices, batch.indices).clamp(max=len(self._indices) - 1)
            target_nd, has_n = self._stored_targets(at_n, draws)
            has_n = has_n & (self._indices[at_n] == batch.indices)
        else:
            assert batch.unmasked_nd is not None
            batch_n = batch.covariates[:, 0] if batch.covariates.shape[1] else torch.zeros_like(batch.indices)
            target_nd, has_n = self._new_targets(batch.unmasked_nd, batch_n, draws)
        squares_n = (mean_nd - target_nd).square().sum(1)
        return observation_mean(squares_n * has_n, batch) / self._variance

    def adversary_weights(self, batch: Batch) -> Tensor | None:
        """Return what each observation counts in the adversary's loss, (n,); None where all count alike."""
        return None

    @abstractmethod
    def _prepare(self, batch_m: Tensor) -> None:
        """Read from the memory bank what the targets need."""

    @abstractmethod
    def _stored_targets(self, at_n: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return (n, d) targets of observations at these positions of the memory bank, and (n,) which have one."""

    @abstractmethod
    def _new_targets(self, unmasked_nd: Tensor, batch_n: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return (n, d) targets of observations of these embeddings and batches, and (n,) which have one."""


class MutualNeighbours(BatchAlignmentLoss):
    """Draws an observation's embedding to one of its mutual nearest neighbours in other batches, drawn at random.

    Two observations of two batches are mutual nearest neighbours if each is among the k nearest of the other's batch
    (Haghverdi et al. 2018). Those whose type the other batches lack mostly have none and stay where they are. One that is not
    in the memory bank does as a random one of its batch near the same landmark does.

    Parameters
    ----------
    n_neighbors
        k.
    n_obs_per_batch
        Most observations of a batch among which neighbours are sought; a random sample where it has more.
    halves
        Whether of one batch alone, random halves take the place of batches, drawn anew at each refresh; otherwise no
        observation has a neighbour then.
    """

    def __init__(self, n_neighbors: int = 15, n_obs_per_batch: int = 3000, *, halves: bool = False) -> None:
        super().__init__()
        self.halves = halves
        self.n_neighbors = n_neighbors
        self.n_obs_per_batch = n_obs_per_batch

    def _prepare(self, batch_m: Tensor) -> None:
        batches = [int(b) for b in batch_m.unique() if b >= 0]
        most = self.n_obs_per_batch
        if not self._is_whole and len(batches) > 1:
            most = min(most, int((2 * MOST_PAIRS / (len(batches) * (len(batches) - 1))) ** 0.5))
        members = [_sample((batch_m == b).nonzero()[:, 0], most) for b in batches]
        if self.halves and len(members) == 1:
            members = _halves((batch_m == batches[0]).nonzero()[:, 0], most)
        pairs = [mutual_pairs(self._embedding, a, b, self.n_neighbors) for a, b in combinations(members, 2)]
        one_way_2p = torch.cat([torch.empty(2, 0, dtype=torch.int64, device=batch_m.device), *pairs], 1)
        pair_2p = torch.cat([one_way_2p, one_way_2p.flip(0)], 1)
        self._partner_p = pair_2p[1, pair_2p[0].argsort(stable=True)]
        self._count_m = torch.bincount(pair_2p[0], minlength=len(batch_m))
        self._first_m = self._count_m.cumsum(0) - self._count_m
        if not self._is_whole and members:
            self._prepare_groups(torch.cat(members), batch_m)

    def _prepare_groups(self, candidates: Tensor, batch_m: Tensor) -> None:
        """Group the observations that were sought by their nearest landmark and their batch."""
        self._landmark_ad = self._embedding[_sample(candidates, N_LANDMARKS)]
        self._n_batches = int(batch_m.max()) + 1
        group_c = self._group_of(self._embedding[candidates], batch_m[candidates])
        self._member_c = candidates[group_c.argsort(stable=True)]
        self._size_k = torch.bincount(group_c, minlength=len(self._landmark_ad) * self._n_batches)
        self._start_k = self._size_k.cumsum(0) - self._size_k

    def _group_of(self, z_nd: Tensor, batch_n: Tensor) -> Tensor:
        nearest_n = torch.cdist(z_nd, self._landmark_ad).argmin(1)
        return nearest_n * self._n_batches + batch_n.clamp(0, self._n_batches - 1)

    def _stored_targets(self, at_n: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        if len(self._partner_p) == 0:
            return self._embedding[at_n], torch.zeros_like(at_n, dtype=torch.bool)
        drawn_n = (draws.uniform() * self._count_m[at_n]).long()
        partner_n = self._partner_p[(self._first_m[at_n] + drawn_n).clamp(max=len(self._partner_p) - 1)]
        return self._embedding[partner_n], self._count_m[at_n] > 0

    def _new_targets(self, unmasked_nd: Tensor, batch_n: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        if len(self._partner_p) == 0:
            return unmasked_nd, torch.zeros_like(batch_n, dtype=torch.bool)
        group_n = self._group_of(unmasked_nd, batch_n)
        drawn_n = self._start_k[group_n] + (draws.uniform() * self._size_k[group_n]).long()
        at_n = self._member_c[drawn_n.clamp(max=len(self._member_c) - 1)]
        target_nd, has_n = self._stored_targets(at_n, draws)
        known_n = (batch_n >= 0) & (batch_n < self._n_batches)
        return target_nd, has_n & known_n & (self._size_k[group_n] > 0)


def _sample(members: Tensor, most: int) -> Tensor:
    if len(members) <= most:
        return members
    return members[torch.randperm(len(members), device=members.device)[:most]]


def _halves(members: Tensor, most: int) -> list[Tensor]:
    """Return two random halves without an observation in common, each of at most this many."""
    drawn = members[torch.randperm(len(members), device=members.device)[: 2 * most]]
    return [drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]]


def mutual_pairs(embedding_nd: Tensor, a: Tensor, b: Tensor, n_neighbors: int) -> Tensor:
    """Return (2, p) pairs of observations, the first in ``a`` and the second in ``b``, each among the other's k nearest.

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


class ClusterAlignment(BatchAlignmentLoss):
    """Draws the embedding of a masked observation to where that of its full view would be if batches had one centre per cluster.

    Within each cluster of the embedding, a batch's mean is moved to the mean over batches; both shrink to what they were
    where a batch has few observations. A cluster of one batch stays where it is, so that a type which only one batch has is
    not drawn over another (the correction of Harmony, Korsunsky et al. 2019, with hard clusters).

    Parameters
    ----------
    n_clusters
        Most clusters; one per 30 observations where there are few.
    n_shrinkage
        Observations at which a batch's shift is halved.
    strength
        Fraction of the way that a batch's mean is moved, at most 1.
    most_weight
        Most that an observation counts in the adversary's loss, by :func:`balance_weights` of these clusters; None for 1 each.
    """

    def __init__(
        self, n_clusters: int = 30, n_shrinkage: int = 10, strength: float = 1.0, most_weight: float | None = None
    ) -> None:
        super().__init__()
        self.most_weight = most_weight
        self.strength = min(strength, 1.0)
        self.n_clusters = n_clusters
        self.n_shrinkage = n_shrinkage

    def _prepare(self, batch_m: Tensor) -> None:
        z_md = self._embedding
        n_clusters = max(1, min(self.n_clusters, len(z_md) // 30))
        found = KMeans(n_clusters, random_state=0).fit(z_md.float().cpu().numpy())
        cluster_m = torch.from_numpy(found.labels_).to(z_md.device).long()
        self._centre_kd = torch.from_numpy(found.cluster_centers_).to(z_md)
        self._shift_kbd = self.strength * batch_shifts(z_md, cluster_m, batch_m, n_clusters, self.n_shrinkage)
        self._target_md = z_md + shifts_of(self._shift_kbd, cluster_m, batch_m)
        if self.most_weight is not None:
            self._weight_kb = balance_weights(cluster_m, batch_m, n_clusters, self.most_weight)
            self._weight_m = self._weight_kb[cluster_m, batch_m.clamp(min=0)]

    def adversary_weights(self, batch: Batch) -> Tensor | None:
        """Return weights by which the batches have like shares of each cluster, (n,); 1 for what the memory bank does not tell."""
        if self.most_weight is None or len(self._indices) == 0:
            return None
        if self._is_whole:
            at_n = torch.searchsorted(self._indices, batch.indices).clamp(max=len(self._indices) - 1)
            return torch.where(self._indices[at_n] == batch.indices, self._weight_m[at_n], 1.0)
        assert batch.unmasked_nd is not None
        batch_n = batch.covariates[:, 0]
        cluster_n = torch.cdist(batch.unmasked_nd, self._centre_kd).argmin(1)
        known_n = (batch_n >= 0) & (batch_n < self._weight_kb.shape[1])
        return torch.where(known_n, self._weight_kb[cluster_n, batch_n.clamp(0, self._weight_kb.shape[1] - 1)], 1.0)

    def clear(self) -> None:
        """Drop all targets."""
        super().clear()
        self._target_md = self._embedding

    def _stored_targets(self, at_n: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        return self._target_md[at_n], torch.ones_like(at_n, dtype=torch.bool)

    def _new_targets(self, unmasked_nd: Tensor, batch_n: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        cluster_n = torch.cdist(unmasked_nd, self._centre_kd).argmin(1)
        return unmasked_nd + shifts_of(self._shift_kbd, cluster_n, batch_n), torch.ones_like(batch_n, dtype=torch.bool)


def batch_shifts(z_nd: Tensor, cluster_n: Tensor, batch_n: Tensor, n_clusters: int, n_shrinkage: float) -> Tensor:
    r"""Return, (k, b, d), what moves the mean of each batch in each cluster to their common centre.

    .. math:: w_{kb} = \frac{n_{kb}}{n_{kb} + s}, \qquad
        c_k = \frac{\sum_b w_{kb} \bar z_{kb}}{\sum_b w_{kb}}, \qquad \text{shift}_{kb} = w_{kb} (c_k - \bar z_{kb})

    0 for batches of under 3 observations, and where a cluster has not two others; observations of an unknown batch (-1) do
    not count.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [0.0], [0.0], [4.0], [4.0], [4.0]])
    >>> batch_shifts(x, torch.zeros(6).long(), torch.tensor([0, 0, 0, 1, 1, 1]), 1, 3).flatten()  # 3 of them halve it
    tensor([ 1., -1.])
    """
    n_batches = max(1, int(batch_n.max()) + 1)
    known_n = (batch_n >= 0).to(z_nd)
    group_n = cluster_n * n_batches + batch_n.clamp(min=0)
    count_c = z_nd.new_zeros(n_clusters * n_batches).index_add_(0, group_n, known_n)
    sum_cd = z_nd.new_zeros(len(count_c), z_nd.shape[1]).index_add_(0, group_n, z_nd * known_n[:, None])
    mean_kbd = (sum_cd / count_c.clamp(min=1)[:, None]).view(n_clusters, n_batches, -1)
    count_kb = count_c.view(n_clusters, n_batches)
    weight_kb = torch.where(count_kb >= 3, count_kb / (count_kb + n_shrinkage), 0.0)
    weight_kb = weight_kb * ((weight_kb > 0).sum(1, keepdim=True) > 1)
    centre_kd = torch.einsum("kb,kbd->kd", weight_kb, mean_kbd) / weight_kb.sum(1).clamp(min=1e-12)[:, None]
    return weight_kb[:, :, None] * (centre_kd[:, None] - mean_kbd)


def shifts_of(shift_kbd: Tensor, cluster_n: Tensor, batch_n: Tensor) -> Tensor:
    """Return the (n, d) shifts of observations of these clusters and batches; 0 where the batch is unknown."""
    n_batches = shift_kbd.shape[1]
    known_n = (batch_n >= 0) & (batch_n < n_batches)
    return shift_kbd[cluster_n, batch_n.clamp(0, n_batches - 1)] * known_n[:, None]
