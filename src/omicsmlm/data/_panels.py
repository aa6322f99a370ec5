"""Objects of several data sets put together, each of which profiled some features and not others."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from omicsmlm._checks import named, value_error
from omicsmlm._types import DATASET, PROFILED

from ._columns import category_codes, column_of


class PanelTable(NamedTuple):
    """Which features each data set of an object profiled, and which data set each row is of."""

    profiled: np.ndarray
    """(s, columns) bool."""
    of_obs: np.ndarray
    """(rows,) int64: position of the row's data set."""


def read_panels(place: str, adata: AnnData) -> PanelTable | None:
    """Read what :func:`omicsmlm.datasets.read_many` noted.

    That is ``varm["profiled"]``, a boolean column per data set, and ``obs["dataset"]``.

    Parameters
    ----------
    place
        Name of the modality, for messages.
    adata
        The modality.

    Returns
    -------
    PanelTable or None
        None for an object that says nothing of data sets: every row was then measured in all of its features.

    Raises
    ------
    ValueError
        If the table is no such table, or rows are of no data set that it knows.
    """
    if PROFILED not in adata.varm:
        return None
    table: Any = adata.varm[PROFILED]
    if hasattr(table, "to_memory"):  # read lazily
        table = table.to_memory()
    if not isinstance(table, pd.DataFrame) or not all(kind == np.dtype(bool) for kind in table.dtypes):
        remedy = f'make it with datasets.read_many, or delete .varm["{PROFILED}"]'
        raise value_error(f'{place}: .varm["{PROFILED}"]', "a boolean column per data set", "something else", remedy)
    if DATASET not in adata.obs:
        found = f"columns {named(adata.obs.columns)}"
        remedy = f'add it, or delete .varm["{PROFILED}"]'
        raise value_error(f"{place}: .obs", f"a column {DATASET!r} with the data set of each row", found, remedy)
    code_n, names = category_codes(column_of(adata.obs, DATASET))
    position = np.append(pd.Index(table.columns.astype(str)).get_indexer(names), -1)
    of_obs = position[code_n]
    if (of_obs < 0).any():
        unknown = named(np.array([*names, "nan"], dtype=object)[np.unique(code_n[of_obs < 0])])
        remedy = f'add the features that they profiled as columns of .varm["{PROFILED}"]'
        raise value_error(f"{place}: column {DATASET!r}", f"data sets among {named(table.columns)}", unknown, remedy)
    return PanelTable(table.to_numpy().T.copy(), of_obs.astype(np.int64))
