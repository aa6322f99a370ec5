"""Columns of ``obs``, from the top level of an object or from its modalities."""

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import mistake, named

from ._rows import rows_in

BOTH = " & "
"""Joins the names of columns, and their values, that count together as one."""


def find_column(data: AnnData | MuData, key: str) -> pd.Series:
    """Find a column by name: first in ``data.obs``, then in the ``obs`` of each modality.

    Parameters
    ----------
    data
        The object to search. A column that only modalities hold is put together from all of them, row by row.
    key
        Name of the column. Where none has it, "donor & library" stands for the combinations of two columns or more.

    Returns
    -------
    pandas.Series
        One value per row of ``data``; missing where no modality of the row has one.

    Raises
    ------
    ValueError
        If no place has the column; the message names the places that were searched.
    """
    if key in data.obs:
        return data.obs[key]
    found: pd.Series | None = None
    searched = list(map(str, data.obs.columns))
    for name, adata in data.mod.items() if isinstance(data, MuData) else ():
        searched += [f"{name}: {column}" for column in adata.obs.columns]
        if key in adata.obs:
            values = _spread(adata.obs[key], rows_in(data, name), data.obs_names)
            found = values if found is None else found.where(found.notna(), values)
    if found is None and BOTH in key:
        columns = [as_categories(find_column(data, part)) for part in key.split(BOTH)]
        joined = pd.concat(columns, axis=1).agg(lambda row: BOTH.join(row) if row.notna().all() else None, axis=1)
        return joined.rename(key)
    if found is None:
        where = ".obs and the .obs of every modality" if isinstance(data, MuData) else ".obs"
        raise mistake(
            f"column {key!r}", f"a column of {where}", f"columns {named(searched, most=12)}", "pass an existing name"
        )
    return found


def as_categories(column: pd.Series) -> pd.Series:
    """Turn values into the names of categories; the same value gives the same name in any type of column.

    Examples
    --------
    >>> as_categories(pd.Series([1, 2], dtype="category")).tolist()
    ['1', '2']
    """
    return column.astype(object).map(str, na_action="ignore")


def _spread(column: pd.Series, row_n: np.ndarray, names: pd.Index) -> pd.Series:
    """Bring a modality's column to the rows of the whole object; missing where the modality lacks the row."""
    values = np.full(len(row_n), np.nan, dtype=object)
    values[row_n >= 0] = column.astype(object).to_numpy()[row_n[row_n >= 0]]
    return pd.Series(values, index=names, name=column.name)
