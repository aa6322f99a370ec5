"""Latent attention against loops over tokens."""

import pytest
import torch

from omicsmlm.nn import LatentAttention

SIZES = {"rna": 5, "atac": 3}


@pytest.fixture
def scaled():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(4, g, generator=generator) for name, g in SIZES.items()}


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


def test_layers_among_the_latents(attention):
    layer = attention.layers[0]
    assert (layer.self_attn.num_heads, layer.linear1.out_features, layer.norm_first) == (4, 32, True)
    assert layer.self_attn.batch_first
    assert layer.activation is torch.nn.functional.gelu
    assert len(LatentAttention(SIZES, 3, 8, 2, 6, 0.0).layers) == 2
    assert attention.keys.shape == (8, 8), "a row for each feature of all modalities"


def test_tables_begin_with_rows_of_about_length_one():
    torch.manual_seed(0)
    layer = LatentAttention({"rna": 500}, 3, 64, 1, 6, 0.0)
    for table in (layer.keys, layer.key_offsets, layer.values, layer.value_offsets):
        assert float(table.detach().norm(dim=1).mean()) == pytest.approx(1, abs=0.05)
