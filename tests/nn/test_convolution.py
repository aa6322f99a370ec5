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


@pytest.mark.parametrize(("form", "shift"), [("published", 1), ("former", 2)])
def test_an_expansion_spreads_each_position_over_its_neighbourhood(states, form, shift):
    torch.manual_seed(0)
    layer = AxisExpansion(3, 5, form)
    found = layer(states)
    weight = layer.layer.weight[:, :, 0]  # (in, out, k)
    expected = layer.layer.bias.expand(2, 24, 3).clone()
    for i in range(2):
        for p in range(12):
            for k in range(5):
                if 0 <= 2 * p + k - shift < 24:
                    expected[i, 2 * p + k - shift] += states[i, p] @ weight[:, :, k]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("form", "reached"), [("published", [5, 6, 7, 8, 9]), ("former", [4, 5, 6, 7, 8])])
def test_the_third_position_reaches_what_it_does_in_the_authors_code(form, reached):
    layer, x = AxisExpansion(1, 5, form), torch.zeros(1, 8, 1)
    x[0, 3] = 1.0
    torch.nn.init.ones_(layer.layer.weight)
    torch.nn.init.zeros_(layer.layer.bias)
    assert layer(x)[0, :, 0].nonzero()[:, 0].tolist() == reached


@pytest.mark.parametrize("form", ["published", "former"])
def test_a_kernel_of_one_or_three_expands_to_twice_the_positions(states, form):
    for kernel in (1, 3, 7):
        assert AxisExpansion(3, kernel, form)(states).shape == (2, 24, 3)


def test_no_layer_copies_its_states_into_another_layout(states):
    for layer in (AxisConvolution(3, 3, 5), AxisExpansion(3, 5, "former")):
        assert layer.layer.weight.is_contiguous(memory_format=torch.channels_last)
        found = layer(states)
        assert found.is_contiguous()
        image = found.unsqueeze(1).permute(0, 3, 1, 2)
        assert image.is_contiguous(memory_format=torch.channels_last)


def gelu(x, form):
    """Exact, or by the published approximation with tanh."""
    if form == "former":
        return 0.5 * x * (1 + torch.erf(x / 2**0.5))
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def by_hand(level, x, wide, form):
    """A level of a tower, with the layer norms and the pointwise convolution written out."""

    def normed(x, norm):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight + norm.bias

    x = gelu(wide(normed(x, level.norm).transpose(1, 2)).transpose(1, 2), form)
    kernel = level.pointwise.weight[:, :, None]
    pointwise = F.conv1d(normed(x, level.pointwise_norm).transpose(1, 2), kernel, level.pointwise.bias)
    return x + gelu(pointwise.transpose(1, 2), form)


def whole_expansion(s, layer):
    """All outputs that any input reaches, 2 l + 3, and one more."""
    return F.conv_transpose1d(s, layer.weight[:, :, 0], layer.bias, stride=2, output_padding=1)


@pytest.mark.parametrize("form", ["published", "former"])
def test_the_towers_against_one_dimensional_convolutions(form):
    torch.manual_seed(0)
    down, up = DownTower(6, 3, form=form), UpTower(6, 3, form=form)
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
        expected = by_hand(level, expected, lambda s, c=conv: F.conv1d(s, c.weight[:, :, 0], c.bias, padding=2), form)
        expected = F.avg_pool1d(expected.transpose(1, 2), 2).transpose(1, 2)
    torch.testing.assert_close(short, expected, atol=1e-5, rtol=1e-4)
    before = 1 if form == "published" else 2
    for level, residual in zip(up.levels, reversed(residuals), strict=True):
        conv = level.wide.layer
        expected = residual + by_hand(
            level,
            expected,
            lambda s, c=conv: whole_expansion(s, c)[:, :, before : before + 2 * s.shape[2]],
            form,
        )
    torch.testing.assert_close(up(short, entered), expected, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_weight():
    torch.manual_seed(0)
    down, up = DownTower(4, 2), UpTower(4, 2)
    up(*down(torch.randn(1, 8, 4))).square().sum().backward()
    for tower in (down, up):
        assert all(parameter.grad.abs().sum() > 0 for parameter in tower.parameters())
