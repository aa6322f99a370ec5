"""Each token is the embedding of its feature with the value beside it; a row's own comes first."""

import pytest
import torch

from omicsmlm import _sizes
from omicsmlm.nn import ConcatenatedTokens


def made(n=4, g=7):
    torch.manual_seed(0)
    visible = torch.rand(n, g) < 0.5
    visible[1], visible[2] = False, True
    return ConcatenatedTokens(g, 5), torch.randn(n, g) * visible, visible


def test_tokens_of_a_loop():
    layer, values, visible = made()
    x_td, offsets = layer(values, visible)
    assert offsets.tolist() == [0, *(visible.sum(1) + 1).cumsum(0).tolist()]
    for i in range(4):
        own = x_td[offsets[i] : offsets[i + 1]]
        assert torch.equal(own[0], layer.first)
        for token, j in zip(own[1:], visible[i].nonzero()[:, 0], strict=True):
            assert torch.equal(token[:4], layer.features.weight[j])
            assert token[4] == values[i, j]


def test_a_row_of_which_nothing_is_seen_is_its_own_token():
    layer, values, visible = made()
    x_td, offsets = layer(values, torch.zeros_like(visible))
    assert torch.equal(x_td, layer.first.expand(4, -1))
    assert offsets.tolist() == [0, 1, 2, 3, 4]


def test_what_is_not_seen_leaves_no_trace():
    layer, values, visible = made()
    changed = torch.where(visible, values, 9.0)
    assert torch.equal(layer(values, visible)[0], layer(changed, visible)[0])


def test_everything_learns():
    layer, values, visible = made()
    values.requires_grad_()
    x_td, _ = layer(values, visible)
    x_td.square().sum().backward()
    assert (layer.features.weight.grad != 0).all()
    assert (layer.first.grad != 0).all()
    assert torch.equal(values.grad != 0, visible)


def test_on_a_device_zeros_stand_behind_the_last_observation(monkeypatch):
    layer, values, visible = made()
    expected, offsets = layer(values, visible)
    monkeypatch.setattr(_sizes, "is_on_host", lambda tensor: False)
    for most in (None, int(visible.sum(1).max())):
        found, again = layer(values, visible, most)
        assert torch.equal(again, offsets)
        assert len(found) == 4 * (7 if most is None else most) + 4
        assert torch.equal(found[: len(expected)], expected)
        assert not found[len(expected) :].any()


def test_an_observations_own_token_starts_small():
    torch.manual_seed(0)
    layer = ConcatenatedTokens(3, 4000)
    assert float(layer.first.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert layer.features.weight.shape == (3, 3999)
