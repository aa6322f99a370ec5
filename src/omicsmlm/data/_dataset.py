"""Observations of a registered object, paired across modalities or not, as packed batches."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch.utils.data import Dataset

from omicsmlm._checks import value_error
from omicsmlm._types import SPARSE_KINDS, Batch, OnHost, Panels, Tokens

from ._covariates import CovariatesField
from ._labels import LabelsField
from ._matrix import Matrix
from ._modality import ModalityField
from ._modality_index import indices_in, modality_of
from ._names import digests_of
from ._numbers import NumbersField
from ._order import BatchPart, FileLayout
from ._packing import Packed, gather
from ._panels import read_panels
from ._sequences import SequenceField, SequenceReader, VectorField, VectorReader

Field = ModalityField | SequenceField | VectorField | CovariatesField | NumbersField | LabelsField
"""Any field of an object."""


WINDOW, WINDOW_BLOCKS, WINDOW_BYTES = 8192, 32, 2**25
"""Size of the shuffle buffers of a file: this number of observations, or of blocks if that is more, within these bytes."""
MIN_WINDOW, MAX_WINDOW_BYTES = 2048, 2**27
"""Where observations are large, the buffers hold at least this number of them, within these bytes (dozens of batches)."""


class ModalityReader:
    """Reads one modality, by indices of observations in the whole object.

    Parameters
    ----------
    data
        The whole object; :func:`indices_in` maps its observations to those of the modality.
    field
        The modality.
    state
        Its registered state.
    """

    def __init__(self, data: AnnData | MuData, field: ModalityField, state: dict[str, Any]) -> None:
        adata = modality_of(data, field.source) if state["n_shared"] else None
        vocabulary = pd.Index(state["vocabulary"])
        self.keep_zeros = state["kind"] not in SPARSE_KINDS
        self.panels_sg: torch.Tensor | None = None
        self.index_of: np.ndarray | None = None
        self.matrix: Matrix | None = None
        self.measured = torch.zeros(len(vocabulary), dtype=torch.bool)
        if adata is None:
            return
        self.matrix = Matrix.of(field.source, adata, field.layer)
        names = adata.var_names.astype(str)
        self.vocabulary_of_column = vocabulary.get_indexer(names).astype(np.int32)
        self.measured[self.vocabulary_of_column[self.vocabulary_of_column >= 0]] = True
        self.index_of = indices_in(data, field.source) if isinstance(data, MuData) else None
        table = read_panels(field.source, adata)
        if table is not None:
            column_v = pd.Index(names).get_indexer(vocabulary)
            self.panels_sg = torch.from_numpy(table.measured[:, column_v] & (column_v >= 0))
            self.panel_of = table.of_obs

    def in_modality(self, indices: np.ndarray) -> np.ndarray:
        """Return the indices within the modality of some observations, -1 for those that it lacks."""
        if self.matrix is None:
            return np.full(len(indices), -1)
        return indices if self.index_of is None else self.index_of[indices].astype(np.int64)

    def panels(self, indices: np.ndarray) -> Panels | None:
        """Return the data sets of some observations and the features these measured; None where the object has no such table."""
        if self.panels_sg is None:
            return None
        own_n = self.in_modality(indices)
        return Panels(self.panels_sg, torch.from_numpy(np.where(own_n >= 0, self.panel_of[own_n], -1).astype(np.int64)))

    def packed(self, indices: np.ndarray) -> Packed:
        """Return the packed tokens of some observations."""
        if self.matrix is None:
            return gather(len(indices), [])
        return self.matrix.pack(self.in_modality(indices), self.vocabulary_of_column, self.keep_zeros)


class ObservationDataset(Dataset):
    """The observations of an object; indexing it with a list of indices returns a :class:`Batch`.

    Parameters
    ----------
    data
        A registered object.
    fields
        Its fields.
    registry
        State of each field by registry key.
    """

    def __init__(
        self,
        data: AnnData | MuData,
        fields: Sequence[Field],
        registry: dict[str, dict[str, Any]],
    ) -> None:
        self.n_obs = data.n_obs
        self.names = data.obs_names
        self.modalities: dict[str, ModalityReader] = {}
        self.sequences: dict[str, SequenceReader] = {}
        self.vectors: dict[str, VectorReader] = {}
        covariates = np.empty((data.n_obs, 0), dtype=np.int8)
        self.numbers: torch.Tensor | None = None
        self.size_factors: torch.Tensor | None = None
        for field in fields:
            state = registry[field.registry_key]["state_registry"]
            if isinstance(field, ModalityField):
                self.modalities[field.name] = ModalityReader(data, field, state)
            elif isinstance(field, SequenceField):
                self.sequences[field.name] = SequenceReader(data, field)
            elif isinstance(field, VectorField):
                self.vectors[field.name] = VectorReader(data, field, state)
            elif isinstance(field, CovariatesField):
                covariates = field.codes(data, state)
            elif isinstance(field, NumbersField):
                found = field.scaled(data, state)
                self.numbers, self.size_factors = (None if x is None else torch.from_numpy(x) for x in found)
        self.covariates = torch.from_numpy(covariates)

    @property
    def layout(self) -> FileLayout | None:
        """Blocks and buffers with which observations are read where a modality is in a file; None if all are in memory."""
        files = [m.matrix.file for m in self.modalities.values() if m.matrix is not None and m.matrix.file is not None]
        if not files:
            return None
        block = max(file.block for file in files)
        row_bytes = max(1.0, sum(file.row_bytes for file in files))
        room = max(WINDOW_BYTES / row_bytes, min(MIN_WINDOW, MAX_WINDOW_BYTES / row_bytes))
        return FileLayout(block, int(min(max(WINDOW, WINDOW_BLOCKS * block), room)))

    def __len__(self) -> int:
        """Return the number of observations."""
        return self.n_obs

    def read(self, indices: np.ndarray) -> dict[str, Packed]:
        """Return the tokens of some observations, by modality."""
        return {name: modality.packed(indices) for name, modality in self.modalities.items()}

    def __getitem__(self, indices: int | Sequence[int] | np.ndarray) -> Batch:
        """Return some observations as a batch."""
        indices = np.atleast_1d(np.asarray(indices, dtype=np.int64))
        return self._batch(indices, self.read(indices))

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return some observations as a batch; ``torch.utils.data.Subset`` calls this."""
        return self[indices]

    def from_pieces(self, pieces: Sequence[BatchPart]) -> Batch:
        """Return a batch gathered from buffers that were read before."""
        n_obs = sum(len(piece.slots) for piece in pieces)
        indices = np.empty(n_obs, dtype=np.int64)
        for piece in pieces:
            indices[piece.slots] = piece.buffer.indices[piece.positions]
        packed = {
            name: gather(n_obs, [(piece.buffer.tokens[name], piece.positions, piece.slots) for piece in pieces])
            for name in self.modalities
        }
        return self._batch(indices, packed)

    def _batch(self, indices: np.ndarray, packed: dict[str, Packed]) -> Batch:
        for name, part in packed.items():
            _check_finite(name, part)
        tokens = {name: Tokens(*map(torch.from_numpy, part)) for name, part in packed.items()}
        present = {name: torch.from_numpy(part.in_modality(indices) >= 0) for name, part in self.modalities.items()}
        for name, vector in self.vectors.items():
            tokens[name], present[name] = vector.tokens(indices)
        index_n = torch.from_numpy(indices)
        residues = {name: sequence.residues(indices) for name, sequence in self.sequences.items()}
        panels = {name: modality.panels(indices) for name, modality in self.modalities.items()}
        valued = self.modalities | self.vectors
        return Batch(
            tokens=tokens,
            present=present | {name: found.of_obs >= 0 for name, found in residues.items()},
            measured={name: modality.measured for name, modality in valued.items()},
            covariates=self.covariates[index_n].long(),
            indices=index_n,
            panels={name: found for name, found in panels.items() if found is not None},
            sequences=residues,
            numbers=None if self.numbers is None else self.numbers[index_n],
            size_factors=None if self.size_factors is None else self.size_factors[index_n],
            lengths={name: OnHost(np.diff(part.offsets.numpy())) for name, part in tokens.items()},
            digests=torch.from_numpy(digests_of(self.names[indices])),
        )


def _check_finite(name: str, packed: Packed) -> None:
    """Check values that were read by one pass: NaN and infinity remain in a sum, and all values were bounded at registration."""
    if not np.isfinite(packed.values.sum()):
        found = "NaN" if np.isnan(packed.values).any() else "infinity"
        remedy = "the object was changed since it was registered: mend it and set it up anew"
        raise value_error(name, "finite values", found, remedy)


class Buffer(NamedTuple):
    """Observations of a file that were read together, to be shuffled among one another."""

    indices: np.ndarray
    tokens: dict[str, Packed]

    @classmethod
    def of(cls, dataset: ObservationDataset, indices: np.ndarray) -> "Buffer":
        """Return a buffer with these observations, read from the file."""
        return cls(indices, dataset.read(indices))
