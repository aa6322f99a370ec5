"""Which row of a modality stands for a row of the whole object."""

import numpy as np
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import mistake


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
        (n_obs,) int64, -1 where the modality lacks the row.

    Raises
    ------
    ValueError
        If rows of the modality were dropped, added or reordered after the MuData last looked: ``obsmap`` would then
        lead to other cells.
    """
    if not isinstance(data, MuData):
        return np.arange(data.n_obs)
    names = data.mod[name].obs_names.to_numpy()
    row_n = np.asarray(data.obsmap[name]).ravel().astype(np.int64) - 1 if name in data.obsmap else np.empty(0, int)
    has_n = row_n >= 0
    whole = len(row_n) == data.n_obs and row_n.max(initial=-1) < len(names) and has_n.sum() == len(names)
    if not whole or (names[row_n[has_n]] != data.obs_names.to_numpy()[has_n]).any():
        raise mistake(
            name,
            "the rows that the MuData lists for this modality",
            f"{len(names)} rows that were changed since",
            "run mdata.update() first",
        )
    return row_n
