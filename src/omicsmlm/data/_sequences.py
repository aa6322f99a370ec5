"""Sequences in a column of ``obs``, and plain vectors in ``obsm``: modalities whose features have no names."""

import hashlib
import logging
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import are_missing_texts, named, value_error, without_missing_texts
from omicsmlm._compat import summary_name
from omicsmlm._types import Sequences, Tokens

from ._columns import read_column
from ._observation_field import ObservationField
from ._translation import are_coding, with_translations

logger = logging.getLogger(__name__)

SequenceKind = Literal["nucleotide", "protein"]
ALPHABETS: dict[str, str] = {"nucleotide": "ACGTUNRYSWKMBDHV", "protein": "ACDEFGHIKLMNPQRSTVWYXBZJUO*"}
"""One-letter codes of the IUPAC alphabets; ``*`` is a stop."""


class _NamedField(ObservationField):
    """Abstract: a modality that is a property of each observation, not a matrix of named features."""

    prefix: str

    def __init__(self, name: str, key: str) -> None:
        super().__init__()
        self.name = name
        self.key = key

    @property
    def registry_key(self) -> str:
        """Key of the field in the registry."""
        return f"{self.prefix}_{self.name}"

    @property
    def attr_key(self) -> str:
        """Name of the column or entry."""
        return self.key

    def get_summary_stats(self, state_registry: dict[str, Any]) -> dict[str, int]:
        """Return the number of observations that have it."""
        return {summary_name(self.name): state_registry["n_present"]}


