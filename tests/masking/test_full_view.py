"""Masked views beside the unmasked ones."""

import torch

from omicsmlm._types import Grid
from omicsmlm.masking import FULL, PARTIAL, MaskFeatures, WithFullView
from tests.objects import draws_for


def test_the_partial_view_is_that_of_the_masking_and_the_full_one_is_whole():
    values = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    views = {"rna": Grid(values, torch.ones(6, 8, dtype=torch.bool), values.sum(1))}
    alone = MaskFeatures((0.5, 0.5), 0.0)(views, draws_for(views, 3))
    both = WithFullView(MaskFeatures((0.5, 0.5), 0.0))(views, draws_for(views, 3))
    assert set(both.inputs) == {PARTIAL, FULL}
    for a, b in zip(both.inputs[PARTIAL]["rna"], alone.inputs["rna"], strict=True):
        assert torch.equal(a, b)
    assert both.inputs[FULL] is views
    assert both.targets is alone.targets
    assert 0 < int(alone.inputs["rna"].visible.sum()) < 48
