"""Indices within a modality of the observations of the whole object."""

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import value_error

NAMES_AT_ONCE = 65_536
"""Names that are compared at once: as Python strings, all of them would take more memory than the object's other tables."""


def modality_of(data: AnnData | MuData, name: str) -> AnnData | None:
    """Return the AnnData of a modality, or None where the object lacks it; an AnnData is its own only modality."""
    return data.mod.get(name) if isinstance(data, MuData) else data


def indices_in(data: AnnData | MuData, name: str) -> np.ndarray:
    """Return the index within a modality of each observation of the whole object.

    Parameters
    ----------
    data
        The whole object. ``mdata.obsmap`` (1-based, 0 where the modality lacks the observation) maps its observations to
        those of the modality; the order of the two may differ.
    name
        A modality that it has.

    Returns
    -------
    numpy.ndarray
        (n_obs,) integers of the smallest type, -1 where the modality lacks the observation.

    Raises
    ------
    ValueError
        If observations of the modality were dropped, added or reordered after the last ``mdata.update()``: ``obsmap`` would
        then point to other cells.
    """
    if not isinstance(data, MuData):
        return np.arange(data.n_obs)
    names = data.mod[name].obs_names
    index_n = np.asarray(data.obsmap[name]).ravel().astype(np.int64) - 1 if name in data.obsmap else np.empty(0, int)
    index_n = index_n.astype(np.min_scalar_type(-len(names) - 1))  # the smallest type: one number per observation
    has_n = index_n >= 0
    whole = len(index_n) == data.n_obs and index_n.max(initial=-1) < len(names) and has_n.sum() == len(names)
    if not whole or not _same_names(names, index_n[has_n], data.obs_names, np.flatnonzero(has_n)):
        raise value_error(
            name,
            "the observations that the MuData lists for this modality",
            f"{len(names)} observations that were changed since",
            "run mdata.update() first",
        )
    return index_n


def _same_names(names: pd.Index, index_k: np.ndarray, all_names: pd.Index, obs_k: np.ndarray) -> bool:
    """Return whether names agree, comparing some at a time."""
    return all(
        (names[index_k[start : start + NAMES_AT_ONCE]] == all_names[obs_k[start : start + NAMES_AT_ONCE]]).all()
        for start in range(0, len(index_k), NAMES_AT_ONCE)
    )
