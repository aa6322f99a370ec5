"""Alignment of modality subsets against that of batches with the same codes."""

import torch

from omicsmlm._types import Batch
from omicsmlm.objectives import ClusterAlignment, ModalityAlignment, MutualNeighbours


def batch_of(indices, covariates):
    return Batch({}, {}, {}, covariates, indices)


def losses(kind):
    """Of 40 observations of two subsets, by their own and by batches that are the same, at some of them."""
    z_md = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    subset_n = torch.arange(50) % 2 + 1
    indices_m, unlike = torch.arange(5, 45), torch.zeros(40, 1, dtype=torch.int64)
    aligned, plain = ModalityAlignment(kind()), kind()
    aligned.subset_n = subset_n
    aligned.refresh(z_md, unlike, indices_m)
    plain.refresh(z_md, subset_n[indices_m][:, None], indices_m)
    at_n = torch.tensor([7, 8, 20, 44])
    z_nd = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    return aligned, aligned(z_nd, batch_of(at_n, unlike[:4])), plain(z_nd, batch_of(at_n, subset_n[at_n][:, None]))


def test_a_subset_of_modalities_counts_as_a_batch():
    for kind in (ClusterAlignment, MutualNeighbours):
        aligned, found, expected = losses(kind)
        assert torch.equal(found, expected)
        assert found > 0
        aligned.clear()
        assert aligned(torch.ones(1, 3), batch_of(torch.tensor([7]), torch.zeros(1, 1).long())) == 0


def test_subsets_that_lie_apart_are_drawn_together():
    z_md = torch.cat([torch.zeros(30, 2), torch.full((30, 2), 4.0)]) + 0.1 * torch.randn(60, 2)
    loss = ModalityAlignment(ClusterAlignment(n_clusters=1))
    loss.subset_n = torch.arange(60) // 30
    loss.refresh(z_md, torch.empty(60, 0, dtype=torch.int64), torch.arange(60))
    apart = loss(z_md, batch_of(torch.arange(60), torch.zeros(60, 1).long()))
    together = loss(torch.full((60, 2), 2.0), batch_of(torch.arange(60), torch.zeros(60, 1).long()))
    assert together < 0.2 * apart
