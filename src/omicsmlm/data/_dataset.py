"""Rows of a registered object as packed batches, paired or not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch.utils.data import Dataset

from omicsmlm._types import SPARSE_KINDS, Batch, Panels, Tokens

from ._fields import CovariatesField, ModalityField
from ._matrix import Matrix
from ._panels import read_panels
from ._rows import modality_of, rows_in
from ._sequences import SequenceField, SequenceRows, VectorField, VectorRows

Field = ModalityField | SequenceField | VectorField | CovariatesField
"""Whatever is registered of an object."""


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
        if adata is None:
            self.matrix = None
            self.row_of = np.full(data.n_obs, -1, dtype=np.int64)
            self.measured = torch.zeros(len(vocabulary), dtype=torch.bool)
            return
        self.matrix = Matrix.of(field.source, adata, field.layer)
        names = adata.var_names.astype(str)
        self.vocabulary_of_column = vocabulary.get_indexer(names).astype(np.int32)
        known = self.vocabulary_of_column[self.vocabulary_of_column >= 0]
        self.measured = torch.zeros(len(vocabulary), dtype=torch.bool)
        self.measured[torch.from_numpy(known).long()] = True
        self.row_of = rows_in(data, field.source)
        table = read_panels(field.source, adata)
        if table is not None:
            column_v = pd.Index(names).get_indexer(vocabulary)
            self.profiled = torch.from_numpy(table.profiled[:, column_v] & (column_v >= 0))
            self.panel_of = table.of_row

    def panels(self, rows: np.ndarray) -> Panels | None:
        """Tell which data sets some rows are of, and what these profiled; None where the object does not say."""
        if self.profiled is None:
            return None
        local = self.row_of[rows]
        return Panels(self.profiled, torch.from_numpy(np.where(local >= 0, self.panel_of[local], -1)))

    def tokens(self, rows: np.ndarray) -> tuple[Tokens, torch.Tensor]:
        """Give the packed tokens of some rows and, per row, whether the modality has it."""
        local = self.row_of[rows]
        if self.matrix is None:
            empty = torch.empty(0, dtype=torch.int32), torch.empty(0), torch.zeros(len(rows) + 1, dtype=torch.int64)
            return Tokens(*empty), torch.from_numpy(local >= 0)
        packed = self.matrix.pack(local, self.vocabulary_of_column, self.keep_zeros)
        return Tokens(*map(torch.from_numpy, packed)), torch.from_numpy(local >= 0)


class RowDataset(Dataset):
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
        covariates = np.empty((data.n_obs, 0), dtype=np.int64)
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

    def __len__(self) -> int:
        """Count the rows."""
        return self.n_obs

    def __getitem__(self, rows: int | Sequence[int] | np.ndarray) -> Batch:
        """Gather some rows."""
        rows = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        valued = self.modalities | self.vectors
        packed = {name: modality.tokens(rows) for name, modality in valued.items()}
        letters = {name: sequence.letters(rows) for name, sequence in self.sequences.items()}
        panels = {name: modality.panels(rows) for name, modality in self.modalities.items()}
        return Batch(
            tokens={name: tokens for name, (tokens, _) in packed.items()},
            present={name: present for name, (_, present) in packed.items()}
            | {name: found.of_row >= 0 for name, found in letters.items()},
            measured={name: modality.measured for name, modality in valued.items()},
            covariates=self.covariates[rows],
            rows=torch.from_numpy(rows),
            panels={name: found for name, found in panels.items() if found is not None},
            sequences=letters,
        )

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Gather some rows: what ``Subset`` calls with a batch of them."""
        return self[rows]
