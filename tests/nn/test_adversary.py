"""The adversary and its reversed gradient."""

import torch
from torch.nn import functional as F

from omicsmlm.nn import Adversary, reverse_gradient


def test_values_pass_and_gradients_change_their_sign():
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    out = reverse_gradient(x)
    assert torch.equal(out, x)
    (out * torch.tensor([4.0, 5.0, 6.0])).sum().backward()
    assert x.grad.tolist() == [-4, -5, -6]


def test_the_adversary_learns_to_guess_what_the_latent_learns_to_hide():
    torch.manual_seed(0)
    adversary, z_nd, batch_n = Adversary(3, 2, width=8), torch.randn(6, 3, requires_grad=True), torch.arange(6) % 2
    first, second, last = (layer for layer in adversary.layers if isinstance(layer, torch.nn.Linear))
    hidden = F.gelu(second(F.gelu(first(z_nd))))
    torch.testing.assert_close(adversary(z_nd), last(hidden))
    (plain,) = torch.autograd.grad(F.cross_entropy(last(hidden), batch_n), z_nd)
    loss = F.cross_entropy(adversary(z_nd), batch_n)
    found, of_layer = torch.autograd.grad(loss, [z_nd, last.weight])
    torch.testing.assert_close(found, -plain)
    with torch.no_grad():
        last.weight -= 0.1 * of_layer
    assert F.cross_entropy(adversary(z_nd), batch_n) < loss


def test_it_is_128_wide_unless_told_otherwise():
    assert [tuple(p.shape) for p in Adversary(3, 5).parameters() if p.ndim > 1] == [(128, 3), (128, 128), (5, 128)]
