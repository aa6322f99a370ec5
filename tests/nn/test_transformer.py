"""Packed transformers against PyTorch's own, and against their equations row by row."""

import pytest
import torch
from torch.nn import functional as F

from omicsmlm.nn import LatentTransformer, PackedTransformer

LENGTHS = [5, 1, 0, 9, 2]
WIDTH, N_HEADS = 16, 4


def packed(dropout=0.0, layer_scale=0.1):
    torch.manual_seed(0)
    return PackedTransformer(WIDTH, 2, N_HEADS, 24, dropout, layer_scale)


def latent(dropout=0.0, layer_scale=0.1):
    torch.manual_seed(0)
    return LatentTransformer(WIDTH, 3, 2, N_HEADS, 24, dropout, layer_scale)


MAKERS = pytest.mark.parametrize("make", [packed, latent])


def offsets_of(lengths):
    return torch.tensor([0, *lengths]).cumsum(0)


@pytest.fixture
def x_td():
    return torch.randn(sum(LENGTHS), WIDTH, generator=torch.Generator().manual_seed(1))


def attention(layer, x, context):
    """Multi-head attention of (l, d) to (m, d), a head at a time."""
    heads = []
    for query, key, value in zip(
        *(y.chunk(N_HEADS, 1) for y in (layer.query(x), layer.key(context), layer.value(context))), strict=True
    ):
        heads.append((query @ key.T / query.shape[1] ** 0.5).softmax(1) @ value)
    return layer.out(torch.cat(heads, 1))


def block(layer, x, context=None):
    normed = layer.norm(x)
    x = x + layer.attention_scale * attention(
        layer.attention, normed, normed if context is None else layer.context_norm(context)
    )
    norm, wide, _, narrow = layer.feed_forward
    return x + layer.feed_forward_scale * narrow(F.gelu(wide(norm(x))))


