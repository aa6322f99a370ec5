"""Columns of ``obs``, from the top level of an object or from its modalities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import check_type, named, shortened, value_error

from ._modality_index import indices_in

COLUMN_SEPARATOR = " & "
"""Joins the names of several columns, and their values, whose combinations count as the categories."""


def find_column(data: AnnData | MuData, key: str) -> pd.Series:
    """Find a column by name: first in ``data.obs``, then in the ``obs`` of each modality.

    Parameters
    ----------
    data
        The object to search. A column that only modalities hold is merged: each observation has the value of the first
        modality that has one.
    key
        Name of the column. Where none has it, "donor & library" stands for the combinations of two columns or more.

    Returns
    -------
    pandas.Series
        One value per observation of ``data``; missing where no modality of the observation has one.

    Raises
    ------
    ValueError
        If no place has the column, the message then names the places that were searched; or one has two columns of the name.
    """
    check_type("data", data, (AnnData, MuData), "an AnnData or MuData", "pass the object that has the column")
    given: object = key  # typed as text, but whatever the user passes
    if not isinstance(given, str):
        remedy = f"name one, or of several each combination as 'donor{COLUMN_SEPARATOR}library'"
        raise value_error("column", "the name of a column as text", shortened(key), remedy)
    if key in data.obs:
        return read_column(data.obs, key)
    found: pd.Series | None = None
    searched = list(map(str, data.obs.columns))
    for name, adata in data.mod.items() if isinstance(data, MuData) else ():
        searched += [f"{name}: {column}" for column in adata.obs.columns]
        if key in adata.obs:
            values = _reindexed(read_column(adata.obs, key), indices_in(data, name), data.obs_names)
            found = values if found is None else found.where(found.notna(), values)
    if found is None and COLUMN_SEPARATOR in key:
        return _combined([find_column(data, part) for part in key.split(COLUMN_SEPARATOR)]).rename(key)
    if found is None:
        where = ".obs and the .obs of every modality" if isinstance(data, MuData) else ".obs"
        raise value_error(
            f"column {key!r}", f"a column of {where}", f"columns {named(searched, most=12)}", "pass an existing name"
        )
    return found


def has_column(data: AnnData | MuData, key: str) -> bool:
    """Return whether :func:`find_column` finds a column of that name, or the columns that it combines.

    Examples
    --------
    >>> adata = AnnData(np.ones((2, 1)), obs=pd.DataFrame({"donor": ["a", "b"], "run": [1, 2]}, index=list("xy")))
    >>> has_column(adata, "donor"), has_column(adata, "donor & run"), has_column(adata, "donor & lane")
    (True, True, False)
    """
    parts = data.mod.values() if isinstance(data, MuData) else ()
    if key in data.obs or any(key in part.obs for part in parts):
        return True
    return COLUMN_SEPARATOR in key and all(has_column(data, part) for part in key.split(COLUMN_SEPARATOR))


def find_numbers(data: AnnData | MuData, key: str, remedy: str) -> np.ndarray:
    """Find a column by name, as :func:`find_column` does, and return its numbers.

    Parameters
    ----------
    data, key
        As in :func:`find_column`.
    remedy
        What to do where the column holds anything but numbers, for the message.

    Returns
    -------
    numpy.ndarray
        (n_obs,) float64, NaN where missing; 1 and 0 for true and false. Numbers may be written as text, or be categories.

    Raises
    ------
    ValueError
        If there is no such column, or a value is no number; a date is none.
    """
    column = find_column(data, key)
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        column = column.astype(object).where(column.notna(), np.nan)
    try:
        numbers = pd.to_numeric(column)
    except (TypeError, ValueError) as error:
        texts = as_categories(column).dropna().unique()  # as text, since not every value can be hashed
        raise value_error(f"column {key!r}", "numbers", named(texts, 3), remedy) from error
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def as_categories(column: pd.Series) -> pd.Series:
    """Turn values into the names of categories; the same value gives the same name in any type of column.

    Examples
    --------
    >>> as_categories(pd.Series([1, 2], dtype="category")).tolist()
    ['1', '2']
    """
    return column.astype(object).map(str, na_action="ignore")


def category_codes(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return the category of each value, (n,) integers, -1 where it is missing, and the names of the categories.

    The names are those of :func:`as_categories`, but no text is made for each value.

    Examples
    --------
    >>> codes, names = category_codes(pd.Series([2, 1, 2]))
    >>> codes.tolist(), names
    ([0, 1, 0], ['2', '1'])
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), column.cat.categories
    elif column.dtype != object or pd.api.types.infer_dtype(column, skipna=True) == "string":
        codes, values = pd.factorize(column)
    else:  # 1, 1.0 and True are equal, but have different names
        codes, values = pd.factorize(as_categories(column))
    of_value, names = pd.factorize(as_categories(pd.Series(values)))
    if len(names) < len(of_value):
        codes = np.append(of_value, -1)[codes]
    return codes, [str(name) for name in names]


def read_column(frame: Any, key: str) -> pd.Series:
    """Return a column of ``obs`` or ``var``, also where the object was read lazily and its columns are in the file."""
    column = frame[key]
    if isinstance(column, pd.DataFrame):
        found = f"{column.shape[1]} columns of that name"
        raise value_error(f"column {key!r}", "one column", found, "rename or delete the others")
    return column if isinstance(column, pd.Series) else column.to_series()


def _combined(columns: Sequence[pd.Series]) -> pd.Series:
    """Return the combinations of categories of several columns as one column; missing where one of them is."""
    codes_nk, names_k = zip(*map(category_codes, columns), strict=True)
    combinations, code_n = np.unique(np.stack(codes_nk, axis=1), axis=0, return_inverse=True)
    texts = [
        COLUMN_SEPARATOR.join(names[code] for names, code in zip(names_k, codes, strict=True))
        if min(codes) >= 0
        else None
        for codes in combinations.tolist()
    ]
    of_text, distinct = pd.factorize(np.array(texts, dtype=object))
    return pd.Series(pd.Categorical.from_codes(of_text[code_n.ravel()], list(distinct)), index=columns[0].index)


def _reindexed(column: pd.Series, index_n: np.ndarray, names: pd.Index) -> pd.Series:
    """Return a modality's column for all observations of the object; missing where the modality lacks one."""
    values = np.full(len(index_n), np.nan, dtype=object)
    values[index_n >= 0] = column.astype(object).to_numpy()[index_n[index_n >= 0]]
    return pd.Series(values, index=names, name=column.name)
