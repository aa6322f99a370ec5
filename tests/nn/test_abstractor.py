"""The abstractor against PyTorch's convolution, observation by observation."""

import pytest
import torch
from torch.nn import functional as F

from omicsmlm.nn import PackedStates, _abstractor
from omicsmlm.nn._abstractor import Abstractor, NeighbourBlock

WIDTH = 6


def stream(*lengths):
    generator = torch.Generator().manual_seed(0)
    states_pd = torch.randn(sum(lengths), WIDTH, generator=generator)
    return PackedStates.of(states_pd, torch.tensor([0, *lengths]).cumsum(0))


def made(kind, *arguments):
    torch.manual_seed(0)
    return kind(WIDTH, *arguments, 0.0).eval()


def convolved(block, x_pd):
    """By PyTorch's own convolution, padded by zeros."""
    normed_pd = F.layer_norm(x_pd, (WIDTH,))
    weight_ddk = block.convolution.weight.unflatten(1, (3, WIDTH)).transpose(1, 2)
    found_dp = F.conv1d(normed_pd.T[None], weight_ddk, block.convolution.bias, padding=1)[0]
    return x_pd + block.out(F.gelu(found_dp.T))


def parts_of(states):
    ends = states.offsets.tolist()
    return [states.states[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


@torch.no_grad()
def test_a_block_is_a_convolution_of_each_observation_alone():
    block, whole = made(NeighbourBlock), stream(3, 0, 1, 5, 2)
    for found, x_pd in zip(parts_of(block(whole)), parts_of(whole), strict=True):
        torch.testing.assert_close(found, convolved(block, x_pd) if len(x_pd) else x_pd)


@torch.no_grad()
def test_between_the_blocks_states_are_averaged():
    abstractor, whole = made(Abstractor, 2), stream(4, 0, 1)
    found = abstractor(whole)
    assert found.lengths == [2, 0, 1]
    x_pd = parts_of(whole)[0]
    for block in abstractor.before:
        x_pd = convolved(block, x_pd)
    x_pd = torch.stack([x_pd[:2].mean(0), x_pd[2:].mean(0)])
    for block in abstractor.behind:
        x_pd = convolved(block, x_pd)
    torch.testing.assert_close(parts_of(found)[0], x_pd)


@pytest.mark.parametrize("lengths", [(), (0, 0)])
def test_of_nothing_nothing_is_left(lengths):
    assert made(Abstractor, 2)(stream(*lengths)).states.shape == (0, WIDTH)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _abstractor.N_BLOCKS == 3
