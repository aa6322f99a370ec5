"""Tokens of several modalities in one sequence, against a loop over rows."""

import torch

from omicsmlm._types import TokenCache, TokenSet, obs_of
from omicsmlm.nn import TokenLayout

LENGTHS = {"rna": [2, 0, 3, 0], "atac": [1, 0, 0, 4], "prot": [0, 0, 0, 0]}


def part_of(lengths) -> TokenSet:
    n, t = len(lengths), sum(lengths)
    one, yes = torch.ones(n), torch.ones(n, dtype=torch.bool)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return TokenSet(torch.zeros(t).long(), torch.ones(t), offsets, one, one, torch.ones(1).bool(), yes)


def layout_of(lengths):
    parts = {name: part_of(row_lengths) for name, row_lengths in lengths.items()}
    return parts, TokenLayout.of(parts, {name: obs_of(part) for name, part in parts.items()})


def test_each_row_begins_with_its_own_token_and_goes_on_with_those_of_its_modalities():
    _, layout = layout_of(LENGTHS)
    place, firsts, offsets, places = 0, [], [0], {name: [] for name in LENGTHS}
    for i in range(4):
        firsts.append(place)
        place += 1
        for name, lengths in LENGTHS.items():
            places[name] += range(place, place + lengths[i])
            place += lengths[i]
        offsets.append(place)
    assert layout.offsets.tolist() == offsets == [0, 4, 5, 9, 14]
    assert layout.first_n.tolist() == firsts == [0, 4, 5, 9]
    assert {name: place_t.tolist() for name, place_t in layout.places.items()} == places


def test_what_is_joined_is_found_again():
    parts, layout = layout_of(LENGTHS)
    generator = torch.Generator().manual_seed(0)
    first_nd = torch.randn(4, 3, generator=generator, requires_grad=True)
    tokens = {name: torch.randn(len(part.ids), 3, generator=generator) for name, part in parts.items()}
    joined = layout.join(first_nd, tokens)
    assert joined.shape == (14, 3)
    assert torch.equal(joined[layout.first_n], first_nd)
    assert all(torch.equal(joined[layout.places[name]], tokens[name]) for name in tokens)
    joined[layout.first_n[1]].sum().backward()
    assert first_nd.grad.tolist() == [[0] * 3, [1] * 3, [0] * 3, [0] * 3]


def test_rows_of_nothing_have_their_own_token_alone():
    _, layout = layout_of({"rna": [0, 0], "atac": [0, 0]})
    assert layout.offsets.tolist() == [0, 1, 2]
    assert (
        layout.join(torch.ones(2, 3), {"rna": torch.zeros(0, 3), "atac": torch.zeros(0, 3)}).tolist() == [[1] * 3] * 2
    )


def test_the_host_knows_lengths_where_it_knows_those_of_all_parts():
    parts, layout = layout_of(LENGTHS)
    assert layout.lengths is None
    known = {
        name: part._replace(cache=TokenCache(part.offsets, part.offsets.diff().tolist()))
        for name, part in parts.items()
    }
    obs = {name: obs_of(part) for name, part in parts.items()}
    assert TokenLayout.of(known, obs).lengths == layout.offsets.diff().tolist() == [4, 1, 4, 5]
    assert TokenLayout.of({**known, "rna": parts["rna"]}, obs).lengths is None
