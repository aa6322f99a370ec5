"""Tables in files: text with tabs, commas or semicolons, compressed or not, and parquet."""

import bz2
import gzip
import lzma
import re
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from omicsmlm._checks import MISSING_TEXTS, value_error

TEXT_SUFFIXES = (".tsv", ".csv", ".txt", ".tab", ".gct")
COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SEPARATORS = "\t,;"
MISSING = [
    *MISSING_TEXTS,
    "--",
    "'--",
    "[Not Available]",
    "[Not Applicable]",
    "[Not Evaluated]",
    "[Unknown]",
    "[Discrepancy]",
    "[Completed]",
    "Not Available",
    "Not Reported",
    "not reported",
]
"""Texts that stand for a missing value in public tables (TCGA, GDC and cBioPortal among them)."""
UNREADABLE = "check the download, or write it again"


def is_table(path: Path) -> bool:
    """Return whether a path is named as a table.

    Examples
    --------
    >>> is_table(Path("tpm.tsv.gz")), is_table(Path("cells.h5ad"))
    (True, False)
    """
    return suffix_of(path) in (*TEXT_SUFFIXES, ".parquet")


def suffix_of(path: Path) -> str:
    """Return the suffix of a path in lower case, without that of a compression.

    Examples
    --------
    >>> suffix_of(Path("beta.CSV.gz"))
    '.csv'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in COMPRESSED), "")


def read_table(place: str, path: Path, *, as_text: bool = False) -> pd.DataFrame:
    """Return a table with all that the file holds as columns, the names of its rows among them.

    Parameters
    ----------
    place
        What the file is to the user, for messages.
    path
        The file. Lines before the table that begin with ``#``, and the two of a GCT file, are left out.
    as_text
        Whether numbers stay text, so that what they mean can be looked at.

    Raises
    ------
    ValueError
        If the file cannot be read, or holds no table.
    """
    try:
        frame = _read_parquet(place, path) if suffix_of(path) == ".parquet" else _read_text(path, as_text)
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        if isinstance(error, ValueError) and str(error).startswith(place):
            raise
        found = f"{str(path)!r}: {' '.join(str(error).split())[:200]}"
        raise value_error(place, "a table that can be read", found, UNREADABLE) from error
    if not isinstance(frame.index, pd.RangeIndex):  # R leaves out the header of the column with the names of the rows
        frame = names_as_column(frame, "")
    frame.columns = frame.columns.astype(str)
    if frame.shape[1] < 2 or not len(frame):
        found = f"{len(frame)} rows and {frame.shape[1]} columns in {str(path)!r}"
        raise value_error(place, "a table with tabs, commas or semicolons", found, "write it with one of them")
    return frame


def names_as_column(frame: pd.DataFrame, default: str) -> pd.DataFrame:
    """Return a table with the names of its rows as the first column, or columns, and the rows numbered.

    Parameters
    ----------
    frame
        The table; its index may be called like a column, as after ``set_index("gene", drop=False)``.
    default
        Name of that column where the index has none.

    Examples
    --------
    >>> frame = pd.DataFrame({"gene": ["A"], "s1": [1]}).set_index("gene", drop=False)
    >>> list(names_as_column(frame, "name"))
    ['gene_', 'gene', 's1']
    """
    found = frame.set_axis(frame.columns.astype(str), axis=1).reset_index(drop=True)
    for i in range(frame.index.nlevels):
        name = default if frame.index.names[i] is None else str(frame.index.names[i])
        while name in found.columns:
            name += "_"
        found.insert(i, name, frame.index.get_level_values(i))
    return found


def _read_parquet(place: str, path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise value_error(place, "pyarrow, which reads parquet", "none", "run pip install pyarrow") from error


def _read_text(path: Path, as_text: bool) -> pd.DataFrame:
    n_skipped, header, first = _beginning(path)
    separator = max(SEPARATORS, key=header.count)
    options = {"dtype": str} if as_text else {"low_memory": False}
    frame = pd.read_csv(
        path,
        sep=separator,
        skiprows=n_skipped,
        decimal="," if separator == ";" and re.search(r"\d,\d", first) else ".",
        na_values=MISSING,
        **options,  # type: ignore[arg-type]
    )
    empty = [name for name in frame.columns if str(name).startswith("Unnamed:") and frame[name].isna().all()]
    return frame.drop(columns=empty)  # of lines that end in a separator


def _beginning(path: Path) -> tuple[int, str, str]:
    """Return how many lines come before the table, its header, and the first line below."""
    with opened_text(path) as file:
        lines = [file.readline() for _ in range(2)]
        if lines[0].startswith("#1.") and suffix_of(path) == ".gct":
            return 2, file.readline(), file.readline()
        n_skipped = 0
        while lines[0].startswith("#") and lines[1]:
            n_skipped += 1
            lines = [lines[1], file.readline()]
    return n_skipped, lines[0], lines[1]


def opened_text(path: Path) -> IO[str]:
    """Open a file of text, compressed or not, without the mark that Excel puts before it."""
    opener = COMPRESSED.get(path.suffix.lower(), open)
    return opener(path, "rt", encoding="utf-8-sig", errors="replace")  # type: ignore[operator, no-any-return]


def numbers(place: str, frame: pd.DataFrame) -> np.ndarray:
    """Return the values of a table as float64, NaN where one is missing.

    Raises
    ------
    ValueError
        If one is neither a number nor missing.
    """
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            as_number = pd.to_numeric(frame[name], errors="coerce")
            wrong = frame[name][as_number.isna() & frame[name].notna()]
            if len(wrong):
                found = f"{str(wrong.iloc[0])!r} in column {str(name)!r}"
                raise value_error(place, "numbers", found, "remove this column, or replace what is no number")
            frame = frame.assign(**{str(name): as_number})
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)
