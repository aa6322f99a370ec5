"""Rows of a registered object as packed batches, paired or not."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch.utils.data import Dataset

from omicsmlm._types import SPARSE_KINDS, Batch, OnHost, Panels, Tokens

from ._fields import CovariatesField, ModalityField
from ._matrix import Matrix
from ._order import Layout, Piece
from ._packing import Packed, gather
from ._panels import read_panels
from ._rows import modality_of, rows_in
from ._sequences import SequenceField, SequenceRows, VectorField, VectorRows

Field = ModalityField | SequenceField | VectorField | CovariatesField
"""Whatever is registered of an object."""


WINDOW, WINDOW_BLOCKS, WINDOW_BYTES = 8192, 32, 2**25
"""Observations of a file that are shuffled among one another: so many, or so many blocks, but within these bytes."""
LEAST_WINDOW, MOST_BYTES = 2048, 2**27
"""Where observations are large, at least so many, but within these bytes."""


class ModalityRows:
    """Rows of one modality, asked for by row of the whole object.

    Parameters
    ----------
    data
        The whole object; :func:`rows_in` leads from its rows to the modality's.
    field
        The modality.
    state
        Its registered state.
    """

    def __init__(self, data: AnnData | MuData, field: ModalityField, state: dict[str, Any]) -> None:
        adata = modality_of(data, field.source) if state["n_shared"] else None
        vocabulary = pd.Index(state["vocabulary"])
        self.keep_zeros = state["kind"] not in SPARSE_KINDS
        self.profiled: torch.Tensor | None = None
        self.row_of: np.ndarray | None = None
        self.matrix: Matrix | None = None
        self.measured = torch.zeros(len(vocabulary), dtype=torch.bool)
        if adata is None:
            return
        self.matrix = Matrix.of(field.source, adata, field.layer)
        names = adata.var_names.astype(str)
        self.vocabulary_of_column = vocabulary.get_indexer(names).astype(np.int32)
        self.measured[self.vocabulary_of_column[self.vocabulary_of_column >= 0]] = True
        self.row_of = rows_in(data, field.source) if isinstance(data, MuData) else None
        table = read_panels(field.source, adata)
        if table is not None:
            column_v = pd.Index(names).get_indexer(vocabulary)
            self.profiled = torch.from_numpy(table.profiled[:, column_v] & (column_v >= 0))
            self.panel_of = table.of_obs

    def local(self, rows: np.ndarray) -> np.ndarray:
        """Give the modality's own numbers of some rows, -1 for those that it lacks."""
        if self.matrix is None:
            return np.full(len(rows), -1)
        return rows if self.row_of is None else self.row_of[rows].astype(np.int64)

    def panels(self, rows: np.ndarray) -> Panels | None:
        """Tell which data sets some rows are of, and what these profiled; None where the object does not say."""
        if self.profiled is None:
            return None
        local = self.local(rows)
        return Panels(self.profiled, torch.from_numpy(np.where(local >= 0, self.panel_of[local], -1).astype(np.int64)))

    def packed(self, rows: np.ndarray) -> Packed:
        """Read the packed tokens of some rows."""
        if self.matrix is None:
            return gather(len(rows), [])
        return self.matrix.pack(self.local(rows), self.vocabulary_of_column, self.keep_zeros)


class ObservationDataset(Dataset):
    """The rows of an object; an item asked for with a list of row numbers is a :class:`Batch`.

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
        self.modalities: dict[str, ModalityRows] = {}
        self.sequences: dict[str, SequenceRows] = {}
        self.vectors: dict[str, VectorRows] = {}
        covariates = np.empty((data.n_obs, 0), dtype=np.int8)
        for field in fields:
            state = registry[field.registry_key]["state_registry"]
            if isinstance(field, ModalityField):
                self.modalities[field.name] = ModalityRows(data, field, state)
            elif isinstance(field, SequenceField):
                self.sequences[field.name] = SequenceRows(data, field)
            elif isinstance(field, VectorField):
                self.vectors[field.name] = VectorRows(data, field, state)
            else:
                covariates = field.codes(data, state)
        self.covariates = torch.from_numpy(covariates)

    @property
    def layout(self) -> Layout | None:
        """How rows are best read where a modality is in a file; None where all are in memory."""
        files = [m.matrix.file for m in self.modalities.values() if m.matrix is not None and m.matrix.file is not None]
        if not files:
            return None
        block = max(file.block for file in files)
        row_bytes = max(1.0, sum(file.row_bytes for file in files))
        room = max(WINDOW_BYTES / row_bytes, min(LEAST_WINDOW, MOST_BYTES / row_bytes))
        return Layout(block, int(min(max(WINDOW, WINDOW_BLOCKS * block), room)))

    def __len__(self) -> int:
        """Count the rows."""
        return self.n_obs

    def read(self, rows: np.ndarray) -> dict[str, Packed]:
        """Read the tokens of some rows, by modality."""
        return {name: modality.packed(rows) for name, modality in self.modalities.items()}

    def __getitem__(self, rows: int | Sequence[int] | np.ndarray) -> Batch:
        """Gather some rows."""
        rows = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        return self._batch(rows, self.read(rows))

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Gather some rows: what ``Subset`` calls with a batch of them."""
        return self[rows]

    def from_pieces(self, pieces: Sequence[Piece]) -> Batch:
        """Gather a batch from buffers that were read before."""
        n_rows = sum(len(piece.slots) for piece in pieces)
        rows = np.empty(n_rows, dtype=np.int64)
        for piece in pieces:
            rows[piece.slots] = piece.buffer.rows[piece.positions]
        packed = {
            name: gather(n_rows, [(piece.buffer.tokens[name], piece.positions, piece.slots) for piece in pieces])
            for name in self.modalities
        }
        return self._batch(rows, packed)

    def _batch(self, rows: np.ndarray, packed: dict[str, Packed]) -> Batch:
        tokens = {name: Tokens(*map(torch.from_numpy, part)) for name, part in packed.items()}
        present = {name: torch.from_numpy(part.local(rows) >= 0) for name, part in self.modalities.items()}
        for name, vector in self.vectors.items():
            tokens[name], present[name] = vector.tokens(rows)
        row_n = torch.from_numpy(rows)
        residues = {name: sequence.residues(rows) for name, sequence in self.sequences.items()}
        panels = {name: modality.panels(rows) for name, modality in self.modalities.items()}
        valued = self.modalities | self.vectors
        return Batch(
            tokens=tokens,
            present=present | {name: found.of_obs >= 0 for name, found in residues.items()},
            measured={name: modality.measured for name, modality in valued.items()},
            covariates=self.covariates[row_n].long(),
            indices=row_n,
            panels={name: found for name, found in panels.items() if found is not None},
            sequences=residues,
            lengths={name: OnHost(np.diff(part.offsets.numpy())) for name, part in tokens.items()},
        )


class Buffer(NamedTuple):
    """Rows of a file that were read together."""

    rows: np.ndarray
    tokens: dict[str, Packed]

    @classmethod
    def of(cls, dataset: ObservationDataset, rows: np.ndarray) -> "Buffer":
        """Read rows."""
        return cls(rows, dataset.read(rows))
