"""The rotary transformer against complex numbers and loops."""

import cmath

import torch

from omicsmlm.nn import RotaryTransformer, _rotary, rotated


def test_rotation_is_multiplication_by_a_complex_number():
    x = torch.randn(1, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    found = rotated(x, base=100.0)
    for head in range(2):
        for p in range(5):
            for j in range(3):
                pair = complex(x[0, head, p, j], x[0, head, p, j + 3])
                turned = pair * cmath.exp(1j * p * 100.0 ** (-2 * j / 6))
                assert abs(complex(found[0, head, p, j], found[0, head, p, j + 3]) - turned) < 1e-5


def test_products_depend_on_distance_alone():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 8, generator=generator)
    products = (rotated(query.expand(1, 1, 9, 8)) @ rotated(key.expand(1, 1, 9, 8)).mT)[0, 0]
    for distance in range(-4, 5):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(products[0, 0], products[0, 3], atol=1e-3)


def test_the_transformer_against_a_loop_over_heads_and_positions():
    torch.manual_seed(0)
    model = RotaryTransformer(8, 2, 12, 2)
    x = torch.randn(2, 5, 8)
    expected = x
    for block in model:
        a = block.attention
        h = torch.nn.functional.layer_norm(expected, (8,), block.attention_norm.weight, block.attention_norm.bias)
        q, k, v = (layer(h) for layer in (a.query, a.key, a.value))
        heads = []
        for head in range(2):
            at = slice(4 * head, 4 * head + 4)
            qh, kh = (rotated(part[:, None, :, at])[:, 0] for part in (q, k))
            weight = torch.stack(
                [torch.stack([(qh[:, p] * kh[:, s]).sum(1) / 2 for s in range(5)], 1).softmax(1) for p in range(5)], 1
            )
            heads.append(weight @ v[:, :, at])
        expected = expected + a.out(torch.cat(heads, 2))
        h = torch.nn.functional.layer_norm(expected, (8,), block.feed_norm.weight, block.feed_norm.bias)
        gate, value = (h @ part.T for part in block.feed.gate_and_value.weight.split(12))
        expected = expected + (gate * gate.sigmoid() * value) @ block.feed.out.weight.T
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-4)


def test_biases_stand_in_attention_alone():
    names = {name.split(".", 1)[1] for name, _ in RotaryTransformer(8, 2, 12, 1).named_parameters()}
    biased = {name.removesuffix(".bias") for name in names if name.endswith("bias")}
    layers = {f"attention.{part}" for part in ("query", "key", "value", "out")}
    assert biased == layers | {"attention_norm", "feed_norm"}


def test_in_half_precision_it_stays_close():
    torch.manual_seed(0)
    model, x = RotaryTransformer(16, 2, 24, 2), torch.randn(2, 7, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(x)
    torch.testing.assert_close(found.float(), model(x), atol=0.05, rtol=0.05)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _rotary.BASE == 10000.0
