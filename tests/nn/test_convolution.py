"""Towers of convolutions against loops over positions."""

import pytest
import torch
from torch.nn import functional as F

from omicsmlm.nn import AxisConvolution, AxisExpansion, DownTower, UpTower


@pytest.fixture
def states():
    return torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0))


def test_a_convolution_sums_over_its_neighbourhood(states):
    torch.manual_seed(0)
    layer = AxisConvolution(3, 4, 5)
    found = layer(states)
    weight, bias = layer.layer.weight[:, :, 0], layer.layer.bias
    assert found.shape == (2, 12, 4)
    for i in range(2):
        for p in range(12):
            expected = bias.clone()
            for k in range(5):
                if 0 <= p + k - 2 < 12:
                    expected = expected + weight[:, :, k] @ states[i, p + k - 2]
            torch.testing.assert_close(found[i, p], expected)


def test_an_expansion_spreads_each_position_over_its_neighbourhood(states):
    torch.manual_seed(0)
    layer = AxisExpansion(3, 5)
    found = layer(states)
    weight = layer.layer.weight[:, :, 0]  # (in, out, k)
    expected = layer.layer.bias.expand(2, 24, 3).clone()
    for i in range(2):
        for p in range(12):
            for k in range(5):
                if 0 <= 2 * p + k - 2 < 24:
                    expected[i, 2 * p + k - 2] += states[i, p] @ weight[:, :, k]
    torch.testing.assert_close(found, expected)


def test_no_layer_copies_its_states_into_another_layout(states):
    for layer in (AxisConvolution(3, 3, 5), AxisExpansion(3, 5)):
        assert layer.layer.weight.is_contiguous(memory_format=torch.channels_last)
        found = layer(states)
        assert found.is_contiguous()
        image = found.unsqueeze(1).permute(0, 3, 1, 2)
        assert image.is_contiguous(memory_format=torch.channels_last)


def by_hand(level, x, wide):
    """A level of a tower, with the layer norms and the pointwise convolution written out."""

    def normed(x, norm):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight + norm.bias

    x = F.gelu(wide(normed(x, level.norm).transpose(1, 2)).transpose(1, 2))
    kernel = level.pointwise.weight[:, :, None]
    pointwise = F.conv1d(normed(x, level.pointwise_norm).transpose(1, 2), kernel, level.pointwise.bias)
    return x + F.gelu(pointwise.transpose(1, 2))


def test_the_towers_against_one_dimensional_convolutions():
    torch.manual_seed(0)
    down, up = DownTower(6, 3), UpTower(6, 3)
    for tower in (down, up):
        for parameter in tower.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 24, 6)
    short, entered = down(x)
    assert short.shape == (2, 3, 6)
    assert [e.shape[1] for e in entered] == [24, 12, 6]
    expected, residuals = x, []
    for level in down.levels:
        residuals.append(expected)
        conv = level.wide.layer
        expected = by_hand(level, expected, lambda s, c=conv: F.conv1d(s, c.weight[:, :, 0], c.bias, padding=2))
        expected = F.avg_pool1d(expected.transpose(1, 2), 2).transpose(1, 2)
    torch.testing.assert_close(short, expected, atol=1e-5, rtol=1e-4)
    for level, residual in zip(up.levels, reversed(residuals), strict=True):
        conv = level.wide.layer
        expected = residual + by_hand(
            level,
            expected,
            lambda s, c=conv: F.conv_transpose1d(s, c.weight[:, :, 0], c.bias, stride=2, padding=2, output_padding=1),
        )
    torch.testing.assert_close(up(short, entered), expected, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_weight():
    torch.manual_seed(0)
    down, up = DownTower(4, 2), UpTower(4, 2)
    up(*down(torch.randn(1, 8, 4))).square().sum().backward()
    for tower in (down, up):
        assert all(parameter.grad.abs().sum() > 0 for parameter in tower.parameters())
