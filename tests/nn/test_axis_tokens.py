"""Tokens on one axis: the sum on the way in, and heads that are read where it is asked."""

import pytest
import torch
from torch.nn import functional as F

from omicsmlm._types import Grid
from omicsmlm.nn import AxisEmbedding, TokenHead
from omicsmlm.nn._axis_tokens import n_tokens


def grid(bins, visible):
    values = torch.tensor(bins, dtype=torch.float32)
    return Grid(values, torch.tensor(visible), values.sum(1))


def test_the_sum_of_embeddings_position_by_position():
    torch.manual_seed(0)
    layer = AxisEmbedding(["rna", "meth"], n_bins=4, n_features=3, n_positions=4, feature_width=5, width=6)
    grids = {
        "rna": grid([[0, 3, 9], [1, 0, 0]], [[True, True, True], [True, False, True]]),
        "meth": grid([[2, 1, 0], [0, 0, 0]], [[True, True, True], [False, False, False]]),
    }
    pad, mask = 4, 5
    tokens = {
        "rna": [[0, 3, 3, pad], [1, mask, 0, pad]],  # a bin past the last is the last
        "meth": [[2, 1, 0, pad], [mask, mask, mask, pad]],
    }
    found = layer(grids)
    assert found.shape == (2, 4, 6)
    for i in range(2):
        for p in range(4):
            expected = layer.projection(layer.features.weight[p])
            for table, name in zip(layer.tokens, tokens, strict=True):
                expected = expected + table.weight[tokens[name][i][p]]
            torch.testing.assert_close(found[i, p], expected)


def test_what_is_not_seen_has_no_value():
    torch.manual_seed(0)
    layer = AxisEmbedding(["rna"], n_bins=4, n_features=3, n_positions=4, feature_width=5, width=6)
    visible = [[True, False, True]]
    assert torch.equal(layer({"rna": grid([[1, 2, 0]], visible)}), layer({"rna": grid([[1, 3, 0]], visible)}))


@pytest.mark.parametrize(("form", "approximation"), [("published", "tanh"), ("former", "none")])
def test_logits_stand_where_they_are_asked_for(form, approximation):
    torch.manual_seed(0)
    head, states = TokenHead(6, 4, form), torch.randn(2, 4, 6)
    at = torch.tensor([[True, False, True], [False, True, False]])
    found = head(states).logits(at)
    entering = F.gelu(states, approximate=approximation) @ head.hidden.weight.T + head.hidden.bias
    whole = F.gelu(entering, approximate=approximation) @ head.out.weight.T + head.out.bias
    torch.testing.assert_close(found, torch.stack([whole[0, 0], whole[0, 2], whole[1, 1]]))
    assert found.shape == (3, 6), "bins, padding and mask"
    found.sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_logits_at_places_are_those_of_the_positions():
    """Places count features, of which there are fewer than positions."""
    torch.manual_seed(0)
    head, states, n_features = TokenHead(6, 4, "former"), torch.randn(3, 5, 6), 4
    at = torch.rand(3, n_features) < 0.6
    logits = head(states)
    place_t = at.flatten().nonzero()[:, 0]
    torch.testing.assert_close(logits.logits_at(place_t, n_features), logits.logits(at))
    torch.testing.assert_close(
        logits.logits_at(place_t.flip(0), n_features), logits.logits(at).flip(0), msg="in the order asked for"
    )
    hidden = F.gelu(F.gelu(states[:, :n_features][at]) @ head.hidden.weight.T + head.hidden.bias)
    torch.testing.assert_close(logits.hidden(at), hidden)


def test_there_are_two_tokens_beside_the_bins():
    assert n_tokens(4) == 6
    layer = AxisEmbedding(["rna"], n_bins=4, n_features=2, n_positions=2, feature_width=5, width=6)
    assert layer.tokens[0].weight.shape == (6, 6)
    low = layer({"rna": grid([[-3, 0]], [[True, True]])})
    assert torch.equal(low, layer({"rna": grid([[0, 0]], [[True, True]])})), "a bin below the first is the first"
