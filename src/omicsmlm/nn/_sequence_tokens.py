"""Residues as the tokens of a published encoder, each with the residues that it stands for.

Arrays: l residues of a sequence, t its tokens.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from omicsmlm._checks import value_error
from omicsmlm._types import MASK_BIT

MOST_UNKNOWN = 0.05
"""Fraction of the residues of a sequence that may be unknown to a tokenizer."""
PROBES = {
    "nucleotide": "ACGTTGCAACCGGTTAGATCCATGAAGCTTGGCACTGTCAGTCATAGCGTACGTAATCTG",
    "protein": "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQCWH",
}
"""Sequences by which it is found out what a tokenizer knows; 60 nucleotides, which words of up to 6 divide."""
AMBIGUOUS = {"nucleotide": "NRYSWKMBDHV", "protein": "XBZJUO*"}
"""Letters that are no residue of their own; the first stands for any."""
AMINO_ACIDS_ALONE = "EFILPQ"
"""Letters that mean an amino acid and nothing else."""
STOP = ord("*")


SequenceKind = Literal["nucleotide", "protein"]


class Reading(NamedTuple):
    """How sequences are given to a published encoder."""

    kind: SequenceKind
    """What the sequences are."""
    keep: Literal["start", "end", "centre"] = "start"
    """Which tokens are kept of a sequence of more tokens than the encoder has positions."""
    spaced: bool = False
    """Whether blanks stand between the letters, as tokenizers of words need it."""
    uracil: bool = False
    """Whether T is written as U."""
    mixed_alphabet: bool = False
    """Whether the tokenizer is of nucleotides and amino acids, or of bytes, so that its letters do not tell what it is for."""
    former_states: bool = False
    """Whether states are those of version 0.1: the ones of special tokens among them, and all positions of Enformer."""


class Tokens(NamedTuple):
    """The tokens of a sequence."""

    ids: np.ndarray
    """(t,) int64, special tokens among them."""
    has_state: np.ndarray
    """(t,) bool: whether the token stands for residues, and its state is kept."""
    is_cut: bool = False
    """Whether the sequence has more tokens than the encoder has positions, and some were left out."""


class SequenceTokens:
    """Turns a sequence into the tokens of an encoder.

    A stop at the end of a protein is no residue, and is left out. Ambiguous letters that the tokenizer does not know become its
    X or N; where it knows neither, they are masked.

    Parameters
    ----------
    tokenizer
        A tokenizer of ``transformers``.
    reading
        How sequences are given to it.
    n_positions
        Most tokens of a sequence; None for any number.

    Raises
    ------
    ValueError
        If the tokenizer is not of such sequences.
    """

    def __init__(self, tokenizer: Any, reading: Reading, n_positions: int | None = None) -> None:
        self.tokenizer, self.reading = tokenizer, reading
        self.unknown_id, self.mask_id = tokenizer.unk_token_id, tokenizer.mask_token_id
        self.pad_id: int | None = tokenizer.pad_token_id
        self.unknown_characters = [ord(one) for one in AMBIGUOUS[reading.kind] if not self._knows(one)]
        self.any_residue = AMBIGUOUS[reading.kind][0]
        self.has_any = ord(self.any_residue) not in self.unknown_characters
        probe = PROBES[reading.kind]
        self._check_alphabet(probe)
        self.id_of_character = self._character_ids(probe)
        own = self._pieces(probe)[0].tolist()
        whole = list(tokenizer(self._written(probe))["input_ids"])
        at = next((i for i in range(len(whole)) if whole[i : i + len(own)] == own), None)
        if at is None:
            remedy = "pass an encoder whose special tokens stand at the ends alone"
            raise value_error("encoder", "a tokenizer that adds to a sequence at its ends", "another one", remedy)
        self.before, self.after = whole[:at], whole[at + len(own) :]
        self.n_most = None if n_positions is None else n_positions - len(self.before) - len(self.after)

    def __call__(self, residue_l: np.ndarray) -> Tokens:
        """Return the tokens of a sequence, (l,) uint8 residues.

        Raises
        ------
        ValueError
            If more than 5 % of the residues are unknown to the tokenizer.
        """
        character_l, masked_l = residue_l & (MASK_BIT - 1), residue_l >= MASK_BIT
        if self.reading.kind == "protein":
            n_stops = int((character_l[::-1] == STOP).cumprod().sum())
            character_l, masked_l = character_l[: len(character_l) - n_stops], masked_l[: len(character_l) - n_stops]
        rare_l = np.isin(character_l, self.unknown_characters)
        character_l = np.where(rare_l, ord(self.any_residue if self.has_any else "A"), character_l).astype(np.uint8)
        masked_l = masked_l if self.has_any else masked_l | rare_l
        if self.id_of_character is not None:
            place_l = np.arange(len(character_l))
            id_t, first_t, end_t = self.id_of_character[character_l], place_l, place_l + 1
        else:
            id_t, first_t, end_t = self._pieces(character_l.tobytes().decode())
        self._check_known(character_l, id_t, end_t - first_t)
        n_masked = np.append(0, masked_l.cumsum())
        is_masked_t = n_masked[end_t] > n_masked[first_t]
        has_state_t = end_t > first_t
        if self.mask_id is None:
            has_state_t &= ~is_masked_t
        else:
            id_t = np.where(is_masked_t, self.mask_id, id_t)
        kept = self._kept(len(id_t))
        ends = len(self.before), len(self.after)
        has_state_t = np.pad(has_state_t[kept], ends, constant_values=self.reading.former_states)
        is_cut = kept.stop - kept.start < len(id_t)
        return Tokens(np.array([*self.before, *id_t[kept], *self.after], dtype=np.int64), has_state_t, is_cut)

    def _kept(self, n_tokens: int) -> slice:
        surplus = 0 if self.n_most is None else max(0, n_tokens - self.n_most)
        first = {"start": 0, "end": surplus, "centre": surplus // 2}[self.reading.keep]
        return slice(first, first + n_tokens - surplus)

    def _written(self, text: str) -> str:
        text = text.replace("T", "U") if self.reading.uracil else text
        return " ".join(text) if self.reading.spaced else text

    def _pieces(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the id of each token, and its first residue and the one after its last; special tokens are not added."""
        written = self._written(text)
        if self.tokenizer.is_fast:
            found = self.tokenizer(written, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            step = 2 if self.reading.spaced else 1
            bounds = -(-np.array(found["offset_mapping"], dtype=np.int64).reshape(-1, 2) // step)
            return np.array(found["input_ids"], dtype=np.int64), bounds[:, 0], bounds[:, 1]
        tokens = self.tokenizer.tokenize(written)
        id_t = np.array(self.tokenizer.convert_tokens_to_ids(tokens), dtype=np.int64)
        unknown = self.tokenizer.unk_token
        sizes = [1 if token == unknown else len(token.replace("▁", "").removeprefix("##")) for token in tokens]
        end_t = np.cumsum([0, *sizes])
        if end_t[-1] != len(text):  # it did not say what became of some residues
            unknown_id = -1 if self.unknown_id is None else self.unknown_id
            return np.array([unknown_id]), np.array([0]), np.array([len(text)])
        return id_t, end_t[:-1], end_t[1:]

    def _character_ids(self, probe: str) -> np.ndarray | None:
        """Return the token of each letter, (256,) int64, if each residue has one of its own: no tokenizer need be asked then."""
        characters = "".join(sorted(set(probe))) + "".join(
            one for one in AMBIGUOUS[self.reading.kind] if ord(one) not in self.unknown_characters
        )
        found = [self._pieces(one)[0] for one in characters]
        if any(len(id_t) != 1 or id_t[0] < 0 for id_t in found):
            return None
        id_of_character = np.full(256, -1, dtype=np.int64)
        id_of_character[np.frombuffer(characters.encode(), np.uint8)] = np.concatenate(found)
        whole = probe + characters
        expected = id_of_character[np.frombuffer(whole.encode(), np.uint8)]
        return id_of_character if np.array_equal(self._pieces(whole)[0], expected) else None

    def _knows(self, characters: str) -> bool:
        id_t, _, _ = self._pieces(characters)
        return not self._is_unknown(id_t).any()

    def _is_unknown(self, id_t: np.ndarray) -> np.ndarray:
        return (id_t == -1) | (id_t == (-1 if self.unknown_id is None else self.unknown_id))

    def _check_known(self, character_l: np.ndarray, id_t: np.ndarray, size_t: np.ndarray) -> None:
        n_unknown, n_residues = int(size_t[self._is_unknown(id_t)].sum()), len(character_l)
        if n_unknown <= MOST_UNKNOWN * n_residues:
            return
        kind, start = self.reading.kind, character_l[:20].tobytes().decode()
        found = f"one that does not know {n_unknown} of the {n_residues} residues of {start!r}…"
        remedy = f"pass an encoder of {kind} sequences, or spaced=True if it reads letters between blanks"
        if kind == "nucleotide":
            remedy += (
                f", or uracil={not self.reading.uracil} if it writes {'T for U' if self.reading.uracil else 'U for T'}"
            )
        raise value_error("encoder", f"a tokenizer of {kind} sequences", found, remedy)

    def _check_alphabet(self, probe: str) -> None:
        """Check that the tokenizer knows the residues, and is not one of proteins to which nucleotides look like residues."""
        kind = self.reading.kind
        if self.reading.uracil and kind != "nucleotide":
            raise value_error("uracil", "nucleotide sequences", "proteins", "leave it out")
        id_t, first_t, end_t = self._pieces(probe)
        self._check_known(np.frombuffer(probe.encode(), np.uint8), id_t, end_t - first_t)
        if kind == "nucleotide" and not self.reading.mixed_alphabet and all(map(self._knows, AMINO_ACIDS_ALONE)):
            found = f"one that knows the letters {', '.join(AMINO_ACIDS_ALONE)}, too, which mean amino acids"
            remedy = "pass an encoder of nucleotides, or mixed_alphabet=True if it is one of both"
            raise value_error("encoder", "a tokenizer of nucleotide sequences", found, remedy)
