"""The set encoder and latent attention against loops over tokens."""

import numpy as np
import pytest
import torch

from omicsmlm.nn import Estimates, LatentAttention, SetEncoder

SIZES = {"rna": 5, "atac": 3}


@pytest.fixture
def scaled():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(4, g, generator=generator) for name, g in SIZES.items()}


def test_the_sum_over_tokens(scaled):
    torch.manual_seed(0)
    encoder = SetEncoder(SIZES, 6)
    with torch.no_grad():
        for vector in encoder.combination.absent:
            vector.normal_()
        for vector in (*encoder.combination.log_precision, *encoder.combination.offset):
            vector.normal_()
    relative_depth = {"rna": torch.tensor([1.0, 0.0, 0.5, 1.0]), "atac": torch.tensor([1.0, 0.2, 0.0, 2.0])}
    out = encoder(scaled, relative_depth)
    for i in range(4):
        expected, total = torch.zeros(6), torch.zeros(6)
        for m, name in enumerate(SIZES):
            precision = relative_depth[name][i] * encoder.combination.log_precision[m].exp()
            total = total + precision
            expected = expected + precision * encoder.combination.offset[m]
            for g in range(SIZES[name]):
                expected = expected + precision * scaled[name][i, g] * encoder.features[m].weight[:, g]
        expected = expected / total
        for m, name in enumerate(SIZES):
            if relative_depth[name][i] == 0:
                expected = expected + encoder.combination.absent[m]
        torch.testing.assert_close(out[i], expected)


def test_of_one_modality_the_sum_is_plain(scaled):
    encoder = SetEncoder({"rna": 5}, 6)
    out = encoder({"rna": scaled["rna"]}, {"rna": torch.full((4,), 0.1)})
    torch.testing.assert_close(out, scaled["rna"] @ encoder.features[0].weight.T)


def test_the_linear_start_gives_the_directions():
    encoder = SetEncoder(SIZES, 6)
    directions = np.arange(10, dtype=np.float32).reshape(5, 2)
    encoder.shrink()
    offset, precision = np.array([[1, 2], [4, 9]], dtype=np.float32)
    encoder.initialize("rna", Estimates(directions, offset, precision), 1)
    assert torch.equal(encoder.features[0].weight[1:3].detach(), torch.from_numpy(directions.T))
    assert float(encoder.features[0].weight[3:].detach().abs().max()) < 0.1, "the other dimensions start small"
    assert torch.equal(encoder.combination.offset[0].detach(), torch.tensor([0.0, 1, 2, 0, 0, 0]))
    torch.testing.assert_close(encoder.combination.log_precision[0][1:3].exp().detach(), torch.tensor([4.0, 9.0]))


@pytest.fixture
def attention():
    torch.manual_seed(0)
    layer = LatentAttention(SIZES, n_latents=3, width=8, n_layers=1, n_out=6, dropout=0.0).eval()
    with torch.no_grad():
        layer.out.weight.normal_()
        layer.out.bias.normal_()
    return layer


def test_attention_over_the_visible_tokens(scaled, attention):
    visible = {"rna": torch.tensor([[1, 1, 0, 1, 0]] * 4).bool(), "atac": torch.tensor([[0, 1, 1]] * 4).bool()}
    out = attention(scaled, visible)
    x = torch.cat([scaled["rna"], scaled["atac"]], 1)
    visible = torch.cat([visible["rna"], visible["atac"]], 1)
    for i in range(4):
        at = visible[i].nonzero()[:, 0]
        keys = x[i, at, None] * attention.keys[at] + attention.key_offsets[at]
        values = x[i, at, None] * attention.values[at] + attention.value_offsets[at]
        weight = (attention.queries @ keys.T / 8**0.5).softmax(1)
        latents = attention.layers((attention.queries + weight @ values)[None])[0]
        torch.testing.assert_close(out[i], attention.out(attention.norm(latents).mean(0)), atol=1e-5, rtol=1e-4)


def test_attention_of_a_row_of_nothing_is_zero(scaled, attention):
    nothing = {name: torch.zeros(4, g, dtype=torch.bool) for name, g in SIZES.items()}
    assert not attention({name: torch.zeros(4, g) for name, g in SIZES.items()}, nothing).any()


def test_attention_does_not_see_the_hidden(scaled, attention):
    visible = {name: torch.ones(4, g, dtype=torch.bool) for name, g in SIZES.items()}
    visible["rna"][:, 2] = False
    out = attention(scaled, visible)
    scaled["rna"][:, 2] = 99
    torch.testing.assert_close(attention(scaled, visible), out)


def test_attention_starts_as_nothing(scaled):
    layer = LatentAttention(SIZES, 3, 8, 1, 6, 0.0)
    assert not layer(scaled, {name: torch.ones(4, g, dtype=torch.bool) for name, g in SIZES.items()}).any()
