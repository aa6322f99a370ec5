"""Residues and k-mers as numbers, against loops over text."""

import numpy as np
import pandas as pd
import pytest

from omicsmlm.evaluation import _kmers
from omicsmlm.evaluation._kmers import AMINO_ACIDS, NUCLEOTIDES, kmer_blocks, texts

SEQUENCES = ["ACGTAC", "", "gnau", "T", "ACé*ACG"]


def index_of(kmer, alphabet):
    """The first residue is the most significant digit."""
    index = 0
    for residue in kmer:
        index = index * len(alphabet) + alphabet.index(residue)
    return index


def by_loop(sequences, k, alphabet, step=1):
    found = []
    for row, text in enumerate(sequences):
        text = text.upper().replace("U", "T") if set(alphabet) <= set("ACGT") else text.upper()
        for i in range(0, len(text) - k + 1, step):
            if set(text[i : i + k]) <= set(alphabet):
                found.append((row, index_of(text[i : i + k], alphabet)))
    return found


def counted(sequences, k, alphabet, **options):
    return [
        (rows.start + row, index)
        for rows, row_m, index_m in kmer_blocks(sequences, k, alphabet, **options)
        for row, index in zip(row_m.tolist(), index_m.tolist(), strict=True)
    ]


@pytest.mark.parametrize("most", [1, 5, 8, 2**22])
@pytest.mark.parametrize(("k", "step"), [(1, 1), (2, 1), (3, 3), (3, 1), (9, 1)])
def test_kmers_are_those_of_a_loop_in_order(k, step, most, monkeypatch):
    monkeypatch.setattr(_kmers, "_MOST_RESIDUES", most)
    assert counted(SEQUENCES, k, NUCLEOTIDES, step=step) == by_loop(SEQUENCES, k, NUCLEOTIDES, step)


def test_blocks_hold_whole_sequences_and_at_least_one(monkeypatch):
    monkeypatch.setattr(_kmers, "_MOST_RESIDUES", 8)  # each sequence counts with its end
    blocks = [(rows.start, rows.stop) for rows, _, _ in kmer_blocks(["A" * 9, "CC", "GG", "TTT", "A"], 1, "ACGT")]
    assert blocks == [(0, 1), (1, 4), (4, 5)]
    assert list(kmer_blocks([], 2, "ACGT")) == []


def test_u_is_t_among_nucleotides_alone():
    assert counted(["Uu"], 1, NUCLEOTIDES) == [(0, 3), (0, 3)]
    assert counted(["UT"], 1, AMINO_ACIDS) == [(0, AMINO_ACIDS.index("T"))]
    assert counted(["UA"], 1, "AC") == [(0, 0)], "in an alphabet without T it is another residue"


def test_a_kmer_of_proteins():
    assert counted(["MKV"], 2, AMINO_ACIDS) == [(0, index_of("MK", AMINO_ACIDS)), (0, index_of("KV", AMINO_ACIDS))]
    assert len(AMINO_ACIDS) == len(set(AMINO_ACIDS)) == 20


def test_what_is_absent_is_empty_text():
    assert texts("rna", ["ACG", None, np.nan, pd.NA, ""]) == ["ACG", "", "", "", ""]
    with pytest.raises(ValueError, match="^rna: expected a list of sequences, got one sequence; put it into a list"):
        texts("rna", "ACG")
    with pytest.raises(ValueError, match="^rna: expected sequences as text, None where absent, got int; pass text"):
        texts("rna", ["ACG", 3])
