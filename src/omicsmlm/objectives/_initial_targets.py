"""Embeddings that a training must not leave far behind: those that the observations had before it."""

from typing import Any

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from omicsmlm._types import Batch

from ._batch_alignment import batch_shifts, shifts_of
from ._reduction import observation_mean

MOST_CLUSTERED = 20_000
"""Observations by which clusters are found; a random sample where there are more."""


class InitialTargets:
    """Draws the embedding of a masked observation to the one that the whole observation had before the training, less its batch.

    Where links of features alone tell which components two modalities share, that knowledge is in the initial weights and nowhere
    in the loss: no observation with both holds the two together, and they would drift apart. The means of the batches within
    each cluster are brought together as in :class:`ClusterAlignment`.

    Parameters
    ----------
    n_clusters
        Most clusters; one per 30 observations where there are few.
    n_shrinkage
        Observations at which the shift of a batch is halved.
    strength
        Fraction of the way that the mean of a batch is moved, at most 1.
    """

    def __init__(self, n_clusters: int = 30, n_shrinkage: int = 10, strength: float = 1.0) -> None:
        self.n_clusters, self.n_shrinkage, self.strength = n_clusters, n_shrinkage, min(strength, 1.0)
        self.target_nd, self.variance = torch.empty(0, 0), torch.ones(())

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "target_nd": torch.empty(0, 0)}  # a copy of a model has begun no training

    @property
    def is_prepared(self) -> bool:
        """Whether a training has begun, and has not come to its end."""
        return len(self.target_nd) > 0

    def prepare(self, embedding_nd: Tensor, batch_n: Tensor, seed: int) -> None:
        """Take the targets from the embedding of all observations of the object, as it is before a training.

        Parameters
        ----------
        embedding_nd
            Embedding.
        batch_n
            (n,) int64: batch of each observation, -1 where it is unknown.
        seed
            Seed of the sample that is clustered.
        """
        at_n = torch.randperm(len(embedding_nd), generator=torch.Generator().manual_seed(seed))[:MOST_CLUSTERED]
        n_clusters = max(1, min(self.n_clusters, len(at_n) // 30))
        centre_kd = KMeans(n_clusters, random_state=0).fit(embedding_nd[at_n].numpy()).cluster_centers_
        cluster_n = torch.cdist(embedding_nd, torch.from_numpy(centre_kd).to(embedding_nd)).argmin(1)
        shift_kbd = self.strength * batch_shifts(embedding_nd, cluster_n, batch_n, n_clusters, self.n_shrinkage)
        self.target_nd = embedding_nd + shifts_of(shift_kbd, cluster_n, batch_n)
        self.variance = embedding_nd.var(0, correction=min(1, len(embedding_nd) - 1)).sum().clamp(min=1e-6)

    def __call__(self, mean_nd: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared distance of embeddings to their targets, in units of the total variance before the training."""
        self.target_nd, self.variance = (
            self.target_nd.to(mean_nd.device),
            self.variance.to(mean_nd.device),
        )  # they stay there
        squares_n = (mean_nd - self.target_nd[batch.indices]).square().sum(1)
        return observation_mean(squares_n, batch) / self.variance

    def adversary_weights(self, batch: Batch) -> Tensor | None:
        """Return None: in the adversary's loss all observations count alike."""
        return None

    def refresh(self, embedding_md: Tensor, covariates_mk: Tensor, indices_m: Tensor, *, is_whole: bool = True) -> None:
        """Leave the targets as they are."""

    def clear(self) -> None:
        """Leave the targets as they are: each training prepares its own."""

    def taken(self) -> Tensor | None:
        """Return the targets, (n, d), and keep none of them; None where no training has prepared any."""
        if not self.is_prepared:
            return None
        target_nd, self.target_nd = self.target_nd.cpu(), torch.empty(0, 0)
        return target_nd