class SequenceField(_NamedField):
    """A column of ``obs`` with one sequence per observation; missing, empty or "nan" where the observation has none.

    Parameters
    ----------
    name
        Name of the modality.
    key
        The column; of proteins all of which are translated, that of the coding sequences.
    kind
        "nucleotide" (DNA or RNA: U is read as T) or "protein".
    coding_key
        Of proteins: column with coding sequences, from which a protein is translated where an observation has none; it is checked
        as the field of the RNA. None to translate nothing.
    """

    prefix = "sequence"

    def __init__(self, name: str, key: str, kind: SequenceKind, coding_key: str | None = None) -> None:
        super().__init__(name, key)
        self.coding = None if coding_key is None else SequenceField(name, coding_key, "nucleotide")
        if kind not in get_args(SequenceKind):
            raise value_error(
                name, " or ".join(map(repr, get_args(SequenceKind))), repr(kind), "say what its residues are"
            )
        self.kind = kind

    @property
    def attr_name(self) -> str:
        """Attribute that holds the column."""
        return "obs"

    def validate_field(self, adata: AnnData | MuData) -> None:
        """Check that the column holds sequences of this kind, and not of the other one."""
        if not self._has_own:
            return
        if self.key not in adata.obs:
            found = f"columns {named(adata.obs.columns, most=12)}"
            raise value_error(f"column {self.key!r}", "a column of .obs", found, "pass an existing name")
        without_missing_texts(f"column {self.key!r}", read_column(adata.obs, self.key))  # says how many there are
        distinct, _ = self._own(adata)
        alphabet = np.zeros(256, dtype=bool)
        alphabet[np.frombuffer(ALPHABETS[self.kind].encode(), np.uint8)] = True
        for sequence in distinct:
            strange = ~alphabet[np.frombuffer(sequence, np.uint8)]
            if strange.any():
                residues = {chr(sequence[i]) for i in np.flatnonzero(strange)}
                raise value_error(
                    f"column {self.key!r}",
                    f"{self.kind} sequences of the letters {ALPHABETS[self.kind]}",
                    f"{named(sorted(residues))} in {sequence[:20].decode('latin1')!r}…",
                    "check which column is which, or take gaps and other signs out",
                )

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Store where the sequences are, how many observations have one, and how many of these are translated."""
        self.validate_field(adata)
        return self._found(adata)

    def transfer_field(
        self, state_registry: dict[str, Any], adata_target: AnnData | MuData, **kwargs: object
    ) -> dict[str, Any]:
        """Return the state of the column in another object; without it, none of its observations has one of its own."""
        if self.key in adata_target.obs:
            self.validate_field(adata_target)
        elif self._has_own:
            logger.info("%s: no column %r in this object, so that no observation has it.", self.name, self.key)
        return {**state_registry, **self._found(adata_target)}

    def read(self, data: AnnData | MuData) -> tuple[list[bytes], np.ndarray]:
        """Return the distinct sequences, upper-case, and the one of each observation: (n,) int64, -1 where there is none."""
        return self._own(data) if self.coding is None else self._with_translations(data)[:2]

    @property
    def _has_own(self) -> bool:
        """Whether there is a column of this kind, and not of coding sequences alone."""
        return self.coding is None or self.coding.key != self.key

    def _with_translations(self, data: AnnData | MuData) -> tuple[list[bytes], np.ndarray, np.ndarray]:
        assert self.coding is not None
        nothing: tuple[list[bytes], np.ndarray] = [], np.full(data.n_obs, -1, dtype=np.int64)
        return with_translations(self._own(data) if self._has_own else nothing, self.coding.read(data))

    def _found(self, data: AnnData | MuData) -> dict[str, Any]:
        """Return the state of the field in an object, and log what was translated, and what was not."""
        state = {"key": self.key, "kind": self.kind, "n_present": int((self.read(data)[1] >= 0).sum())}
        if self.coding is None:
            return state
        _, code_n, needs_n = self._with_translations(data)
        n_translated = int((code_n[needs_n] >= 0).sum())
        n_failed = int(needs_n.sum()) - n_translated
        if needs_n.any():
            failed = f"; {n_failed} do not translate: no whole number of codons, or a stop inside" if n_failed else ""
            text = "%s: translated from %r for %d observations that have none%s."
            logger.info(text, self.name, self.coding.key, n_translated, failed)
        return {**state, "n_translated": n_translated}

    def _own(self, data: AnnData | MuData) -> tuple[list[bytes], np.ndarray]:
        """Return the same as :meth:`read` of the column alone."""
        if self.key not in data.obs:
            return [], np.full(data.n_obs, -1, dtype=np.int64)
        column = read_column(data.obs, self.key).astype(object)
        column = column.where(column.notna() & ~are_missing_texts(column), None)
        wrong = [
            value for value in column if value is not None and not isinstance(value, str)
        ]  # a list cannot be hashed
        if wrong:
            found = f"{wrong[0]!r}"
            raise value_error(
                f"column {self.key!r}", "sequences as text", found, "name the column that holds sequences"
            )
        codes_n, values = pd.factorize(column)
        table = str.maketrans("U", "T") if self.kind == "nucleotide" else {}
        # Spellings of the same sequence, in lower case or with U, count as one.
        code_v, distinct = pd.factorize(np.array([value.upper().translate(table) for value in values], dtype=object))
        return [text.encode() for text in distinct], np.append(code_v, -1)[codes_n].astype(np.int64)


def holds_coding_sequences(data: AnnData | MuData, key: str) -> bool:
    """Return whether a column of nucleotides holds coding sequences, in frame: see :func:`are_coding`."""
    return are_coding(SequenceField("rna", key, "nucleotide").read(data)[0])


class SequenceReader:
    """Returns the sequences of observations, by their indices.

    Parameters
    ----------
    data
        The object.
    field
        The modality.
    """

    def __init__(self, data: AnnData | MuData, field: SequenceField) -> None:
        distinct, self.code_n = field.read(data)
        self.distinct = [np.frombuffer(sequence, np.uint8) for sequence in distinct]
        hashes = [hashlib.blake2b(sequence, digest_size=16).digest() for sequence in distinct]
        self.digest_u2 = np.frombuffer(b"".join(hashes), np.int64).reshape(-1, 2)

    def residues(self, indices: np.ndarray) -> Sequences:
        """Return the sequences of some observations, each distinct one once."""
        code_n = self.code_n[indices]
        wanted, place = np.unique(code_n[code_n >= 0], return_inverse=True)
        of_obs = np.full(len(indices), -1, dtype=np.int64)
        of_obs[code_n >= 0] = place
        found = [self.distinct[code] for code in wanted]
        offsets = np.concatenate([[0], np.cumsum([len(sequence) for sequence in found])]).astype(np.int64)
        packed = np.concatenate(found) if found else np.zeros(0, np.uint8)
        digests = self.digest_u2[wanted]
        return Sequences(*map(torch.from_numpy, (packed, offsets, of_obs, digests)))


class VectorField(_NamedField):
    """An entry of ``obsm`` with one vector per observation, say the methylation of a promoter by window; NaN where not measured.

    A observation of nothing but NaN does not have it.
    """

    prefix = "vector"

    @property
    def attr_name(self) -> str:
        """Attribute that holds the vectors."""
        return "obsm"

    def validate_field(self, adata: AnnData | MuData) -> None:
        """Check that there are vectors of finite numbers or NaN."""
        if self.key not in adata.obsm:
            known = [key for key in adata.obsm if isinstance(key, str)]
            raise value_error(
                self.name, f"an entry {self.key!r} of .obsm", named(known), "pass the name of an existing one"
            )
        values = np.asarray(adata.obsm[self.key])
        if values.ndim != 2 or values.dtype.kind not in "biuf" or np.isinf(values).any():
            found = f"an array of shape {values.shape} and type {values.dtype}"
            raise value_error(self.name, "(n_obs, width) finite numbers or NaN", found, "convert it to float32")

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Store where the vectors are, and their width."""
        self.validate_field(adata)
        values = self.read(adata)
        n_present = int(np.isfinite(values).any(1).sum())
        return {"key": self.key, "width": values.shape[1], "n_present": n_present}

    def transfer_field(
        self, state_registry: dict[str, Any], adata_target: AnnData | MuData, **kwargs: object
    ) -> dict[str, Any]:
        """Return the state of the entry in another object; without it, none of its observations has the modality."""
        if self.key not in adata_target.obsm:
            return {**state_registry, "n_present": 0}
        state = self.register_field(adata_target)
        if state["width"] != state_registry["width"]:
            wanted = f"vectors of width {state_registry['width']}, as in training"
            raise value_error(self.name, wanted, str(state["width"]), f"check .obsm[{self.key!r}]")
        return state

    def read(self, data: AnnData | MuData) -> np.ndarray:
        """Return (n, width) float32."""
        return np.asarray(data.obsm[self.key], dtype=np.float32)


class VectorReader:
    """Returns the vectors of observations, by their indices."""

    def __init__(self, data: AnnData | MuData, field: VectorField, state: dict[str, Any]) -> None:
        width = state["width"]
        nothing = np.full((data.n_obs, width), np.nan, dtype=np.float32)
        self.value_ng = field.read(data) if field.key in data.obsm else nothing
        self.measured = torch.ones(width, dtype=torch.bool)

    def tokens(self, indices: np.ndarray) -> tuple[Tokens, torch.Tensor]:
        """Return the packed values of some observations and, per observation, whether it has any."""
        value_ng = self.value_ng[indices]
        obs_t, id_t = np.nonzero(np.isfinite(value_ng))
        length_n = np.bincount(obs_t, minlength=len(indices))
        offsets = np.concatenate([[0], np.cumsum(length_n)])
        packed = id_t.astype(np.int32), value_ng[obs_t, id_t], offsets
        return Tokens(*map(torch.from_numpy, packed)), torch.from_numpy(length_n > 0)
