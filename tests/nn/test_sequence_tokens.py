"""Tokens of sequences, against tokens written by hand, and what a tokenizer does not know."""

import numpy as np
import pytest

from omicsmlm.nn import Reading, Source, _sequence_tokens
from omicsmlm.nn._encoder_weights import read_tokenizer
from omicsmlm.nn._sequence_tokens import AMBIGUOUS, AMINO_ACIDS_ALONE, PROBES, SequenceTokens
from tests import encoders
from tests.objects import letters_of

PROTEIN, DNA = Reading("protein"), Reading("nucleotide")


@pytest.fixture(scope="module")
def tokenizers(checkpoints):
    return lambda kind: read_tokenizer(checkpoints(kind).source)


def read(tokens, text):
    """Token of each id, and whether its state is kept."""
    found = tokens(letters_of(text).residues.numpy())
    names = tokens.tokenizer.convert_ids_to_tokens(found.ids.tolist())
    return names, found.has_state.tolist()


def kept(tokens, text):
    names, has_state = read(tokens, text)
    return [name.replace("▁", "") for name, keep in zip(names, has_state, strict=True) if keep]


def test_the_probes_hold_all_residues_in_many_words():
    for kind, alphabet in (("nucleotide", "ACGT"), ("protein", "ACDEFGHIKLMNPQRSTVWY")):
        assert set(PROBES[kind]) == set(alphabet)
        assert max(map(PROBES[kind].count, alphabet)) < len(PROBES[kind]) / len(alphabet) * 2.5


def test_a_token_a_residue_and_special_ones_at_the_ends(tokenizers):
    assert read(SequenceTokens(tokenizers("esm"), PROTEIN), "MKX") == (
        ["<cls>", "M", "K", "X", "<eos>"],
        [False, True, True, True, False],
    )
    assert read(SequenceTokens(tokenizers("t5"), Reading("protein", spaced=True)), "MK") == (
        ["▁M", "▁K", "</s>"],
        [True, True, False],
    )


def test_a_token_six_nucleotides_and_single_ones_where_they_do_not_fit(tokenizers):
    tokens = SequenceTokens(tokenizers("sixmers"), DNA)
    assert kept(tokens, "ACGTACGTNACGTACGG") == ["ACGTAC", "G", "T", "N", "ACGTAC", "G", "G"]


@pytest.mark.parametrize("kind", ["esm", "bert", "t5", "d_model"])
def test_where_each_letter_has_its_token_it_is_looked_up(tokenizers, checkpoints, kind, monkeypatch, rng):
    reading = checkpoints(kind).reading
    tokens = SequenceTokens(tokenizers(kind), reading)
    alphabet = "ACDEFGHIKLMNPQRSTVWYX" if reading.kind == "protein" else "ACGTN"
    text = "".join(rng.choice(list(alphabet), 300))
    residues = letters_of(text).residues.numpy()
    looked_up = tokens(residues)
    tokens.id_of_character = None
    np.testing.assert_array_equal(tokens(residues).ids, looked_up.ids)
    monkeypatch.setattr(tokens, "_pieces", None)
    tokens.id_of_character = SequenceTokens(tokenizers(kind), reading).id_of_character
    np.testing.assert_array_equal(tokens(residues).ids, looked_up.ids)


def test_where_a_token_is_of_several_letters_none_is_looked_up(tokenizers):
    assert SequenceTokens(tokenizers("sixmers"), DNA).id_of_character is None


# ---- masked residues ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reading", "text", "expected"),
    [
        ("esm", PROTEIN, "MK???GA", ["M", "K", "<mask>", "<mask>", "<mask>", "G", "A"]),
        ("bert", Reading("protein", spaced=True), "M??A", ["M", "[MASK]", "[MASK]", "A"]),
        ("sixmers", DNA, "ACGTACAA????ACGTAC", ["ACGTAC", "<mask>", "ACGTAC"]),
        ("sixmers", DNA, "ACGTA??AAAAAACGTACG", ["<mask>", "<mask>", "ACGTAC", "G"]),
        ("t5", Reading("protein", spaced=True), "MK???GA", ["M", "K", "G", "A"]),
    ],
)
def test_each_token_of_a_masked_residue_is_the_mask_or_left_out(tokenizers, kind, reading, text, expected):
    assert kept(SequenceTokens(tokenizers(kind), reading), text) == expected


