"""A sample of rows, modality by modality, as statistics and starting weights are read from it."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse

from omicsmlm._types import Batch, Grid

from ._sets import FeatureSets


def sample_values(
    sets: FeatureSets, name: str, sample: Sequence[Batch]
) -> tuple[list[Grid] | sparse.csr_matrix, np.ndarray]:
    """Give what rows have of one modality, and which rows have anything of it.

    Parameters
    ----------
    sets
        Lays rows on the grid of the features that a model looks at.
    name
        The modality.
    sample
        Batches of rows.

    Returns
    -------
    tuple
        One grid per batch, of the rows that have the modality; of open regions, whose grids would be nearly empty, a
        (n_with, g) CSR matrix of their values instead, wherever each of these rows was measured in all regions. And (n,) bool,
        the rows that have it.
    """
    selected_g, lookup = sets.features(name)
    if sets.kinds[name] == "accessibility" and all(_measured_whole(batch, name, selected_g) for batch in sample):
        has_n = torch.cat([batch.present[name] for batch in sample]).numpy()
        values = sparse.vstack([_open(batch, name, lookup.numpy(), len(selected_g)) for batch in sample], format="csr")
        return values if has_n.all() else values[has_n], has_n
    grids, has = [], []
    for batch in sample:
        grid = sets.grid(name, batch)
        own_n = grid.visible.any(1)
        has.append(own_n.numpy())
        grids.append(grid if own_n.all() else Grid(*(part[own_n] for part in grid)))
    return grids, np.concatenate(has)


def _measured_whole(batch: Batch, name: str, selected_g: torch.Tensor) -> bool:
    """Whether every row that has the modality was measured in all selected features."""
    return name not in batch.panels and len(selected_g) > 0 and bool(batch.measured[name][selected_g].all())


def _open(batch: Batch, name: str, lookup: np.ndarray, n_features: int) -> sparse.csr_matrix:
    """Return the stored values of the selected features, (n, g)."""
    ids, values, offsets = (part.numpy() for part in batch.tokens[name])
    column_t = lookup[ids]
    kept_t = column_t >= 0
    offsets = np.concatenate([[0], np.cumsum(kept_t)])[offsets]
    return sparse.csr_matrix(
        (values[kept_t], column_t[kept_t].astype(np.int32), offsets), (len(offsets) - 1, n_features)
    )
