"""Sequences as numbers: residues as codes, and each k consecutive residues as one index."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from omicsmlm._checks import shortened, value_error

NUCLEOTIDES = "ACGT"
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
_OTHER = -1
_MOST_RESIDUES = 2**22
"""Residues that are gone through at once: some tens of megabytes."""


def texts(place: str, sequences: Sequence[Any]) -> list[str]:
    """Return sequences as text, an absent one (None, NaN, "") as ``""``.

    Raises
    ------
    ValueError
        If one is neither text nor absent.

    Examples
    --------
    >>> texts("rna", ["ACG", None, np.nan, ""])
    ['ACG', '', '', '']
    """
    if isinstance(sequences, str):
        raise value_error(place, "a list of sequences", "one sequence", "put it into a list")
    if not isinstance(sequences, Iterable):
        raise value_error(place, "a list of sequences", shortened(sequences), "put them into a list")
    found = ["" if text is None or text is pd.NA or text != text else text for text in sequences]
    bad = next((text for text in found if not isinstance(text, str)), None)
    if bad is not None:
        raise value_error(place, "sequences as text, None where absent", type(bad).__name__, "pass text")
    return found


def kmer_blocks(
    sequences: Sequence[str], k: int, alphabet: str, *, step: int = 1
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Count off the k-mers of sequences, some sequences at a time.

    Parameters
    ----------
    sequences
        Text; lower case counts as upper case and, in an alphabet of nucleotides, U as T.
    k, alphabet
        Residues of a k-mer, and which these can be: a k-mer with any other is left out.
    step
        1: k-mers begin at each residue. 3: at each third, the first among them.

    Yields
    ------
    rows : slice
        Of the sequences.
    row_m, index_m : numpy.ndarray
        int64, for each k-mer, in order: the sequence within the slice, and the index of the k-mer, the first residue
        being the most significant digit.

    Examples
    --------
    >>> [(row_m.tolist(), index_m.tolist()) for _, row_m, index_m in kmer_blocks(["ACG", "GNAU"], 2, "ACGT")]
    [([0, 0, 1], [1, 6, 3])]
    """
    code_of = np.full(256, _OTHER, dtype=np.int64)
    for code, residue in enumerate(alphabet):
        code_of[[ord(residue.upper()), ord(residue.lower())]] = code
    if "T" in alphabet and set(alphabet) <= set(NUCLEOTIDES):
        code_of[[ord("U"), ord("u")]] = code_of[ord("T")]
    width_n = np.array([len(text) + 1 for text in sequences], dtype=np.int64)
    start_n = np.cumsum(width_n) - width_n
    first = 0
    while first < len(sequences):
        last = max(int(np.searchsorted(start_n, start_n[first] + _MOST_RESIDUES)), first + 1)
        rows, width_r = slice(first, last), width_n[first:last]
        joined = "".join(f"{text}\n" for text in sequences[rows])  # in no alphabet: no k-mer spans two sequences
        code_l = code_of[np.frombuffer(joined.encode("latin-1", "replace"), dtype=np.uint8)]
        row_l = np.repeat(np.arange(last - first), width_r)
        place_l = np.arange(len(code_l)) - np.repeat(start_n[rows] - start_n[first], width_r)
        index_l = _indices(code_l, k, len(alphabet))
        taken_l = (index_l != _OTHER) & (place_l[: len(index_l)] % step == 0)
        yield rows, row_l[: len(index_l)][taken_l], index_l[taken_l]
        first = last


def _indices(code_l: np.ndarray, k: int, n_residues: int) -> np.ndarray:
    """Return the index of the k-mer that begins at each place, -1 where a residue of it is not of the alphabet."""
    n_places = max(len(code_l) - k + 1, 0)
    index_l, whole_l = np.zeros(n_places, dtype=np.int64), np.ones(n_places, dtype=bool)
    for offset in range(k):
        code_at_l = code_l[offset : offset + n_places]
        index_l = index_l * n_residues + code_at_l
        whole_l &= code_at_l != _OTHER
    return np.where(whole_l, index_l, _OTHER)
