"""The table of observations: read, understood, and joined to those that were measured."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from mudata import MuData

from omicsmlm._checks import named, value_error

from ._clinical import understood_table, writable
from ._matching import SHORTENINGS, id_column
from ._tables import is_table, names_as_column, read_table
from ._times import derived

PLACE = "obs"


def observation_table(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Return a table of observations as texts, with all names among its columns.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        n_levels = max(source.columns.nlevels, source.index.nlevels)
        if n_levels > 1:
            raise value_error(PLACE, "one level of names of rows and columns", str(n_levels), "join them first")
        if not len(source):
            raise value_error(PLACE, "a row for each observation", "a table without rows", "check how it was made")
        columns = source.columns.astype(str)
        if not columns.is_unique:
            raise value_error(PLACE, "distinct names of columns", named(columns[columns.duplicated()]), "rename them")
        has_names = not pd.api.types.is_integer_dtype(source.index.dtype)
        return names_as_column(source, "name") if has_names else source.set_axis(columns, axis=1).reset_index(drop=True)
    if not isinstance(source, str | os.PathLike):
        raise value_error(PLACE, "a path or a DataFrame", type(source).__name__, "pass one of them")
    path = Path(source).expanduser()
    if not os.path.isfile(path) or not is_table(path):
        raise value_error(PLACE, "an existing .tsv, .csv, .txt or .parquet file", repr(str(path)), "check the path")
    return read_table(PLACE, path, as_text=True)


def joined_observations(mdata: MuData, table: pd.DataFrame | None, frames: Sequence[pd.DataFrame]) -> list[str]:
    """Write what is known of the observations to ``mdata.obs``, and return lines that say it.

    Parameters
    ----------
    mdata
        The object.
    table
        As :func:`observation_table` returns it; None for none.
    frames
        ``obs`` of objects that were read, indexed by names of observations.

    Raises
    ------
    ValueError
        If no name in the table is that of an observation, or one is there twice with different content.
    """
    columns: dict[str, pd.Series] = {}
    for frame in [*frames, *(part.obs for part in mdata.mod.values())]:
        for name in frame.columns:
            if str(name) in columns:
                columns[str(name)] = _filled(columns[str(name)], frame[name], mdata.obs_names)
            else:
                columns[str(name)] = _filled(None, frame[name], mdata.obs_names)
    lines: list[str] = []
    if table is not None:
        own, lines = _matched(mdata, table)
        columns |= {str(name): own[name] for name in own.columns}
    mdata.obs = pd.DataFrame(columns, index=mdata.obs_names)
    return lines


def _filled(before: pd.Series | None, column: pd.Series, names: pd.Index) -> pd.Series:
    """Return a column for all observations, where an earlier one has nothing."""
    own = column[~column.index.duplicated()].reindex(names)
    if before is None:
        return own
    if before.notna().all():
        return before
    merged = before.astype(object).where(before.notna(), own.astype(object))
    return pd.Series(pd.Categorical(merged), index=names) if isinstance(column.dtype, pd.CategoricalDtype) else merged


def _matched(mdata: MuData, table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of a table by observation, understood; and lines that say how."""
    found = id_column(table, mdata.obs_names)
    if found is None:
        text = f"columns {named(table.columns)} with {named(table.iloc[0].astype(str), 3)}"
        remedy = "add a column with the names of the observations"
        raise value_error(PLACE, f"names such as {named(mdata.obs_names[:2])}", text, remedy)
    column, names, n_found, shortened = found
    rows = table[table[column].notna()].drop_duplicates()
    shorten = str if shortened is None else SHORTENINGS[shortened]
    ids = pd.Index([shorten(name) for name in rows[column].astype(str)])
    twice = ids[ids.duplicated()].intersection(names)
    if len(twice):
        text = f"several of {named(twice, 3)} in column {column!r}"
        raise value_error(PLACE, "one row for each observation", text, "keep one row of each")
    rows = rows.set_axis(ids).drop(columns=column)
    whole, meanings, lines = understood_table(rows)
    whole, derived_lines = derived(whole, meanings)
    n_unknown = int((~ids.isin(names)).sum())
    title = "its first column" if column.startswith("Unnamed:") else f"column {column!r}"  # as write.csv leaves it
    line = f"obs: {n_found:,} of {mdata.n_obs:,} observations by {title}"
    line += f" ({shortened})" if shortened else ""
    line += f"; {n_unknown:,} rows of others left out" if n_unknown else ""
    matched = writable(whole.reindex(names).set_axis(mdata.obs_names))
    return matched, [line, *(f"obs: {one}" for one in [*lines, *derived_lines])]
