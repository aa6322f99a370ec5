"""The residual decoder against its equation, and its start."""

import pytest
import torch
from torch.nn import functional as F

from omicsmlm.nn import ResidualDecoder


@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_layer_by_layer(n_layers):
    torch.manual_seed(0)
    model = ResidualDecoder(6, n_layers, 9)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    state = torch.randn(4, 6)
    h = F.layer_norm(state, (6,), model.norm.weight, model.norm.bias)
    for layer in list(model.layers)[:n_layers]:
        norm, first, _, second = layer.branch
        normed = F.layer_norm(h, (6,), norm.weight, norm.bias)
        h = h + F.gelu(normed @ first.weight.T + first.bias) @ second.weight.T + second.bias
    if n_layers:
        h = F.layer_norm(h, (6,), model.layers[-1].weight, model.layers[-1].bias)
    torch.testing.assert_close(model(state), h @ model.out.weight.T + model.out.bias)


def test_it_starts_near_the_logits_that_it_is_given():
    torch.manual_seed(0)
    model = ResidualDecoder(32, 4, 500)
    bias = torch.linspace(0.1, 8, 500)
    model.initialize(bias, scale=0.01)
    departure = model(torch.randn(300, 32) * 5).detach() - bias
    assert float(departure.std()) == pytest.approx(0.01, rel=0.15)
    assert (ResidualDecoder(32, 4, 500)(torch.randn(300, 32)) > 0).all(), "positive, also where nothing was fitted"


def test_every_weight_learns():
    torch.manual_seed(0)
    model = ResidualDecoder(6, 2, 9)
    model(torch.randn(4, 6)).square().sum().backward()
    for name, weight in model.named_parameters():
        assert (weight.grad != 0).any(), name


def test_it_starts_with_logits_of_a_half_and_weights_of_a_hundredth():
    torch.manual_seed(0)
    model = ResidualDecoder(64, 1, 900)
    assert set(model.out.bias.tolist()) == {0.5}
    assert float(model.out.weight.detach().std()) == pytest.approx(0.01 / 8, rel=0.03)
    model.initialize(torch.zeros(900))
    assert float(model.out.weight.detach().std()) == pytest.approx(0.01 / 8, rel=0.03)
    assert not model.out.bias.any()
