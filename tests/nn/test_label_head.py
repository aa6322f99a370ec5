import numpy as np
import torch

from omicsmlm.nn import LabelHead


def head_of(seed: int = 0) -> LabelHead:
    generator = torch.Generator().manual_seed(seed)
    head = LabelHead(4, 3)
    with torch.no_grad():
        head.linear.weight.copy_(torch.randn(3, 4, generator=generator))
        for name in ("within_dd", "overall_dd", "means_cd", "centre_d"):
            part = getattr(head, name)
            part.copy_(torch.randn(part.shape, generator=generator))
        head.scale.fill_(2.0)
        head.temperature.fill_(1.5)
    return head


def test_novelty_is_the_relative_mahalanobis_distance():
    head, z_nd = head_of(), torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    within, overall = (np.asarray(part @ part.T, dtype=float) for part in (head.within_dd, head.overall_dd))
    x_nd = ((z_nd - head.centre_d) / 2).double().numpy()
    by_hand = [min((x - m) @ within @ (x - m) for m in head.means_cd.double().numpy()) - x @ overall @ x for x in x_nd]
    np.testing.assert_allclose(head.novelty(z_nd), by_hand, rtol=1e-4)


def test_the_temperature_divides_the_logits():
    head, z_nd = head_of(), torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits_nc = (z_nd - head.centre_d) / 2 @ head.linear.weight.T + head.linear.bias
        torch.testing.assert_close(head(z_nd), logits_nc)
        torch.testing.assert_close(head.probabilities(z_nd), torch.softmax(logits_nc / 1.5, 1))


def test_an_unfitted_head_takes_the_embedding_as_it_is_and_rejects_nothing():
    head = LabelHead(4, 3)
    z_nd = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(head.scaled(z_nd), z_nd)
    assert float(head.temperature) == 1
    assert float(head.threshold) == np.inf
    torch.testing.assert_close(head.novelty(z_nd), torch.zeros(5), atol=1e-6, rtol=0)
    shapes = {"means_cd": (3, 4), "within_dd": (4, 4), "overall_dd": (4, 4), "centre_d": (4,), "linear.weight": (3, 4)}
    assert {name: tuple(head.state_dict()[name].shape) for name in shapes} == shapes


def test_hidden_layers_add_nothing_at_first():
    head = LabelHead(4, 3, (5, 2))
    z_nd = torch.randn(6, 4)
    torch.testing.assert_close(head(z_nd), head.linear(z_nd))
    with torch.no_grad():
        head.hidden[-1].weight.fill_(1.0)
        first, second = (head.hidden[k] for k in (0, 2))
        hidden_nd = torch.selu(torch.selu(z_nd @ first.weight.T + first.bias) @ second.weight.T + second.bias)
        torch.testing.assert_close(head(z_nd), head.linear(z_nd) + hidden_nd.sum(1, keepdim=True))
