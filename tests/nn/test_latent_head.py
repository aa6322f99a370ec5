"""From the state of a row to its latent, worked by hand."""

import pytest
import torch
from torch.nn import functional as F

from omicsmlm._draws import Draws
from omicsmlm._types import Encoded
from omicsmlm.nn import LatentHead, drawn


@pytest.fixture
def readout():
    torch.manual_seed(0)
    return LatentHead(width=6, n_nonlinear=2, n_linear=4, dropout=0.5).eval()


@pytest.fixture
def states():
    return torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))


def test_the_latent_is_that_of_its_equation(readout, states):
    summed_nd, state_nd = states
    readout.scale_d.copy_(torch.arange(1.0, 7))
    with torch.no_grad():
        readout.log_variance.weight.mul_(30)
    found = readout(summed_nd, state_nd)
    norm, _, _, linear, other_norm = readout.hidden[:5]
    f_nd = F.gelu(F.layer_norm(state_nd, (6,), norm.weight, norm.bias))
    f_nd = F.gelu(F.layer_norm(f_nd @ linear.weight.T + linear.bias, (6,), other_norm.weight, other_norm.bias))
    mean_nd = f_nd @ readout.mean.weight.T + readout.mean.bias + summed_nd @ readout.skip.weight.T
    torch.testing.assert_close(found.mean, mean_nd * readout.scale_d)
    log_variance_nd = f_nd @ readout.log_variance.weight.T + readout.log_variance.bias
    assert log_variance_nd.min() < -8
    assert log_variance_nd.max() > 4
    torch.testing.assert_close(found.log_variance, log_variance_nd.clamp(-8, 4))
    assert readout.n_latent == 6


def test_it_starts_as_the_linear_path_alone(readout, states):
    summed_nd, state_nd = states
    readout.initialize(0.0)
    readout.initialize_linear(1, torch.tensor([1.0, 0.5, 0.25]), 3.0)
    found = readout(summed_nd, state_nd)
    torch.testing.assert_close(found.mean[:, 2:5], 3 * summed_nd[:, 1:4] * torch.tensor([1.0, 0.5, 0.25]))
    assert not found.mean[:, 5].any(), "a linear dimension that no component leads to"
    assert found.mean[:, :2].std() > 0, "what is not linear is the network's"
    other = readout(summed_nd + 1, state_nd).mean
    torch.testing.assert_close(other[:, :2], found.mean[:, :2])
    assert float(found.log_variance.detach().mean()) == pytest.approx(-2, abs=0.3)


def test_the_network_adds_a_scaled_part_to_linear_dimensions(readout, states):
    summed_nd, state_nd = states
    before = readout(torch.zeros_like(summed_nd), state_nd).mean - readout.mean.bias
    readout.initialize(0.2)
    found = readout(torch.zeros_like(summed_nd), state_nd).mean
    torch.testing.assert_close(found[:, 2:], 0.2 * before[:, 2:])
    torch.testing.assert_close(found[:, :2], before[:, :2])


def test_components_are_led_to_dimensions_that_are_free(readout):
    readout.initialize(0.0)
    readout.initialize_linear(0, torch.tensor([1.0, 0.5]), 5.0)
    readout.initialize_linear(3, torch.tensor([0.4, 0.3, 0.2]), 5.0)
    assert readout.skip.weight.nonzero().tolist() == [[2, 0], [3, 1], [4, 3], [5, 4]], "and no more than there are"
    assert set(readout.skip.weight[readout.skip.weight != 0].tolist()) == {5.0}
    torch.testing.assert_close(readout.scale_d, torch.tensor([1, 1, 1, 0.5, 0.4, 0.3]))


def test_the_scale_is_not_trained_and_saved(readout):
    assert "scale_d" not in dict(readout.named_parameters())
    assert "scale_d" in readout.state_dict()


def test_a_latent_is_drawn_from_its_posterior_where_there_are_draws():
    mean_nd, variance_d = torch.tensor([[1.0, -2.0]]).expand(50_000, 2), torch.tensor([4.0, 0.25])
    encoded = Encoded(mean_nd, variance_d.log().expand(50_000, 2))
    assert torch.equal(drawn(encoded, None), mean_nd)
    z_nd = drawn(encoded, Draws(0, torch.arange(50_000)))
    torch.testing.assert_close(z_nd.mean(0), mean_nd[0], atol=0.03, rtol=0)
    torch.testing.assert_close(z_nd.var(0), variance_d, rtol=0.03, atol=0)


def test_it_starts_with_a_small_variance_and_an_untouched_network(readout):
    before = {name: weight.detach().clone() for name, weight in readout.named_parameters()}
    readout.initialize(0.3)
    assert not readout.skip.weight.any()
    torch.testing.assert_close(readout.mean.weight[:2].detach(), before["mean.weight"][:2])
    torch.testing.assert_close(readout.mean.weight[2:].detach(), 0.3 * before["mean.weight"][2:])
    assert not readout.mean.bias.any()
    torch.testing.assert_close(readout.log_variance.weight.detach(), 0.1 * before["log_variance.weight"])
    assert set(readout.log_variance.bias.tolist()) == {-2.0}
    assert [layer.p for layer in readout.hidden if isinstance(layer, torch.nn.Dropout)] == [0.5, 0.5]
    assert readout.skip.bias is None
