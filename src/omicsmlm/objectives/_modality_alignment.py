"""Alignment of observations that have different modalities, as if these were batches."""

import torch
from torch import Tensor

from omicsmlm._types import Batch

from ._batch_alignment import BatchAlignmentLoss


class ModalityAlignment:
    """A batch-alignment loss that takes the modality subset of an observation for its batch.

    Where the links of features alone bring two modalities together, no observation holds them together in training, as one with
    both would: what has RNA and what has ATAC would drift apart.

    Parameters
    ----------
    loss
        How batches are aligned.
    """

    def __init__(self, loss: BatchAlignmentLoss) -> None:
        self.loss = loss
        self.subset_n = torch.empty(0, dtype=torch.int64)
        """(n_obs,) which modalities each observation of the object has, as a number of the subset; known before a training."""

    def clear(self) -> None:
        """Drop all targets."""
        self.loss.clear()

    def refresh(self, embedding_md: Tensor, covariates_mk: Tensor, indices_m: Tensor, *, is_whole: bool = True) -> None:
        """Find the targets anew, of observations at these positions of the object; their covariates do not matter."""
        self.loss.refresh(embedding_md, self._subsets(indices_m), indices_m, is_whole=is_whole)

    def __call__(self, mean_nd: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch of embeddings."""
        return self.loss(mean_nd, batch._replace(covariates=self._subsets(batch.indices)))

    def _subsets(self, indices_n: Tensor) -> Tensor:
        self.subset_n = self.subset_n.to(indices_n.device)  # it stays there
        return self.subset_n[indices_n][:, None]
