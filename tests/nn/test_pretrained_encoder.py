"""States of published encoders of every kind: against their networks, and alike however they are asked for."""

import copy

import numpy as np
import pytest
import torch

from omicsmlm.nn import PretrainedEncoder, Reading, state_width
from omicsmlm.nn import _pretrained_encoder as module
from tests import encoders
from tests.encoders import DNA, KINDS, PROTEINS, published
from tests.objects import letters_of

TUNINGS = ["frozen", "lora", "full"]


def made(checkpoint, n_windows=100, tuning="frozen", **reading):
    return PretrainedEncoder(checkpoint.source, checkpoint.reading._replace(**reading), n_windows, tuning).eval()


def parts_of(states):
    ends = states.offsets.tolist()
    return [states.states[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


def windows(x_pd, n):
    w = min(len(x_pd), n)
    return torch.stack([x_pd[[i for i in range(len(x_pd)) if i * w // len(x_pd) == j]].mean(0) for j in range(w)])


def check_close(found, expected):
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


# ---- what the states are --------------------------------------------------------------------------------------------

IDS = {
    "esm": lambda text: ([0], [encoders.PROTEIN_TOKENS.index(residue) for residue in text], [2]),
    "bert": lambda text: ([2], [5 + "ACDEFGHIKLMNPQRSTVWYX".index(residue) for residue in text], [3]),
    "t5": lambda text: ([], [3 + "LAGVSERTIDPKQNFYMHWCX".index(residue) for residue in text], [1]),
    "d_model": lambda text: ([], [3 + "ACGTN".index(residue) for residue in text], []),
    "sixmers": lambda text: ([3], [encoders.SIXMER_TOKENS.index(word) for word in words(text)], []),
}
"""Tokens of a text by hand: before it, of it, behind it."""


def words(text):
    """Words of six nucleotides without an N, as far as they go, and single ones."""
    while text:
        size = 6 if len(text) >= 6 and "N" not in text[:6] else 1
        yield text[:size]
        text = text[size:]


@torch.no_grad()
@pytest.mark.parametrize("kind", list(IDS))
def test_the_states_are_those_of_the_tokens_of_residues(checkpoints, kind):
    checkpoint = checkpoints(kind)
    encoder = made(checkpoint)
    assert encoder.width == state_width(checkpoint.source, checkpoint.reading) == checkpoint.width
    for found, text in zip(parts_of(encoder(letters_of(*checkpoint.sequences))), checkpoint.sequences, strict=True):
        before, own, after = IDS[kind](text)
        states = checkpoint.network(torch.tensor([[*before, *own, *after]]))[0][0]
        check_close(found, states[len(before) : len(before) + len(own)])


@torch.no_grad()
@pytest.mark.parametrize("former", [False, True])
def test_enformer_gives_the_states_of_its_bins_and_no_more_than_it_predicts(checkpoints, former):
    checkpoint = checkpoints("enformer")
    encoder = made(checkpoint, former_states=former)
    assert encoder.width == state_width(checkpoint.source, checkpoint.reading) == 48
    for found, text in zip(parts_of(encoder(letters_of(*DNA))), DNA, strict=True):
        surplus = -len(text) % 8
        padded = "N" * (surplus // 2) + text + "N" * (surplus - surplus // 2)
        x_l4 = torch.tensor([[float(residue == known) for known in "ACGT"] for residue in padded])
        checkpoint.network.set_target_length(-1)
        expected = checkpoint.network(x_l4[None], return_only_embeddings=True)[0]
        if len(expected) > 4 and not former:
            expected = expected[1:-1]  # as much on either side, for 4 or one less
        check_close(found, expected)
    assert len(found) == 2


@torch.no_grad()
def test_as_in_version_0_1_special_tokens_have_states_among_the_others(checkpoints):
    checkpoint = checkpoints("esm")
    found = made(checkpoint, former_states=True)(letters_of("MKV"))
    check_close(found.states, checkpoint.network(torch.tensor([[0, *IDS["esm"]("MKV")[1], 2]]))[0][0])


@pytest.mark.parametrize("kind", KINDS)
def test_of_no_sequence_there_are_no_states(checkpoints, kind):
    encoder = made(checkpoints(kind))
    nothing = encoder(letters_of(of_obs=[-1, -1]))
    assert nothing.states.shape == (0, encoder.width)
    assert nothing.offsets.tolist() == [0]


def test_a_protein_of_stops_alone_has_no_states(checkpoints):
    found = made(checkpoints("t5"))(letters_of("**", "MK"))
    assert found.lengths == [0, 2]


# ---- every kind, however it is tuned --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(kind, tuning) for kind in KINDS for tuning in TUNINGS], ids="-".join)
def cell(request, checkpoints):
    """A kind of encoder, its tuning, and such an encoder, whose adapters, if it has some, are not 0."""
    kind, tuning = request.param
    if tuning == "lora":
        pytest.importorskip("peft")
    encoder = made(checkpoints(kind), tuning=tuning)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return checkpoints(kind), tuning, encoder


@torch.no_grad()
def test_sequences_go_through_together_and_do_not_depend_on_one_another(cell, monkeypatch):
    checkpoint, _, encoder = cell
    asked = []
    run = encoder.network.forward
    monkeypatch.setattr(encoder.network, "forward", lambda *a, **k: (asked.append(1), run(*a, **k))[1])
    together = parts_of(encoder(letters_of(*checkpoint.sequences)))
    assert len(asked) == 3 - encoder.takes_mask * (checkpoint.reading.kind == "protein"), "two are of one length"
    monkeypatch.undo()
    for found, text in zip(together, checkpoint.sequences, strict=True):
        check_close(found, encoder(letters_of(text)).states)


@torch.no_grad()
def test_what_is_masked_cannot_leak_and_moves_no_state(cell, checkpoints):
    """What stands in a masked region changes nothing, where the encoder has a mask; else its own states are left out."""
    checkpoint, _, encoder = cell
    is_dna = checkpoint.reading.kind == "nucleotide"
    whole = letters_of("ACGTAC" + "C" * 18 + "ACGTACGT" if is_dna else "MKVWWWKLAA")
    other = letters_of("ACGTAC" + "G" * 18 + "ACGTACGT" if is_dna else "MKVGGGKLAA")
    is_masked = whole.residues != other.residues
    found, alike = (
        encoder(residues._replace(residues=residues.residues | 128 * is_masked)) for residues in (whole, other)
    )
    if checkpoint is checkpoints("t5"):
        check_close(found.states, encoder(whole).states[~is_masked])
        return
    torch.testing.assert_close(found.states, alike.states, atol=0, rtol=0)
    assert found.lengths == encoder(whole).lengths
    assert not torch.allclose(found.states, encoder(whole).states, atol=1e-3)


@torch.no_grad()
def test_states_are_averaged_over_windows(cell):
    checkpoint, tuning, encoder = cell
    if tuning == "lora":
        pytest.skip("its adapters are not those of another encoder")
    whole, few = encoder, made(checkpoint, 2, tuning)
    sequences = letters_of(*checkpoint.sequences)
    for found, x in zip(parts_of(few(sequences)), parts_of(whole(sequences)), strict=True):
        check_close(found, windows(x, 2))


@torch.no_grad()
def test_its_own_weights_are_saved_and_loaded(cell):
    checkpoint, tuning, encoder = cell
    fresh = made(checkpoint, tuning=tuning)
    sequences = letters_of(*checkpoint.sequences)
    if tuning == "lora":
        assert not torch.allclose(fresh(sequences).states, encoder(sequences).states)
    state = encoder.state_dict()
    places = [weight.data_ptr() for weight in state.values() if weight.numel()]
    assert len(places) == len(set(places)), "safetensors keeps one name of each tensor"
    fresh.load_state_dict(state)
    for loaded in (fresh, copy.deepcopy(fresh)):
        torch.testing.assert_close(loaded(sequences).states, encoder(sequences).states, atol=0, rtol=0)
    again = copy.deepcopy(fresh)
    with torch.no_grad():
        for weight in fresh.parameters():
            weight.zero_()
    fresh.load_state_dict(again.state_dict())
    torch.testing.assert_close(fresh(sequences).states, encoder(sequences).states, atol=0, rtol=0)


def test_frozen_nothing_learns_with_lora_little_and_in_full_everything(cell):
    checkpoint, tuning, _ = cell
    encoder = made(checkpoint, tuning=tuning)
    learns = {name for name, weight in encoder.named_parameters() if weight.requires_grad}
    assert (not learns) == (tuning == "frozen")
    assert all(("lora_" in name) == (tuning == "lora") for name in learns)
    if tuning == "frozen":
        return
    encoder.train()
    encoder(letters_of(*checkpoint.sequences)).states.square().mean().backward()
    moved = {name for name, weight in encoder.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert len(moved) > 0.4 * len(learns), "a pooler, heads, and one factor of a product with 0 do not move"


# ---- batches --------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("kind", ["esm", "sixmers", "bert", "t5"])
def test_of_many_lengths_a_tenth_is_padding_at_most(checkpoints, kind, monkeypatch, rng):
    checkpoint = checkpoints(kind)
    encoder = made(checkpoint)
    alphabet = list("ACGT" if checkpoint.reading.kind == "nucleotide" else "ACDEFGHIKLMNPQRSTVWY")
    texts = ["".join(rng.choice(alphabet, n)) for n in rng.integers(30, 200, 40)]
    sizes, run = [], encoder.network.forward

    def counted(*args, **given):
        mask = given["attention_mask"]
        sizes.append((mask.numel(), int(mask.sum())))
        return run(*args, **given)

    monkeypatch.setattr(encoder.network, "forward", counted)
    found = parts_of(encoder(letters_of(*texts)))
    computed, own = np.array(sizes).sum(0)
    assert computed <= own / 0.9
    assert max(size for size, _ in sizes) <= module.MOST_TOKENS["cpu"]
    assert len(sizes) < 30
    monkeypatch.undo()
    for u in (0, 17, 39):
        check_close(found[u], encoder(letters_of(texts[u])).states)


# ---- positions ------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("tuning", ["frozen", "full"])
def test_of_longer_sequences_than_it_has_positions_a_part_is_read_and_that_is_told_once(tmp_path, caplog, tuning):
    checkpoint = published("bert", tmp_path, max_position_embeddings=12)
    encoder = made(checkpoint, tuning=tuning, keep="end")
    text = "MKVLAAGWYACDEFGHIKLM"
    found = encoder(letters_of(text, "MK"))
    assert found.lengths == [10, 2]
    check_close(parts_of(found)[0], encoder(letters_of(text[-10:])).states)
    assert [record.getMessage() for record in caplog.records] == [
        "encoder: it has positions for 10 tokens; of a longer sequence its end is read alone (1 of the first 2 are longer)."
    ]


@torch.no_grad()
def test_positions_may_be_numbered_from_behind_the_padding(tmp_path):
    """As in ESM-1b: of 20 positions 18 are used, the padding being token 1."""
    network = encoders.esm_like(
        tmp_path, encoders.PROTEIN_TOKENS, position_embedding_type="absolute", max_position_embeddings=20
    )
    encoder = PretrainedEncoder(published_source(tmp_path), Reading("protein"), 100).eval()
    found = encoder(letters_of("A" * 30))
    assert found.lengths == [16]
    check_close(found.states, network(torch.tensor([[0, *[5] * 16, 2]]))[0][0, 1:-1])


@torch.no_grad()
def test_where_positions_run_out_unannounced_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_n_positions", lambda network: None)
    encoder = made(published("esm", tmp_path, position_embedding_type="absolute", max_position_embeddings=14))
    with pytest.raises(
        ValueError, match=r"encoder: expected sequences that it can read, got one of 22 tokens, .*; pass an enc"
    ):
        encoder(letters_of("MKVLAAGWYACDEFGHIKLM"))


def published_source(folder):
    return module.Source("transformers", str(folder))


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reading", "found"),
    [
        (Reading("protein"), "got proteins; pass an encoder of proteins"),
        (Reading("nucleotide", uracil=True), "got spaced=True or uracil=True; leave these out"),
    ],
)
def test_enformer_reads_dna(checkpoints, reading, found):
    source = checkpoints("enformer").source
    for ask in (state_width, lambda *given: PretrainedEncoder(*given, 4)):
        with pytest.raises(ValueError, match=f"encoder: expected DNA for Enformer, as it is, {found}"):
            ask(source, reading)


@pytest.mark.parametrize(("kind", "reading"), [("esm", Reading("nucleotide")), ("sixmers", Reading("protein"))])
def test_sequences_of_another_kind_are_refused_before_weights_are_read(checkpoints, kind, reading, monkeypatch):
    monkeypatch.setattr(module, "read_network", None)
    with pytest.raises(ValueError, match="encoder: expected a tokenizer of"):
        state_width(checkpoints(kind).source, reading)


def test_the_sequences_of_these_tests_are_two_of_one_length_and_two_of_others():
    for sequences in (PROTEINS, DNA):
        lengths = sorted(map(len, sequences))
        assert len(set(lengths)) == 3


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert module.MOST_PADDING == 0.1
    assert module.MOST_TOKENS == {"cpu": 2048, "cuda": 65_536}
    assert module.MOST_VALUES == 2**17
    assert module.MOST_NUCLEOTIDES == {"cpu": 65_536, "cuda": 786_432}
    assert module.NO_NUCLEOTIDE == 4
