"""Fusion against PyTorch's attention, row by row; what a row lacks adds nothing."""

import pytest
import torch
from torch.nn import functional as F

from omicsmlm.nn import Fusion, PackedStates
from omicsmlm.nn._fusion import CrossAttention

WIDTH, N_HEADS, NAMES = 8, 2, ["dna", "rna", "protein"]
LENGTHS = {"dna": [3, 0, 2, 1, 0], "rna": [4, 2, 0, 1, 0], "protein": [1, 5, 0, 2, 0]}
KINDS = ["cross_attention", "concatenation", "linear", "perceiver", "c_abstractor"]


def states_of(lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    return PackedStates.of(torch.randn(sum(lengths), WIDTH, generator=generator), torch.tensor([0, *lengths]).cumsum(0))


def streams(rows=slice(None)):
    whole = {name: states_of(LENGTHS[name], i) for i, name in enumerate(NAMES)}
    chosen = torch.arange(5)[rows]
    return {name: states.of_observations(chosen) for name, states in whole.items()}


def made(kind, names=NAMES):
    torch.manual_seed(0)
    fusion = Fusion(names, kind, WIDTH, N_HEADS, n_latents=3)
    with torch.no_grad():
        for weight in fusion.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return fusion.eval()


def parts_of(states):
    ends = states.offsets.tolist()
    return [states.states[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


def attended(layer, x_pd, context_qd):
    """One row, by PyTorch's own attention."""
    if not len(x_pd) or not len(context_qd):
        return x_pd
    normed = F.layer_norm(x_pd, (WIDTH,), layer.norm.weight, layer.norm.bias)
    context = F.layer_norm(context_qd, (WIDTH,), layer.context_norm.weight, layer.context_norm.bias)
    query, key, value = (
        (x @ projection.weight.T).unflatten(1, (N_HEADS, -1)).transpose(0, 1)
        for x, projection in ((normed, layer.query), (context, layer.key), (context, layer.value))
    )
    found = F.scaled_dot_product_attention(query, key, value).transpose(0, 1).flatten(1)
    return x_pd + found @ layer.out.weight.T


def mean_of(x_pd):
    return x_pd.mean(0) if len(x_pd) else torch.zeros(WIDTH)


def test_cross_attention_is_that_of_pytorch_row_by_row():
    torch.manual_seed(0)
    layer = CrossAttention(WIDTH, N_HEADS, 0.0)
    stream, context = states_of([3, 2, 0, 1], 0), states_of([4, 0, 2, 1], 1)
    found = layer(stream, context)
    assert torch.equal(found.offsets, stream.offsets)
    for own, x, other in zip(parts_of(found), parts_of(stream), parts_of(context), strict=True):
        torch.testing.assert_close(own, attended(layer, x, other))
    assert torch.equal(parts_of(found)[1], parts_of(stream)[1]), "an absent context adds exactly nothing"


def test_each_stream_attends_to_the_others_one_after_the_other():
    fusion = made("cross_attention")
    expected = []
    for rows in zip(*(parts_of(streams()[name]) for name in NAMES), strict=True):
        own = dict(zip(NAMES, rows, strict=True))
        pooled = []
        for name in NAMES:
            x = own[name]
            for other in NAMES:
                if other != name:
                    x = attended(fusion.attentions[f"{name} to {other}"], x, own[other])
            pooled.append(mean_of(x))
        expected.append(torch.cat(pooled))
    assert fusion.n_fused == 24
    torch.testing.assert_close(fusion(streams()), torch.stack(expected))


def test_concatenation_pools_and_linear_mixes():
    pooled = [torch.cat([mean_of(x) for x in rows]) for rows in zip(*map(parts_of, streams().values()), strict=True)]
    pooled = torch.stack(pooled)
    beside, linear = made("concatenation"), made("linear")
    torch.testing.assert_close(beside(streams()), pooled)
    torch.testing.assert_close(linear(streams()), pooled @ linear.mixing.weight.T + linear.mixing.bias)
    assert (beside.n_fused, linear.n_fused) == (24, 8)


def test_in_the_perceiver_latents_attend_to_all_positions():
    fusion = made("perceiver")
    expected = []
    for rows in zip(*(parts_of(streams()[name]) for name in NAMES), strict=True):
        expected.append(attended(fusion.reading, fusion.latents, torch.cat(rows)).mean(0))
    found = fusion(streams())
    assert fusion.n_fused == 8
    torch.testing.assert_close(found, torch.stack(expected))
    assert torch.equal(found[4], fusion.latents.mean(0)), "of nothing it says the same of every row"


def test_an_abstractor_is_pooled():
    fusion = made("c_abstractor")
    expected = [fusion.abstractors[name](states).pooled() for name, states in streams().items()]
    assert fusion.n_fused == 24
    torch.testing.assert_close(fusion(streams()), torch.cat(expected, 1))


@pytest.mark.parametrize("kind", ["cross_attention", "concatenation"])
def test_an_absent_stream_gives_zeros_and_adds_nothing(kind):
    fused = made(kind)(streams())
    for i in range(5):
        for m, name in enumerate(NAMES):
            own = fused[i, m * WIDTH : (m + 1) * WIDTH]
            assert bool((own == 0).all()) == (LENGTHS[name][i] == 0)
    rna = streams()["rna"]
    assert torch.equal(fused[2, WIDTH : 2 * WIDTH], torch.zeros(WIDTH))
    torch.testing.assert_close(fused[2, :WIDTH], mean_of(parts_of(streams()["dna"])[2]))
    assert parts_of(rna)[2].shape == (0, WIDTH)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_the_others(kind):
    fusion = made(kind)
    alone = torch.cat([fusion(streams(slice(i, i + 1))) for i in range(5)])
    torch.testing.assert_close(fusion(streams()), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_without_a_modality_or_without_any_row(kind):
    fusion = made(kind)
    without = streams() | {"rna": states_of([0] * 5, 0)}
    assert fusion(without).isfinite().all()
    nothing = {name: states_of([0, 0], 0) for name in NAMES}
    assert fusion(nothing).shape == (2, fusion.n_fused)
    none = {name: states_of([], 0) for name in NAMES}
    assert fusion(none).shape == (0, fusion.n_fused)


@pytest.mark.parametrize("kind", KINDS)
def test_one_stream_is_enough(kind):
    assert made(kind, ["dna"])({"dna": streams()["dna"]}).isfinite().all()


@pytest.mark.parametrize("kind", ["cross_attention", "linear", "perceiver", "c_abstractor"])
def test_every_weight_learns(kind):
    fusion = made(kind)
    fusion(streams()).square().sum().backward()
    for name, weight in fusion.named_parameters():
        assert (weight.grad != 0).any(), name


def test_dropout_is_of_what_attention_adds():
    torch.manual_seed(0)
    layer = CrossAttention(WIDTH, N_HEADS, 0.5)
    stream, context = states_of([40], 0), states_of([4], 1)
    added = (layer(stream, context).states - stream.states).abs() < 1e-7
    assert 0.35 < float(added.float().mean()) < 0.65
    assert not ((layer.eval()(stream, context).states - stream.states).abs() < 1e-7).any()


def test_a_kind_must_be_known():
    with pytest.raises(ValueError, match=r"fusion: expected 'cross_attention' or .*, got 'sum'; pass one of these\."):
        Fusion(NAMES, "sum", WIDTH, N_HEADS)


def test_usual_settings():
    fusion = Fusion(NAMES, "perceiver", WIDTH, N_HEADS)
    assert fusion.latents.shape == (16, WIDTH)
    assert fusion.reading.dropout.p == 0
    assert all(part.dropout.p == 0 for part in Fusion(NAMES, "cross_attention", WIDTH, N_HEADS).attentions.values())
    torch.manual_seed(0)
    wide = Fusion(NAMES, "perceiver", 64, N_HEADS, n_latents=400).latents.detach()
    assert float(wide.std()) == pytest.approx(64**-0.5, rel=0.05)


def test_attention_has_no_biases():
    names = {name for name, _ in CrossAttention(WIDTH, N_HEADS, 0.0).named_parameters() if name.endswith("bias")}
    assert names == {"norm.bias", "context_norm.bias"}
