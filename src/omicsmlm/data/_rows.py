"""Which row of a modality stands for a row of the whole object."""

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import value_error

SOME = 65_536
"""Names that are compared at once."""


def modality_of(data: AnnData | MuData, name: str) -> AnnData | None:
    """Give the AnnData of a modality, or None where the object lacks it; an AnnData is its own only modality."""
    return data.mod.get(name) if isinstance(data, MuData) else data


def rows_in(data: AnnData | MuData, name: str) -> np.ndarray:
    """Give the row of a modality that stands for each row of the whole object.

    Parameters
    ----------
    data
        The whole object. ``mdata.obsmap`` (1-based, 0 where the modality lacks the row) leads from its rows to the
        modality's; the order of the two may differ.
    name
        A modality that it has.

    Returns
    -------
    numpy.ndarray
        (n_obs,) integers of the smallest type, -1 where the modality lacks the row.

    Raises
    ------
    ValueError
        If rows of the modality were dropped, added or reordered after the MuData last looked: ``obsmap`` would then
        lead to other cells.
    """
    if not isinstance(data, MuData):
        return np.arange(data.n_obs)
    names = data.mod[name].obs_names
    row_n = np.asarray(data.obsmap[name]).ravel().astype(np.int64) - 1 if name in data.obsmap else np.empty(0, int)
    row_n = row_n.astype(np.min_scalar_type(-len(names) - 1))  # the smallest type: one number per observation
    has_n = row_n >= 0
    whole = len(row_n) == data.n_obs and row_n.max(initial=-1) < len(names) and has_n.sum() == len(names)
    if not whole or not _same_names(names, row_n[has_n], data.obs_names, np.flatnonzero(has_n)):
        raise value_error(
            name,
            "the rows that the MuData lists for this modality",
            f"{len(names)} rows that were changed since",
            "run mdata.update() first",
        )
    return row_n


def _same_names(names: pd.Index, row_k: np.ndarray, all_names: pd.Index, at_k: np.ndarray) -> bool:
    """Compare names, some at a time: as objects they take more memory than all else that is known of an observation."""
    return all(
        (names[row_k[start : start + SOME]] == all_names[at_k[start : start + SOME]]).all()
        for start in range(0, len(row_k), SOME)
    )
