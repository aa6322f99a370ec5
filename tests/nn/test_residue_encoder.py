"""The encoder of our own against its equations, sequence by sequence, and its independence of what else is there."""

import pytest
import torch
from torch.nn import functional as F

from omicsmlm.nn import ResidueEncoder, _residue_encoder
from omicsmlm.nn._residues import ALPHABETS
from tests.objects import letters_of

DNA = ["ACGTACGTTAGCATGCCGTAACG", "A", "GGN?T", "TTACGATTTGCGCG", "ACGTA" * 15]


def made(kind="nucleotide", n_windows=5, n_levels=2, pool=3, dropout=0.0):
    torch.manual_seed(0)
    encoder = ResidueEncoder(kind, 8, 5, n_levels, pool, n_windows, 1, 2, dropout)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return encoder.eval()


def parts_of(states):
    ends = states.offsets.tolist()
    return [states.states[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


def stem(encoder, text, kind="nucleotide"):
    """(l, d / 2) of one sequence, without padding."""
    code_of = {"?": 0, **{residue: 2 + i for i, residue in enumerate(ALPHABETS[kind])}}
    codes = torch.tensor([code_of.get(residue, 1) for residue in text])
    return F.gelu(encoder.stem(encoder.embedding(codes).T[None])[0].T)


def averaged(x_ld, pool):
    return torch.stack([group.mean(0) for group in x_ld.split(pool)])


def shortened(encoder, text, kind="nucleotide"):
    x = stem(encoder, text, kind)
    for level, (norm, convolution) in enumerate(zip(encoder.norms, encoder.levels, strict=True)):
        x = averaged(x, encoder.pool)
        x = x if level else encoder.widening(x)
        x = x + F.gelu(convolution(norm(x).T[None])[0].T)
    return x


def window_of(n, n_windows):
    w = min(n, n_windows)
    return [i * w // n for i in range(n)]


def local(encoder, text, kind="nucleotide"):
    x, rows = shortened(encoder, text, kind), []
    windows = window_of(len(x), encoder.n_windows)
    for window in range(max(windows) + 1):
        rows.append(torch.stack([state for state, w in zip(x, windows, strict=True) if w == window]).mean(0))
    return torch.stack(rows)


@pytest.mark.parametrize(("n_levels", "pool"), [(2, 3), (1, 4), (2, 1)])
def test_what_the_convolutions_see_sequence_by_sequence(n_levels, pool):
    encoder = made(n_levels=n_levels, pool=pool)
    for found, text in zip(parts_of(encoder.local(letters_of(*DNA))), DNA, strict=True):
        torch.testing.assert_close(found, local(encoder, text), atol=1e-5, rtol=1e-4)


def test_proteins_have_letters_of_their_own():
    encoder = made("protein")
    sequences = ["MKVLAAGXX", "WYUACDEF*"]
    for found, text in zip(parts_of(encoder.local(letters_of(*sequences))), sequences, strict=True):
        torch.testing.assert_close(found, local(encoder, text, "protein"), atol=1e-5, rtol=1e-4)


def test_then_a_transformer_among_the_windows_of_a_sequence():
    encoder = made()
    states = encoder(letters_of(*DNA))
    assert states.offsets.diff().tolist() == [3, 1, 1, 2, 5]
    for found, text in zip(parts_of(states), DNA, strict=True):
        x = local(encoder, text)
        places = torch.stack([encoder.places[i * 5 // len(x)] for i in range(len(x))])
        expected = encoder.norm(encoder.transformer(x + places, torch.tensor([0, len(x)])))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "ask", [lambda e, x: e(x).states, lambda e, x: e.local(x).states, ResidueEncoder.residue_states]
)
def test_a_sequence_does_not_depend_on_a_longer_one_beside_it(ask):
    encoder = made()
    alone = torch.cat([ask(encoder, letters_of(text)) for text in DNA])
    torch.testing.assert_close(ask(encoder, letters_of(*DNA)), alone, atol=1e-5, rtol=0)


def test_the_order_of_sequences_does_not_matter():
    encoder = made()
    there, back = parts_of(encoder(letters_of(*DNA))), parts_of(encoder(letters_of(*DNA[::-1])))
    for one, other in zip(there, back[::-1], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pool", [2, 8])
def test_a_letter_gets_the_state_of_the_window_that_holds_it(pool):
    encoder = made(n_levels=1, pool=pool, n_windows=4)
    found = encoder.residue_states(letters_of(*DNA))
    states, first = parts_of(encoder(letters_of(*DNA))), 0
    for text, own in zip(DNA, states, strict=True):
        x = encoder.widening(stem(encoder, text))
        windows = window_of(-(-len(text) // pool), 4)
        expected = torch.stack([x[i] + own[windows[i // pool]] for i in range(len(text))])
        torch.testing.assert_close(found[first : first + len(text)], expected, atol=1e-5, rtol=1e-4)
        first += len(text)


def test_a_batch_without_sequences():
    encoder, nothing = made(), letters_of(of_obs=[-1, -1])
    assert encoder(nothing).states.shape == (0, 8)
    assert encoder(nothing).offsets.tolist() == [0]
    assert encoder.residue_states(nothing).shape == (0, 8)


def test_hidden_and_ambiguous_letters_differ_and_ambiguous_ones_are_alike():
    encoder = made()
    hidden, unknown, other = (encoder(letters_of(text)).states for text in ("AC?TA", "ACNTA", "ACRTA"))
    assert not torch.allclose(hidden, unknown, atol=1e-4)
    assert torch.equal(unknown, other)


def test_every_weight_learns():
    encoder = made()
    encoder(letters_of(*DNA)).states[:, 0].sum().backward()
    for name, weight in encoder.named_parameters():
        assert (weight.grad != 0).any(), name


def test_dropout_is_for_training_alone():
    encoder, residues = made(dropout=0.5), letters_of(*DNA)
    assert torch.equal(encoder(residues).states, encoder(residues).states)
    encoder.train()
    assert not torch.equal(encoder(residues).states, encoder(residues).states)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _residue_encoder.RESIDUE_WIDTH == 8


def test_lengths_that_the_host_knows_give_the_same():
    encoder, residues = made(), letters_of(*DNA)
    lengths = [len(text) for text in DNA]
    assert torch.equal(encoder(residues, lengths).states, encoder(residues).states)
    assert torch.equal(encoder.residue_states(residues, lengths), encoder.residue_states(residues))
    assert encoder(residues).lengths == encoder(residues).offsets.diff().tolist()


def test_sizes_of_the_layers():
    encoder = ResidueEncoder("nucleotide", 8, 5, 3, 2, 6, 2, 2, 0.25)
    assert encoder.embedding.weight.shape == (4 + 2, 8), "residues, masked and unknown"
    assert encoder.stem.weight.shape == (4, 8, 5)
    assert [tuple(layer.weight.shape) for layer in encoder.levels] == [(8, 8, 5)] * 3
    assert encoder.places.shape == (6, 8)
    assert not encoder.places.any()
    assert encoder.dropout.p == 0.25
    assert "codes" not in encoder.state_dict()
