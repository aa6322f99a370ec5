"""Proteins from coding sequences: the standard genetic code, and which sequences are coding."""

from collections.abc import Sequence

import numpy as np

_BASES = b"TCAG"
_RESIDUES = np.frombuffer(b"FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG", np.uint8)
"""Of the codons TTT, TTC, TTA, TTG, TCT … GGG: table 1 of NCBI; ``*`` is a stop."""
_STOP, _ANY = ord("*"), ord("X")
MIN_CODING = 0.5
"""Fraction of the distinct sequences of a column that begin with ATG and translate, from which on it holds coding sequences.
Of 1,416 coding sequences .99 do, of 1,092 whole transcripts and of 30,274 fragments of 3'-UTRs fewer than .01; of annotated
coding sequences a third may be incomplete at an end."""


def translated(coding: bytes) -> bytes | None:
    """Return the protein of a coding sequence, read from its first nucleotide by the standard genetic code.

    Parameters
    ----------
    coding
        Upper-case nucleotides, T and not U. A stop codon at the end is left out; X stands for a codon with any other letter
        than A, C, G and T.

    Returns
    -------
    bytes or None
        One-letter amino acids; None if there is no whole number of codons, a stop codon inside, or nothing before it.

    Examples
    --------
    >>> translated(b"ATGAAATAG"), translated(b"ATGNAA"), translated(b"ATGTAGAAA"), translated(b"ATGA")
    (b'MK', b'MX', None, None)
    """
    if len(coding) % 3:
        return None
    number_of = np.full(256, -1)
    number_of[np.frombuffer(_BASES, np.uint8)] = range(4)
    number_c3 = number_of[np.frombuffer(coding, np.uint8)].reshape(-1, 3)
    protein = np.where(number_c3.min(1, initial=3) < 0, _ANY, _RESIDUES[number_c3 @ (16, 4, 1)]).astype(np.uint8)
    if len(protein) and protein[-1] == _STOP:
        protein = protein[:-1]
    return None if not len(protein) or (protein == _STOP).any() else protein.tobytes()


def with_translations(
    proteins: tuple[list[bytes], np.ndarray], codings: tuple[list[bytes], np.ndarray]
) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """Return the proteins of observations, those that have none translated from their coding sequence.

    Parameters
    ----------
    proteins, codings
        Distinct sequences, and the one of each observation: (n,) int64, -1 where there is none.

    Returns
    -------
    tuple
        The same of the proteins, each distinct one once, and (n,) bool: observations that lack a protein of their own and have a
        coding sequence, whether it translates or not.

    Examples
    --------
    >>> with_translations(([b"MK"], np.array([0, -1, -1])), ([b"ATGAAA", b"ATGA"], np.array([1, 0, 1])))[1].tolist()
    [0, 0, -1]
    """
    (distinct, code_n), (coding, coding_n) = proteins, codings
    needs_n = (code_n < 0) & (coding_n >= 0)
    number_of = {protein: number for number, protein in enumerate(distinct)}
    number_c = np.full(len(coding), -1, dtype=np.int64)
    for c in np.unique(coding_n[needs_n]):
        protein = translated(coding[c])
        if protein is not None:
            number_c[c] = number_of.setdefault(protein, len(number_of))
    filled_n = code_n.copy()
    filled_n[needs_n] = number_c[coding_n[needs_n]]
    return list(number_of), filled_n, needs_n


def are_coding(sequences: Sequence[bytes]) -> bool:
    """Return whether distinct sequences of nucleotides are coding ones, in frame: see :data:`MIN_CODING`."""
    n_coding = sum(sequence.startswith(b"ATG") and translated(sequence) is not None for sequence in sequences)
    return bool(sequences) and n_coding >= MIN_CODING * len(sequences)
