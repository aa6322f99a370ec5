"""Columns of ``obs``, from the top level of an object or from its modalities."""

import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import mistake, named


def find_column(data: AnnData | MuData, key: str) -> pd.Series:
    """Find a column by name: first in ``data.obs``, then in the ``obs`` of each modality.

    Parameters
    ----------
    data
        The object to search. A column that only modalities hold is put together from all of them, by row name.
    key
        Name of the column.

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
            values = adata.obs[key].astype(object).reindex(data.obs_names)
            found = values if found is None else found.combine_first(values)
    if found is None:
        where = ".obs and the .obs of every modality" if isinstance(data, MuData) else ".obs"
        raise mistake(
            f"column {key!r}", f"a column of {where}", f"columns {named(searched, most=12)}", "pass an existing name"
        )
    return found