def randomised(model):
    """Give every weight a value of its own, so that none can go missing unnoticed."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model


def test_with_scales_of_one_it_is_torchs_own_encoder(x_td):
    model = randomised(packed(layer_scale=1.0))
    layer = torch.nn.TransformerEncoderLayer(WIDTH, N_HEADS, 24, 0.0, "gelu", batch_first=True, norm_first=True)
    reference = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    with torch.no_grad():
        for own, other in zip(model.blocks, reference.layers, strict=True):
            own.attention_scale.fill_(1)
            own.feed_forward_scale.fill_(1)
            joined = own.attention.query, own.attention.key, own.attention.value
            other.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in joined]))
            other.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in joined]))
            other.self_attn.out_proj.load_state_dict(own.attention.out.state_dict())
            other.norm1.load_state_dict(own.norm.state_dict())
            norm, wide, _, narrow = own.feed_forward
            other.norm2.load_state_dict(norm.state_dict())
            other.linear1.load_state_dict(wide.state_dict())
            other.linear2.load_state_dict(narrow.state_dict())
    lengths = torch.tensor(LENGTHS)
    seen_nl = torch.arange(int(lengths.max())) < lengths[:, None]
    x_nld = torch.zeros(*seen_nl.shape, WIDTH).masked_scatter(seen_nl[..., None], x_td)
    kept = lengths > 0  # torch's own gives NaN for a row of padding alone
    states_nld = reference(x_nld[kept], src_key_padding_mask=~seen_nl[kept])
    torch.testing.assert_close(model(x_td, offsets_of(LENGTHS)), states_nld[seen_nl[kept]], atol=1e-5, rtol=1e-5)


def test_the_packed_transformer_row_by_row(x_td):
    model = randomised(packed())
    out = model(x_td, offsets_of(LENGTHS)).split(LENGTHS)
    for row, states in zip(x_td.split(LENGTHS), out, strict=True):
        for layer in model.blocks:
            row = block(layer, row)
        torch.testing.assert_close(states, row, atol=1e-5, rtol=1e-5)


def test_the_latent_transformer_row_by_row(x_td):
    model = randomised(latent())
    out = model(x_td, offsets_of(LENGTHS)).split(LENGTHS)
    for row, states in zip(x_td.split(LENGTHS), out, strict=True):
        if not len(row):
            continue
        latents = block(model.read, model.latents, row)
        for layer in model.blocks:
            latents = block(layer, latents)
        torch.testing.assert_close(states, block(model.write, row, latents), atol=1e-5, rtol=1e-5)


@MAKERS
def test_a_row_depends_on_itself_alone(make, x_td):
    model = randomised(make()).eval()
    out = model(x_td, offsets_of(LENGTHS)).split(LENGTHS)
    order = [3, 2, 4, 1, 0]
    parts = x_td.split(LENGTHS)
    shuffled = model(torch.cat([parts[i] for i in order]), offsets_of([LENGTHS[i] for i in order]))
    for i, states in zip(order, shuffled.split([LENGTHS[i] for i in order]), strict=True):
        torch.testing.assert_close(states, out[i], atol=1e-5, rtol=0)
        torch.testing.assert_close(model(parts[i], offsets_of([LENGTHS[i]])), out[i], atol=1e-5, rtol=0)


@MAKERS
def test_a_row_is_a_set(make, x_td):
    model = randomised(make()).eval()
    order = torch.cat([torch.randperm(5, generator=torch.Generator().manual_seed(0)), torch.arange(5, len(x_td))])
    out = model(x_td, offsets_of(LENGTHS))
    torch.testing.assert_close(model(x_td[order], offsets_of(LENGTHS)), out[order], atol=1e-5, rtol=0)


@MAKERS
def test_a_token_hears_of_the_others_of_its_row(make, x_td):
    model = randomised(make()).eval()
    out = model(x_td, offsets_of(LENGTHS))
    changed = x_td.clone()
    changed[0, 0] += 1
    difference = (model(changed, offsets_of(LENGTHS)) - out).abs().amax(1)
    assert (difference[:5] > 1e-4).all()
    assert (difference[5:] < 1e-5).all()


@MAKERS
@pytest.mark.parametrize("lengths", [[0, 0], []])
def test_nothing_comes_out_of_nothing(make, lengths):
    assert make()(torch.zeros(0, WIDTH), offsets_of(lengths)).shape == (0, WIDTH)


@MAKERS
def test_every_weight_learns(make, x_td):
    model = randomised(make())
    model(x_td, offsets_of(LENGTHS)).square().sum().backward()
    for name, weight in model.named_parameters():
        if name.endswith("attention.key.bias"):
            continue  # it adds the same to all scores of a query, which a softmax does not see
        assert weight.grad is not None, name
        assert float(weight.grad.abs().max()) > 1e-5, name


@MAKERS
def test_gradients_are_those_of_finite_differences(make, x_td):
    model = randomised(make()).double()
    x_td = x_td[:7].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x_td: model(x_td, offsets_of([5, 2])), x_td)


@MAKERS
def test_it_starts_near_the_identity(make, x_td):
    shift = make(layer_scale=1e-3)(x_td, offsets_of(LENGTHS)) - x_td
    assert 0 < float(shift.detach().abs().max()) < 0.02


@MAKERS
def test_dropout_in_training_alone(make, x_td):
    model, plain = make(dropout=0.5, layer_scale=1.0), make(layer_scale=1.0)
    offsets = offsets_of(LENGTHS)
    assert torch.equal(model.eval()(x_td, offsets), plain(x_td, offsets))
    model.train()
    one, other = model(x_td, offsets), model(x_td, offsets)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("lengths", [[5, 1, 9, 2], [4, 4, 4]])
def test_the_first_token_of_each_row_alone(x_td, lengths):
    model = randomised(packed()).eval()
    x_td, offsets = x_td[: sum(lengths)], offsets_of(lengths)
    torch.testing.assert_close(model.firsts(x_td, offsets), model(x_td, offsets)[offsets[:-1]], atol=1e-6, rtol=1e-5)
    no_blocks = PackedTransformer(WIDTH, 0, N_HEADS, 24)
    assert torch.equal(no_blocks.firsts(x_td, offsets), x_td[offsets[:-1]])


def deep(rate, n_layers=2):
    torch.manual_seed(0)
    return randomised(PackedTransformer(WIDTH, n_layers, N_HEADS, 24, stochastic_depth=rate))


def test_with_stochastic_depth_a_row_skips_branches_as_a_whole(x_td):
    """The second of two blocks skips each of its branches in half of the rows; the others count twice."""
    model, lengths = deep(0.5), [3] * 5
    x_td = x_td[:15]
    first, last = model.blocks
    found, expected = set(), {}
    for i, row in enumerate(x_td.split(lengths)):
        before = block(first, row)
        normed = last.norm(before)
        for attends in (0, 1):
            middle = before + 2 * attends * last.attention_scale * attention(last.attention, normed, normed)
            norm, wide, _, narrow = last.feed_forward
            fed = narrow(F.gelu(wide(norm(middle))))
            for feeds in (0, 1):
                expected[i, attends, feeds] = middle + 2 * feeds * last.feed_forward_scale * fed
    for _ in range(20):
        for i, states in enumerate(model(x_td, offsets_of(lengths)).split(lengths)):
            fits = [key for key, value in expected.items() if key[0] == i and torch.allclose(states, value, atol=1e-5)]
            assert len(fits) == 1
            found.add(fits[0][1:])
    assert found == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_stochastic_depth_in_training_alone_and_rising_from_block_to_block(x_td):
    model = deep(0.6, 4)
    assert [round(layer.drop_rate, 3) for layer in model.blocks] == [0, 0.2, 0.4, 0.6]
    offsets = offsets_of(LENGTHS)
    assert torch.equal(model.eval()(x_td, offsets), deep(0.0, 4)(x_td, offsets))
    assert not torch.equal(model.train()(x_td, offsets), model(x_td, offsets))
    lengths = [5, 1, 9, 2]
    assert not torch.equal(model.firsts(x_td, offsets_of(lengths)), model.firsts(x_td, offsets_of(lengths)))


@MAKERS
def test_autocast_to_bfloat16_is_roughly_the_same(make, x_td):
    model = make(layer_scale=1.0)
    out = model(x_td, offsets_of(LENGTHS))
    with torch.autocast("cpu", torch.bfloat16):
        half = model(x_td, offsets_of(LENGTHS))
    assert half.dtype == torch.float32, "the residual stream keeps its precision"
    assert 0 < float((half - out).detach().abs().max()) < 0.1
    half.square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.gpu
@MAKERS
def test_on_a_gpu_it_is_roughly_the_same(make, x_td):
    model = make(layer_scale=1.0)
    expected = model(x_td, offsets_of(LENGTHS))
    model, x_td, offsets = model.cuda(), x_td.cuda(), offsets_of(LENGTHS).cuda()
    torch.testing.assert_close(model(x_td, offsets).cpu(), expected, atol=1e-3, rtol=1e-3)
    with torch.autocast("cuda", torch.bfloat16):
        half = model(x_td, offsets)
    assert float((half.cpu() - expected).abs().max()) < 0.1


@pytest.mark.parametrize("n_heads", [3, 0])
def test_heads_must_divide_the_width(n_heads):
    sentence = f"n_heads: expected a divisor of the width, 16, got {n_heads}; pass 4 or 8"
    with pytest.raises(ValueError, match=sentence):
        PackedTransformer(WIDTH, 1, n_heads, 8)
    with pytest.raises(ValueError, match=sentence):
        LatentTransformer(WIDTH, 2, 1, n_heads, 8)


def test_the_first_tokens_alone_are_those_of_all_through_latents():
    torch.manual_seed(0)
    model, offsets = LatentTransformer(16, 3, 2, 4, 32).double(), torch.tensor([0, 3, 4, 9])
    x_td = torch.randn(9, 16, dtype=torch.float64)
    torch.testing.assert_close(model.firsts(x_td, offsets), model(x_td, offsets)[offsets[:-1]])


def test_one_head_is_enough():
    x_td = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert PackedTransformer(4, 1, 1, 8)(x_td, torch.tensor([0, 3])).shape == (3, 4)
