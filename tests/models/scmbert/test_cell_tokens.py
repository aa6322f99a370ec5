"""Tokens as if cells lacked a modality, and with the lengths of cells on the host."""

import torch

from omicsmlm._types import TokenSet, cached_lengths
from omicsmlm.models.scmbert._cell_tokens import with_lengths, without


def tokens(n_behind: int = 0) -> TokenSet:
    """Two and one token of three cells, the second without any; some tokens behind the last cell's."""
    n = 3 + n_behind
    ones, offsets = torch.ones(3), torch.tensor([0, 2, 2, 3])
    measured, present = torch.ones(5, dtype=torch.bool), torch.tensor([True, False, True])
    return TokenSet(torch.arange(n), torch.arange(n) / 2, offsets, ones, ones, measured, present)


def test_cells_without_a_modality_have_none_of_its_tokens_and_the_other_ones_as_they_were():
    parts = {"rna": tokens(), "atac": tokens()}
    found = without(parts, ["atac"])
    assert found["rna"] is parts["rna"]
    assert len(found["atac"].ids) == len(found["atac"].values) == 0
    assert found["atac"].offsets.tolist() == [0, 0, 0, 0]
    assert found["atac"].present.tolist() == [False] * 3
    assert parts["atac"].offsets.tolist() == [0, 2, 2, 3], "the given ones stay"


def test_lengths_come_to_the_host_and_tokens_of_no_cell_go():
    found = with_lengths({"rna": tokens(), "atac": tokens(n_behind=2)})
    for part in found.values():
        assert cached_lengths(part) == [2, 0, 1]
        assert part.ids.tolist() == [0, 1, 2]
        assert part.values.tolist() == [0, 0.5, 1]


def test_what_the_host_knows_is_not_asked_again():
    known = with_lengths({"rna": tokens()})
    assert with_lengths(known) is known
    half = {**known, "atac": tokens(1)}
    assert cached_lengths(with_lengths(half)["atac"]) == [2, 0, 1]
