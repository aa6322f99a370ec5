"""Genomic intervals from names, tables and BED files: zero-based and half-open, as in BED."""

import gzip
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from omicsmlm._checks import named, value_error

COORDINATES = ["chrom", "start", "end"]
Regions = str | Path | pd.DataFrame | Sequence[str] | pd.Index | pd.Series | np.ndarray

_NAME = r"^(.+)[:_-](\d+)[_-](\d+)$"
_CHROMOSOME = ("chrom", "chr", "chromosome", "seqnames")


def named_intervals(place: str, names: Iterable[object]) -> pd.DataFrame:
    """Return the intervals of names such as ``chr1:100-200``, ``chr1-100-200`` or ``chr1_100_200``.

    Returns
    -------
    DataFrame
        ``chrom``, ``start``, ``end``; the names are the index.

    Raises
    ------
    ValueError
        If a name is none of these, or its end is not above its start.

    Examples
    --------
    >>> named_intervals("atac", ["chr1:100-200", "chrUn_GL000195v1_5_9"]).to_numpy().tolist()
    [['chr1', 100, 200], ['chrUn_GL000195v1', 5, 9]]
    """
    index = pd.Index([str(name) for name in names], dtype=object)
    parts = index.to_series().astype(str).str.extract(_NAME)
    bad = parts[0].isna().to_numpy()
    if bad.any():
        wanted = "names such as chr1:100-200, chr1-100-200 or chr1_100_200"
        found = f"{int(bad.sum())} of {len(bad)} others: {named(index[bad], 3)}"
        raise value_error(place, wanted, found, "rename them, or put chrom, start and end into columns")
    return _checked(place, parts.set_axis(COORDINATES, axis=1).set_axis(index))


def tabled_intervals(place: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of intervals: ``chrom`` (or chr, chromosome, seqnames), ``start``, ``end``, then its other columns.

    Raises
    ------
    ValueError
        If a column is missing or the numbers are no interval.
    """
    chromosome = next((name for name in _CHROMOSOME if name in table), None)
    if chromosome is None or "start" not in table or "end" not in table:
        raise value_error(place, f"the columns {named(COORDINATES)}", named(table.columns), "name the columns so")
    others = [name for name in table if name not in (chromosome, "start", "end")]
    renamed = table[[chromosome, "start", "end", *others]].rename(columns={chromosome: "chrom"})
    return _checked(place, renamed)


def has_intervals(table: pd.DataFrame) -> bool:
    """Return whether a table has the columns of :func:`tabled_intervals`."""
    return {"start", "end"} <= set(table) and any(name in table for name in _CHROMOSOME)


def read_bed(path: str | Path) -> pd.DataFrame:
    """Return the intervals of a BED file of three columns or more, plain or gzipped.

    Empty lines, comments (``#``) and ``track`` and ``browser`` lines are skipped.

    Returns
    -------
    DataFrame
        ``chrom``, ``start``, ``end``, and ``name`` where every line has a fourth column.

    Raises
    ------
    ValueError
        If there is no such file, or a line is not one of BED.
    """
    path = Path(path)
    if not os.path.isfile(path):
        remedy = "correct the path; a single region goes into a list"
        raise value_error("regions", "the path of a BED file", f"{str(path)!r}, which is no file", remedy)
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"  # the magic number of gzip, whatever the file is called
    columns: dict[str, list[object]] = {"chrom": [], "start": [], "end": [], "name": []}
    with gzip.open(path, "rt", errors="replace") if zipped else path.open(errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#") or line.split(None, 1)[0] in ("track", "browser"):
                continue
            fields = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
            try:
                bounds = int(fields[1]), int(fields[2])
            except (IndexError, ValueError):
                wanted = "chromosome, start and end, separated by tabs or spaces"
                remedy = "take the line out, or begin it with # if it is a heading"
                raise value_error(f"{path.name}, line {number}", wanted, repr(line.strip()[:60]), remedy) from None
            for values, value in zip(columns.values(), (fields[0], *bounds, *fields[3:4]), strict=False):
                values.append(value)
    if len(columns["name"]) < len(columns["chrom"]):
        del columns["name"]
    return _checked(path.name, pd.DataFrame(columns))


def region_names(intervals: pd.DataFrame) -> pd.Index:
    """Return the names ``chrom:start-end`` of intervals."""
    lines = zip(*(intervals[column].tolist() for column in COORDINATES), strict=True)
    return pd.Index([f"{chrom}:{start}-{end}" for chrom, start, end in lines], dtype=object)


def _checked(place: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return intervals with ``start`` and ``end`` as int64 and ``chrom`` as text, after checking that 0 <= start < end."""
    if len(table) == 0:
        raise value_error(place, "at least one interval", "none", "pass some")
    bounds = table[["start", "end"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(bounds).all(axis=1) | (bounds != np.round(bounds)).any(axis=1)
    bad |= (bounds[:, 0] < 0) | (bounds[:, 1] <= bounds[:, 0]) | table["chrom"].isna().to_numpy()
    if bad.any():
        first = (
            table.loc[bad, COORDINATES].iloc[0].tolist() if table.index.is_unique else table[bad].iloc[0].tolist()[:3]
        )
        found = f"{int(bad.sum())} other(s), first {' '.join(map(str, first))}"
        raise value_error(place, "intervals with 0 <= start < end", found, "correct them or leave them out")
    start, end = bounds.astype(np.int64).T
    return table.assign(chrom=table["chrom"].astype(str), start=start, end=end)
