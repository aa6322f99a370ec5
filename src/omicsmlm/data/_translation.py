"""Proteins from coding sequences: the standard genetic code, and a column of proteins whose gaps are filled by translation."""

import logging
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from ._sequences import SequenceField, SequenceKind

logger = logging.getLogger(__name__)

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


class TranslatedField(SequenceField):
    """A column of proteins; an observation that has none there gets that of its coding sequence.

    Parameters
    ----------
    name
        Name of the modality.
    key
        The column with proteins; that of the coding sequences again where there is no such column.
    kind
        "protein".
    coding_key
        Column with coding sequences, which the field of the RNA checks. Those that do not translate (see :func:`translated`)
        give no protein.
    """

    def __init__(self, name: str, key: str, kind: SequenceKind, coding_key: str) -> None:
        super().__init__(name, key, kind)
        self.own = None if key == coding_key else SequenceField(name, key, kind)
        self.coding = SequenceField(name, coding_key, "nucleotide")

    def validate_field(self, adata: AnnData | MuData) -> None:
        """Check that the column of proteins, if there is one, holds these."""
        if self.own is not None:
            self.own.validate_field(adata)

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Store where the sequences are, how many observations have one, and how many of these are translated."""
        self.validate_field(adata)
        return self._state(adata)

    def transfer_field(
        self, state_registry: dict[str, Any], adata_target: AnnData | MuData, **kwargs: object
    ) -> dict[str, Any]:
        """Return the state in another object, which may lack either column."""
        if self.own is not None:
            self.own.transfer_field(state_registry, adata_target)
        return {**state_registry, **self._state(adata_target)}

    def read(self, data: AnnData | MuData) -> tuple[list[bytes], np.ndarray]:
        """Return the distinct proteins, and the one of each observation: (n,) int64, -1 where there is none."""
        return self._read(data)[:2]

    def _read(self, data: AnnData | MuData) -> tuple[list[bytes], np.ndarray, np.ndarray]:
        """Return also which observations lack a protein and have a coding sequence, (n,) bool."""
        distinct, code_n = ([], np.full(data.n_obs, -1, dtype=np.int64)) if self.own is None else self.own.read(data)
        coding, coding_n = self.coding.read(data)
        needs_n = (code_n < 0) & (coding_n >= 0)
        number_of = {protein: number for number, protein in enumerate(distinct)}
        number_c = np.full(len(coding), -1, dtype=np.int64)
        for c in np.unique(coding_n[needs_n]):
            protein = translated(coding[c])
            if protein is not None:
                number_c[c] = number_of.setdefault(protein, len(number_of))
        code_n[needs_n] = number_c[coding_n[needs_n]]
        return list(number_of), code_n, needs_n

    def _state(self, data: AnnData | MuData) -> dict[str, Any]:
        _, code_n, needs_n = self._read(data)
        n_translated = int((code_n[needs_n] >= 0).sum())
        n_failed = int(needs_n.sum()) - n_translated
        if needs_n.any():
            failed = f"; {n_failed} do not translate: no whole number of codons, or a stop inside" if n_failed else ""
            said = "%s: translated from %r for %d observations that have none%s."
            logger.info(said, self.name, self.coding.key, n_translated, failed)
        return {"key": self.key, "kind": self.kind, "n_present": int((code_n >= 0).sum()), "n_translated": n_translated}


def holds_coding_sequences(data: AnnData | MuData, key: str) -> bool:
    """Return whether a column of nucleotides holds coding sequences, in frame: see :data:`MIN_CODING`."""
    distinct, _ = SequenceField("rna", key, "nucleotide").read(data)
    n_coding = sum(sequence.startswith(b"ATG") and translated(sequence) is not None for sequence in distinct)
    return bool(distinct) and n_coding >= MIN_CODING * len(distinct)
