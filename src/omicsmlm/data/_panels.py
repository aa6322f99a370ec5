"""Objects of several data sets put together, each of which measured some features and not others (its gene panel)."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.experimental.backed import Dataset2D

from omicsmlm._checks import named, value_error
from omicsmlm._types import DATASET, PROFILED

from ._columns import category_codes, read_column


class PanelTable(NamedTuple):
    """The features that each data set of an object measured, and the data set of each observation."""

    measured: np.ndarray
    """(s, columns) bool: the data set measured the feature."""
    of_obs: np.ndarray
    """(n,) int64: data set of each observation, a row of ``measured``."""


def read_panels(place: str, adata: AnnData) -> PanelTable | None:
    """Return the panels that :func:`omicsmlm.datasets.read_many` recorded in the object.

    They are ``varm["profiled"]``, a boolean column per data set, and ``obs["dataset"]``.

    Parameters
    ----------
    place
        Name of the modality, for messages.
    adata
        The modality.

    Returns
    -------
    PanelTable or None
        None for an object without this table: every observation was then measured in all of its features.

    Raises
    ------
    ValueError
        If the table has columns that are not boolean or no measured feature, or observations are of a data set that has no column.
    """
    if PROFILED not in adata.varm:
        return None
    table: Any = adata.varm[PROFILED]
    if isinstance(table, Dataset2D):  # of an object that was read lazily
        table = table.to_memory()
    if not isinstance(table, pd.DataFrame) or not all(kind == np.dtype(bool) for kind in table.dtypes):
        remedy = f'make it with datasets.read_many, or delete .varm["{PROFILED}"]'
        raise value_error(f'{place}: .varm["{PROFILED}"]', "a boolean column per data set", "something else", remedy)
    if table.size and not table.to_numpy().any():
        remedy = f'mark the features that each data set measured, or delete .varm["{PROFILED}"]'
        raise value_error(f'{place}: .varm["{PROFILED}"]', "measured features", "none in any data set", remedy)
    if DATASET not in adata.obs:
        found = f"columns {named(adata.obs.columns)}"
        remedy = f'add it, or delete .varm["{PROFILED}"]'
        raise value_error(
            f"{place}: .obs", f"a column {DATASET!r} with the data set of each observation", found, remedy
        )
    code_n, names = category_codes(read_column(adata.obs, DATASET))
    position = np.append(pd.Index(table.columns.astype(str)).get_indexer(names), -1)
    of_obs = position[code_n]
    if (of_obs < 0).any():
        unknown = named(np.array([*names, "nan"], dtype=object)[np.unique(code_n[of_obs < 0])])
        remedy = f'add the features that they measured as columns of .varm["{PROFILED}"]'
        raise value_error(f"{place}: column {DATASET!r}", f"data sets among {named(table.columns)}", unknown, remedy)
    return PanelTable(table.to_numpy().T.copy(), of_obs.astype(np.int64))
