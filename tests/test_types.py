"""The records."""

import torch

from omicsmlm._types import Tokens, TokenSet, obs_of


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
