import re
from itertools import product

import numpy as np
import pytest

from omicsmlm.evaluation import _kmers
from omicsmlm.evaluation.sequence_baselines import AMINO_ACIDS, codon_frequencies, kmer_frequencies, length_features
from tests.test_bad_input import refused


def slow_frequencies(sequences, words, step=1):
    """Word by word and place by place."""
    k, rows = len(words[0]), []
    for text in sequences:
        text = (text or "").upper()
        found = [text[i : i + k] for i in range(0, len(text) - k + 1, step)]
        counts = np.array([found.count(word) for word in words], dtype=float)
        rows.append(counts / max(counts.sum(), 1))
    return np.array(rows)


def random_sequences(rng, residues, n=30, longest=60):
    return ["".join(rng.choice(list(residues), rng.integers(0, longest))) for _ in range(n)]


@pytest.mark.parametrize(("alphabet", "k"), [("ACGT", 1), ("ACGT", 4), (AMINO_ACIDS, 2)])
@pytest.mark.parametrize("most_letters", [1, 100, 2**22])
def test_frequencies_are_those_of_a_loop(rng, monkeypatch, alphabet, k, most_letters):
    monkeypatch.setattr(_kmers, "_MOST_RESIDUES", most_letters)
    sequences = [None, *random_sequences(rng, alphabet + "x*é" + alphabet.lower()), "", "A"]
    words = ["".join(word) for word in product(alphabet, repeat=k)]
    found = kmer_frequencies(sequences, k, alphabet)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_frequencies(sequences, words), atol=1e-7)


def test_codons_are_those_of_a_loop(rng):
    sequences = [*random_sequences(rng, "ACGTN"), None, "AC"]
    words = ["".join(word) for word in product("ACGT", repeat=3)]
    np.testing.assert_allclose(codon_frequencies(sequences), slow_frequencies(sequences, words, step=3), atol=1e-7)


def test_u_is_t_among_nucleotides_only():
    assert kmer_frequencies(["acgu"], 1).tolist() == [[0.25] * 4]
    threonine = AMINO_ACIDS.index("T")
    assert kmer_frequencies(["MUT"], 1, AMINO_ACIDS)[0, threonine] == 0.5  # selenocysteine is left out
    assert codon_frequencies(["UUUTTT"])[0, -1] == 1


def test_absent_sequences_have_no_length():
    found = length_features({"rna": ["A" * 1023, None, np.nan], "protein": ["", "MKV", None]})
    assert found.tolist() == [[10, 1.023, 1, 0, 0, 0], [0, 0, 0, 2, 0.003, 1], [0] * 6]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: length_features({}), "sequences: expected at least one modality, got none; pass some"),
        (
            lambda: length_features({"dna": ["A"], "rna": ["A", "C"]}),
            "rna: expected as many observations as the other modalities, got 2 beside 1; pass those of the same observations",
        ),
        (lambda: length_features({"dna": "ACGT"}), "dna: expected a list of sequences, got one sequence; put it into"),
        (lambda: kmer_frequencies(["A", 3], 1), "sequences: expected sequences as text, None where absent, got int"),
        (lambda: kmer_frequencies(["A"], 0), "k: expected 1 or more, and up to 1,048,576 k-mers, got 0; pass fewer"),
        (lambda: kmer_frequencies(["A"], 11), "k: expected 1 or more, and up to 1,048,576 k-mers, got 11; pass fewer"),
    ],
)
def test_wrong_input(call, message):
    with refused(re.escape(message)):
        call()
