"""Alignment of the latent of a query's batches to a reference, which itself stays as it is."""

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

N_ROUNDS, N_CLUSTERS = 30, 30
OBSERVATIONS_PER_CLUSTER = 30
"""Fewer clusters where there are few observations."""
SHRINKAGE = 10.0
"""Observations at which a shift is halved, on either side: a cluster without observations of the reference does not move."""
STEP = 0.1
"""Fraction of the way that a round goes: as the rounds draw different clusters, their borders leave no trace."""
UNUSED_COORDINATE = 1e4
"""Coordinate of clusters that are not used."""


class QueryAlignment(nn.Module):
    r"""Moves the observations of each new batch, round by round, by the shifts of their clusters.

    In a round, the new observations and the reference are clustered together by k-means. A new observation n of cluster k goes

    .. math:: z_n \leftarrow z_n + 0.1\, \frac{R_k}{R_k + 10}\,\frac{Q_k}{Q_k + 10} (\bar r_k - \bar q_k),

    with :math:`\bar r_k, \bar q_k` the means of the reference and of the new observations there, and :math:`R_k, Q_k` their
    numbers: the correction of Harmony (Korsunsky et al. 2019) and of Symphony
    (Kang et al. 2021), with the reference held in place and each batch by itself. It is fitted in closed form, not trained. A
    batch so far off that no cluster holds observations of both stays there: better apart than mixed up.

    Parameters
    ----------
    n_latent
        Width of the latent.
    n_fixed
        Batches of the reference: their observations, and those of unknown batch, pass through unchanged, to the last bit.
    n_batches
        All batches.
    """

    centre_brkd: Tensor
    shift_brkd: Tensor

    def __init__(self, n_latent: int, n_fixed: int, n_batches: int) -> None:
        super().__init__()
        self.n_fixed = n_fixed
        shape = max(0, n_batches - n_fixed), N_ROUNDS
        self.register_buffer("centre_brkd", torch.full((*shape, N_CLUSTERS, n_latent), UNUSED_COORDINATE))
        self.register_buffer("shift_brkd", torch.zeros(*shape, N_CLUSTERS, n_latent))

    def forward(self, z_nd: Tensor, batch_n: Tensor) -> Tensor:
        """Return the latents, moved where the batch is new."""
        moved_nd = z_nd
        for b in range(len(self.shift_brkd)):
            is_own_n1 = (batch_n == self.n_fixed + b)[:, None]
            for r in range(N_ROUNDS):
                nearest_n = _nearest(moved_nd, self.centre_brkd[b, r])
                moved_nd = torch.where(is_own_n1, moved_nd + self.shift_brkd[b, r][nearest_n], moved_nd)
        return moved_nd

    @torch.no_grad()
    def fit(self, batch: int, z_nd: Tensor, reference_md: Tensor) -> None:
        """Fit the shifts of a new batch.

        Parameters
        ----------
        batch
            Its category.
        z_nd
            Latents of its observations, as the encoder gives them.
        reference_md
            Latents of observations of the reference.
        """
        b = batch - self.n_fixed
        for r in range(N_ROUNDS):
            both_nd = torch.cat([reference_md, z_nd])
            n_clusters = max(1, min(N_CLUSTERS, len(both_nd) // OBSERVATIONS_PER_CLUSTER))
            found = KMeans(n_clusters, n_init=1, random_state=r).fit(both_nd.double().cpu().numpy())
            centre_kd, shift_kd = self.centre_brkd[b, r], self.shift_brkd[b, r]
            centre_kd[:n_clusters] = torch.from_numpy(found.cluster_centers_.astype(np.float32))
            old_nk, new_nk = (
                nn.functional.one_hot(_nearest(latents_nd, centre_kd), N_CLUSTERS).float()
                for latents_nd in (reference_md, z_nd)
            )
            towards_kd = _means(old_nk, reference_md) - _means(new_nk, z_nd)
            shift_kd.copy_(STEP * (_shrinkage(old_nk) * _shrinkage(new_nk))[:, None] * towards_kd)
            z_nd = z_nd + new_nk @ shift_kd

    @torch.no_grad()
    def load_from(self, other: "QueryAlignment") -> None:
        """Copy an alignment that knows fewer batches."""
        for own, old in zip(self.buffers(), other.buffers(), strict=True):
            own[: len(old)] = old


def _nearest(z_nd: Tensor, centre_kd: Tensor) -> Tensor:
    return torch.cdist(z_nd, centre_kd).argmin(1)


def _means(member_nk: Tensor, z_nd: Tensor) -> Tensor:
    return member_nk.T @ z_nd / member_nk.sum(0).clamp(min=1e-6)[:, None]


def _shrinkage(member_nk: Tensor) -> Tensor:
    n_k = member_nk.sum(0)
    return n_k / (n_k + SHRINKAGE)
