"""The records."""

import torch

import omicsmlm
from omicsmlm import _types, types
from omicsmlm._types import (
    Batch,
    Panels,
    TokenCache,
    Tokens,
    TokenSet,
    cached_lengths,
    masked_positions,
    measured_in,
    obs_of,
    positions_of,
)


def test_rows_of_tokens():
    tokens = Tokens(torch.arange(4), torch.ones(4), torch.tensor([0, 1, 1, 4]))
    assert obs_of(tokens).tolist() == [0, 2, 2, 2]
    assert obs_of(tokens).dtype == torch.int64
    ends = Tokens(torch.arange(2), torch.ones(2), torch.tensor([0, 0, 2, 2]))
    assert obs_of(ends).tolist() == [1, 1]


def test_rows_of_no_tokens():
    assert obs_of(Tokens(torch.empty(0), torch.empty(0), torch.zeros(3, dtype=torch.int64))).tolist() == []
    assert obs_of(Tokens(torch.empty(0), torch.empty(0), torch.zeros(1, dtype=torch.int64))).tolist() == []


def test_rows_of_a_set():
    two, yes = torch.ones(2), torch.ones(2, dtype=torch.bool)
    part = TokenSet(torch.arange(3), torch.ones(3), torch.tensor([0, 1, 3]), two, two, torch.ones(3).bool(), yes)
    assert obs_of(part).tolist() == [0, 1, 1]


def test_positions_with_tokens_behind_those_of_the_last_observation(monkeypatch):
    offsets = torch.tensor([0, 2, 2, 3])
    assert [part.tolist() for part in positions_of(offsets, 3)] == [[0, 0, 2], [0, 1, 0]]
    monkeypatch.setattr(_types, "is_on_host", lambda tensor: False)
    assert [part.tolist() for part in positions_of(offsets, 5)] == [[0, 0, 2, 2, 2], [0, 1, 0, 1, 2]]


def test_features_that_were_measured_in_each_observation():
    measured, n = torch.tensor([True, False, True]), torch.arange(4)
    panels = Panels(torch.tensor([[True, False, False], [True, True, False]]), torch.tensor([1, 0, -1, 1]))
    batch = Batch({}, {}, {"rna": measured, "atac": measured}, torch.zeros(4, 0), n, {"rna": panels})
    assert measured_in(batch, "atac").tolist() == [[True, False, True]]
    one, two, none = [True, False, False], [True, True, False], [False] * 3
    assert measured_in(batch, "rna").tolist() == [two, one, none, two]


def test_the_cache_of_tokens_holds_for_these_tokens_alone():
    two, yes = torch.ones(2), torch.ones(2, dtype=torch.bool)
    values, offsets = torch.tensor([1.0, torch.nan, 2.0]), torch.tensor([0, 1, 3])
    # positions that are wrong, so that it shows where they come from
    cache = TokenCache(offsets, [1, 2], values, torch.tensor([0]))
    part = TokenSet(torch.arange(3), values, offsets, two, two, torch.ones(3).bool(), yes, cache)
    assert cached_lengths(part) == [1, 2]
    assert masked_positions(part).tolist() == [0]
    assert cached_lengths(part._replace(offsets=offsets.clone())) is None
    assert masked_positions(part._replace(values=values.clone())).tolist() == [1]
    assert cached_lengths(part._replace(cache=None)) is None
    assert masked_positions(part._replace(cache=TokenCache(offsets, [1, 2], values))).tolist() == [1]


def test_the_public_types_are_the_records_themselves():
    assert omicsmlm.types is types
    for name in types.__all__:
        assert not name.startswith("_")
        assert getattr(types, name) is getattr(_types, name)
    protocols = {"Tokenizer", "Masking", "Module", "Objective", "Parts", "Batch", "Encoded", "Masked"}
    assert protocols <= set(types.__all__), "what a family is made of"
