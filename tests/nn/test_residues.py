"""Packed sequences and their states, against loops over text and rows."""

import pytest
import torch

from omicsmlm.nn import PackedStates, _residues, residue_codes, windowed
from omicsmlm.nn._residues import ALPHABETS, chosen, on_host, place_of, sequence_of
from tests.objects import letters_of

LENGTHS = [3, 1, 7, 0, 4]


def states_of(lengths=LENGTHS, width=2):
    generator = torch.Generator().manual_seed(0)
    return PackedStates.of(torch.randn(sum(lengths), width, generator=generator), torch.tensor([0, *lengths]).cumsum(0))


def parts_of(states):
    ends = states.offsets.tolist()
    return [states.states[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


@pytest.mark.parametrize("kind", ["nucleotide", "protein"])
def test_a_letter_has_its_place_in_the_alphabet_as_code(kind):
    codes = residue_codes(kind)
    assert codes.shape == (256,)
    for byte, code in enumerate(codes.tolist()):
        residue = chr(byte)
        assert code == (ALPHABETS[kind].index(residue) if residue in ALPHABETS[kind] else -2 if byte > 127 else -1)


def test_the_letters_of_proteins_are_the_twenty():
    assert len(set(ALPHABETS["protein"])) == 20
    assert not set(ALPHABETS["protein"]) & set("BJOUXZ*")


def test_letters_know_their_sequence_and_place():
    residues = letters_of("ACG", "T", "GGTT")
    assert [bytes(own).decode() for own in on_host(residues)] == ["ACG", "T", "GGTT"]
    assert sequence_of(residues).tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert place_of(residues).tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    nothing = letters_of(of_obs=[-1])
    assert on_host(nothing) == []
    assert sequence_of(nothing).tolist() == place_of(nothing).tolist() == []


@pytest.mark.parametrize("of_obs", [[2, -1, 0, 0, 4, 3, -1, 2], [-1, -1], [], [1]])
def test_rows_get_the_states_of_their_sequences(of_obs):
    whole = states_of()
    found = parts_of(whole.of_observations(torch.tensor(of_obs, dtype=torch.int64)))
    assert len(found) == len(of_obs)
    for own, code in zip(found, of_obs, strict=True):
        assert torch.equal(own, parts_of(whole)[code] if code >= 0 else torch.zeros(0, 2))


def test_where_there_is_no_sequence_no_row_has_states():
    found = states_of([]).of_observations(torch.tensor([-1, -1, -1]))
    assert found.states.shape == (0, 2)
    assert found.offsets.tolist() == [0, 0, 0, 0]
    assert found.pooled().tolist() == [[0, 0]] * 3


def test_states_are_pooled_by_their_mean():
    whole = states_of()
    expected = [part.mean(0) if len(part) else torch.zeros(2) for part in parts_of(whole)]
    torch.testing.assert_close(whole.pooled(), torch.stack(expected))


@pytest.mark.parametrize("n_windows", [1, 2, 3, 5, 7, 100])
def test_windows_are_averages_of_neighbours(n_windows):
    whole = states_of()
    found = parts_of(windowed(whole, n_windows))
    for part, own in zip(parts_of(whole), found, strict=True):
        w = min(len(part), n_windows)
        groups = [[state for i, state in enumerate(part) if i * w // len(part) == j] for j in range(w)]
        assert all(groups), "no window is empty"
        expected = [torch.stack(group).mean(0) for group in groups]
        torch.testing.assert_close(own, torch.stack(expected) if expected else torch.zeros(0, 2))


def test_windows_of_nothing():
    assert windowed(states_of([]), 3).states.shape == (0, 2)


def test_windows_pass_gradients_on():
    states = states_of()
    x = states.states.clone().requires_grad_()
    windowed(states._replace(states=x), 2).states.sum().backward()
    torch.testing.assert_close(x.grad.sum(), torch.tensor(2.0 * (2 + 1 + 2 + 2)))
    assert (x.grad > 0).all()


def test_chosen_sequences_come_in_the_order_asked_for():
    residues = letters_of("AC", "GGG", "T")
    found = chosen(residues, torch.tensor([2, 0]), residues.offsets.diff().tolist(), [2, 0])
    assert [bytes(own).decode() for own in on_host(found)] == ["T", "AC"]
    assert torch.equal(found.digests, residues.digests[[2, 0]])


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _residues.UNKNOWN == -1
    assert _residues.MASKED == -2
