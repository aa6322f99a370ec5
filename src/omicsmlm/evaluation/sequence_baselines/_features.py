"""Sequences as plain numbers: how long they are, and which k letters they hold how often."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import value_error
from omicsmlm.evaluation._kmers import NUCLEOTIDES, kmer_blocks, texts

MOST_COLUMNS = 2**20
_KB = 1000.0


@in_one_sentence_of_types
def length_features(sequences: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """Compute how long the sequences of each observation are.

    Parameters
    ----------
    sequences
        By modality, (n,) sequences: text, or None, NaN or "" where absent.

    Returns
    -------
    numpy.ndarray
        float64 (n, 3 × modalities): for each modality log2(1 + letters), letters in thousands, and 1 if it is there; an
        absent one has three zeros.

    Raises
    ------
    ValueError
        If there is no modality, or they have different numbers of observations.

    Examples
    --------
    >>> length_features({"rna": ["ACG", None], "protein": ["M", ""]}).tolist()
    [[2.0, 0.003, 1.0, 1.0, 0.001, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    if not sequences:
        raise value_error("sequences", "at least one modality", "none", "pass some")
    columns: list[np.ndarray] = []
    for modality, listed in sequences.items():
        length_n = np.array([len(text) for text in texts(modality, listed)], dtype=np.float64)
        if columns and len(length_n) != len(columns[0]):
            found = f"{len(length_n)} beside {len(columns[0])}"
            raise value_error(
                modality, "as many observations as the other modalities", found, "pass those of the same observations"
            )
        columns += [np.log2(1 + length_n), length_n / _KB, (length_n > 0).astype(np.float64)]
    return np.stack(columns, axis=1)


@in_one_sentence_of_types
def kmer_frequencies(sequences: Sequence[Any], k: int, alphabet: str = NUCLEOTIDES) -> np.ndarray:
    """Compute the frequency of each k-mer in each sequence.

    Parameters
    ----------
    sequences
        (n,) text, or None, NaN or "" where absent. Small letters count as capitals; among nucleotides U counts as T. A
        k-mer with a letter outside the alphabet is left out.
    k, alphabet
        Letters of a k-mer, and which letters these can be: "ACGT", or "ACDEFGHIKLMNPQRSTVWY" for proteins.

    Returns
    -------
    numpy.ndarray
        float32 (n, len(alphabet) ** k), 0 to 1: AA, AC, AG … in the order of the alphabet. The sum of a row is 1, or 0
        where there is no k-mer.

    Raises
    ------
    ValueError
        If `k` is below 1 or there were more than a million columns.

    Examples
    --------
    >>> kmer_frequencies(["AACA", "acgu", None], 1).tolist()
    [[0.75, 0.25, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.0, 0.0]]
    """
    if k < 1 or len(alphabet) ** k > MOST_COLUMNS:
        raise value_error("k", f"1 or more, and up to {MOST_COLUMNS:,} k-mers", str(k), "pass fewer letters")
    return _frequencies(sequences, k, alphabet, 1)


@in_one_sentence_of_types
def codon_frequencies(sequences: Sequence[Any]) -> np.ndarray:
    """Compute the frequency of each codon in each coding sequence.

    Parameters
    ----------
    sequences
        (n,) coding sequences in frame, from their first codon on; None, NaN or "" where absent. What is left of an
        incomplete last codon is left out, and so are codons with other letters than A, C, G, T, U.

    Returns
    -------
    numpy.ndarray
        float32 (n, 64), 0 to 1: AAA, AAC, AAG, AAT, ACA … TTT.

    Examples
    --------
    >>> codon_frequencies(["AAAAACAA"])[0, :2].tolist()
    [0.5, 0.5]
    """
    return _frequencies(sequences, 3, NUCLEOTIDES, 3)


def _frequencies(sequences: Sequence[Any], k: int, alphabet: str, step: int) -> np.ndarray:
    listed = texts("sequences", sequences)
    n_kmers = len(alphabet) ** k
    fraction_nk = np.zeros((len(listed), n_kmers), dtype=np.float32)
    for rows, row_m, index_m in kmer_blocks(listed, k, alphabet, step=step):
        block = fraction_nk[rows]  # a view
        kmer_m, count_m = np.unique(row_m * n_kmers + index_m, return_counts=True)
        block.flat[kmer_m] = count_m
        block /= np.maximum(block.sum(axis=1, keepdims=True), 1)
    return fraction_nk