@pytest.mark.parametrize("kind", ["esm", "sixmers", "bert", "d_model"])
def test_what_is_masked_makes_no_difference_and_the_rest_stays_as_it_was(tokenizers, checkpoints, kind):
    """16 residues of which 8 are masked have as many tokens as whole."""
    made = checkpoints(kind)
    tokens = SequenceTokens(tokenizers(kind), made.reading)
    texts = (
        ("MKVLAAGWYACDEFGH", "MKVLWWWWWWWWEFGH")
        if made.reading.kind == "protein"
        else ("ACGTAC" * 4, "ACGTACTTTTTTACGTACACGTAC")
    )
    whole, other = (letters_of(text).residues.numpy() for text in texts)
    first, last = (4, 12) if made.reading.kind == "protein" else (6, 12)
    is_masked = (np.arange(len(whole)) >= first) & (np.arange(len(whole)) < last)
    masked = [tokens(np.where(is_masked, residues | 128, residues).astype(np.uint8)) for residues in (whole, other)]
    np.testing.assert_array_equal(masked[0].ids, masked[1].ids)
    plain = tokens(whole)
    assert len(plain.ids) == len(masked[0].ids)
    changed = plain.ids != masked[0].ids
    assert set(masked[0].ids[changed]) == {tokens.mask_id}
    assert changed.sum() == {"sixmers": 1, "d_model": 6}.get(kind, 8)


# ---- letters --------------------------------------------------------------------------------------------------------


def test_a_stop_at_the_end_is_no_residue_and_rare_letters_are_any(tokenizers):
    tokens = SequenceTokens(tokenizers("esm"), PROTEIN)
    assert kept(tokens, "MK**") == ["M", "K"]
    assert kept(tokens, "MJ*K*") == ["M", "X", "X", "K"]
    assert kept(tokens, "MUZBO") == ["M", "U", "Z", "B", "O"], "it knows these"
    assert kept(tokens, "*") == []
    assert kept(SequenceTokens(tokenizers("t5"), Reading("protein", spaced=True)), "MUZBO") == ["M", "X", "X", "X", "X"]
    assert kept(SequenceTokens(tokenizers("sixmers"), DNA), "AYN") == ["A", "N", "N"]


def test_where_no_letter_is_for_any_residue_an_ambiguous_one_is_masked(tmp_path):
    encoders.bert(tmp_path, "ACGT")
    tokens = SequenceTokens(read_tokenizer(source_of(tmp_path)), Reading("nucleotide", spaced=True))
    assert kept(tokens, "ANCRGT") == ["A", "[MASK]", "C", "[MASK]", "G", "T"]


def test_uracil_is_written_for_those_who_learned_it(tmp_path):
    encoders.bert(tmp_path, "ACGUN")
    tokenizer = read_tokenizer(source_of(tmp_path))
    assert kept(SequenceTokens(tokenizer, Reading("nucleotide", spaced=True, uracil=True)), "ATTN") == list("AUUN")
    sentence = (
        r"encoder: expected a tokenizer of nucleotide sequences, got one that does not know 16 of the 60 residues of 'ACGTTG.*'…; "
        r"pass an encoder of nucleotide sequences, or spaced=True .*, or uracil=True if it writes U for T\."
    )
    with pytest.raises(ValueError, match=sentence):
        SequenceTokens(tokenizer, Reading("nucleotide", spaced=True))


