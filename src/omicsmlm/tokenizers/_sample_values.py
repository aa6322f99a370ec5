"""The values of a sample of observations, from which statistics and initial weights are computed."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse

from omicsmlm._types import Batch, Grid

from ._feature_grids import FeatureGrids


def sample_values(
    sets: FeatureGrids, name: str, sample: Sequence[Batch]
) -> tuple[list[Grid] | sparse.csr_matrix, np.ndarray]:
    """Return the values of one modality in a sample, and which observations have it.

    Parameters
    ----------
    sets
        The tokenizer, with the selected features.
    name
        The modality.
    sample
        Batches of observations.

    Returns
    -------
    tuple
        One grid per batch, of the observations that have the modality; of accessibility, whose grids would be nearly empty,
        a (n_with, g) CSR matrix of the values instead, if all of these observations were measured in all selected peaks.
        And (n,) bool, the observations that have it.
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
    """Return whether all observations that have the modality were measured in all selected features."""
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