def source_of(folder):
    return Source("transformers", str(folder))


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reading", "found"),
    [
        ("sixmers", PROTEIN, "one that does not know .* of the .* residues of 'MKTAY"),
        ("d_model", PROTEIN, "one that does not know .* of the .* residues of 'MKTAY"),
        ("bert", PROTEIN, "one that does not know .* of the .* residues of 'MKTAY.*spaced=True"),
        (
            "esm",
            DNA,
            "one that knows the letters E, F, I, L, P, Q, too, which mean amino acids; pass .* or mixed_alphabet=True",
        ),
        ("t5", Reading("nucleotide", spaced=True), "one that knows the letters E, F, I, L, P, Q"),
        (
            "d_model",
            Reading("nucleotide", uracil=True),
            "one that does not know .*or uracil=False if it writes T for U",
        ),
    ],
)
def test_a_tokenizer_of_other_sequences_is_refused(tokenizers, kind, reading, found):
    with pytest.raises(ValueError, match=f"encoder: expected a tokenizer of .* sequences, got {found}"):
        SequenceTokens(tokenizers(kind), reading)


def test_a_character_tokenizer_that_reads_a_sequence_as_one_word_is_refused(tmp_path):
    encoders.bert(tmp_path, "ACGTN")
    sentence = (
        "one that does not know 60 of the 60 residues of 'ACGT.*or spaced=True if it reads letters between blanks"
    )
    with pytest.raises(ValueError, match=sentence):
        SequenceTokens(read_tokenizer(source_of(tmp_path)), DNA)


def test_one_of_both_alphabets_is_taken_where_that_is_said(tokenizers):
    tokens = SequenceTokens(tokenizers("esm"), Reading("nucleotide", mixed_alphabet=True))
    assert kept(tokens, "ACGT") == list("ACGT")


def test_a_protein_has_no_uracil(tokenizers):
    with pytest.raises(ValueError, match="uracil: expected nucleotide sequences, got proteins; leave it out"):
        SequenceTokens(tokenizers("esm"), Reading("protein", uracil=True))


def test_a_sequence_of_too_many_unknown_residues_is_refused(tmp_path):
    """Words of three nucleotides and no single ones: at most two residues at the end have no token."""
    tokens = ["<unk>", "<pad>", "<mask>", "<cls>", *(a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT")]
    encoders.esm_like(tmp_path, tokens)
    found = SequenceTokens(read_tokenizer(source_of(tmp_path)), DNA)
    assert kept(found, "ACGTTT" * 7) == ["ACG", "TTT"] * 7
    assert len(kept(found, "ACGTTT" * 7 + "AC")) == 15
    with pytest.raises(ValueError, match="does not know 2 of the 20 residues of 'ACGTTTACGTTTACGTTTAC'…"):
        found(letters_of("ACGTTT" * 3 + "AC").residues.numpy())


def test_ambiguous_letters_are_those_that_data_may_have():
    from omicsmlm.data._sequences import ALPHABETS

    for kind, residues in (("nucleotide", "ACGTU"), ("protein", "ACDEFGHIKLMNPQRSTVWY")):
        assert set(AMBIGUOUS[kind]) == set(ALPHABETS[kind]) - set(residues)
    assert not set(AMINO_ACIDS_ALONE) & set(ALPHABETS["nucleotide"])


# ---- positions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "expected"), [("start", "MKVL"), ("end", "GWYA"), ("centre", "LAAG")])
def test_of_more_tokens_than_positions_a_part_is_kept(tokenizers, keep, expected):
    tokens = SequenceTokens(tokenizers("esm"), Reading("protein", keep), n_positions=6)
    assert kept(tokens, "MKVLAAGWYA") == list(expected)
    assert tokens(letters_of("MKVLAAGWYA").residues.numpy()).is_cut
    assert kept(tokens, "MKVL") == list("MKVL")
    assert not tokens(letters_of("MKVL").residues.numpy()).is_cut
    names, _ = read(tokens, "MKVLAAGWYA")
    assert (len(names), names[0], names[-1]) == (6, "<cls>", "<eos>")


# ---- version 0.1 ----------------------------------------------------------------------------------------------------


def test_as_in_version_0_1_special_tokens_have_states(tokenizers):
    tokens = SequenceTokens(tokenizers("esm"), Reading("protein", former_states=True))
    assert read(tokens, "MK") == (["<cls>", "M", "K", "<eos>"], [True] * 4)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _sequence_tokens.MOST_UNKNOWN == 0.05
