"""Exons and coding parts of the transcripts of a GTF file, zero-based and half-open."""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from omicsmlm._checks import named, value_error

FEATURES = ("exon", "CDS", "stop_codon", "Selenocysteine")
_FRAMES = {"0": 0, "1": 1, "2": 2}


def read_gtf(path: str | Path, transcripts: Iterable[str] | None = None) -> pd.DataFrame:
    """Return the lines of exons and coding parts of a GTF file, plain or gzipped.

    Parameters
    ----------
    path
        Path of the file.
    transcripts
        Those to read, by ``transcript_id``; None for all.

    Returns
    -------
    DataFrame
        One row per line, in order: ``transcript_id``, ``gene_id`` and ``gene_name`` (None where there is none), ``chrom``,
        ``strand``, ``feature`` (one of :data:`FEATURES`), ``start``, ``end`` (zero-based, half-open), and ``frame``: how many
        bases of a CDS come before its first whole codon.

    Raises
    ------
    ValueError
        If there is no such file, it has no exon of a transcript, a transcript asked for is not there, or one lies on
        several chromosomes or strands.
    """
    import bioframe

    path = Path(path)
    if not os.path.isfile(path):
        raise value_error("gtf", "the path of a GTF file", f"{str(path)!r}, which is no file", "correct the path")
    # quoting=3: quotation marks are part of the attributes; comments are told by the first letter of a line alone
    try:
        lines = bioframe.read_table(str(path), schema="gtf", dtype=str, quoting=3, na_filter=False, on_bad_lines="skip")
    except (OSError, EOFError, ValueError, zlib.error) as error:  # no text, or cut
        found = f"{path.name!r}: {' '.join(str(error).split())[:120]}"
        raise value_error("gtf", "a GTF file that can be read", found, "check the download") from error
    lines = lines[lines["feature"].isin(FEATURES) & ~lines["chrom"].str.startswith("#")]
    for name in ("transcript_id", "gene_id", "gene_name"):
        lines[name] = lines["attributes"].str.extract(rf'(?:^|[;\s]){name} "([^"]*)"', expand=False)
    with_place = lines.loc[lines["feature"].isin(["exon", "CDS"]), "transcript_id"]
    lines = lines[(lines["transcript_id"].fillna("") != "") & lines["transcript_id"].isin(with_place)]
    if not (lines["feature"] == "exon").any():
        remedy = "pass a GTF (not a GFF3) that has these"
        raise value_error(path.name, 'lines of exons with transcript_id "…"', "none", remedy)
    if transcripts is not None:
        lines = _asked_for(lines, transcripts)
    return _checked(path.name, lines)


def _asked_for(lines: pd.DataFrame, transcripts: Iterable[str]) -> pd.DataFrame:
    """Return the lines of some transcripts, all of which have to be there."""
    wanted = pd.Index(list(transcripts), dtype=object).unique()
    absent = wanted[~wanted.isin(lines["transcript_id"])]
    if len(wanted) and not len(absent):
        return lines[lines["transcript_id"].isin(wanted)]
    found = f"{len(absent)} of {len(wanted)} others: {named(absent, 3)}"
    plain = lines["transcript_id"].str.replace(r"\.\d+$", "", regex=True)
    versions = absent.astype(str).str.replace(r"\.\d+$", "", regex=True).isin(plain).any()
    remedy = "write their versions (.1, .2 …) as the GTF does" if versions else "leave these out"
    raise value_error("transcripts", "some that are in the GTF", found, remedy)


def _checked(place: str, lines: pd.DataFrame) -> pd.DataFrame:
    """Return lines with coordinates as numbers, after checking that each transcript is on one strand of one chromosome."""
    bounds = lines[["start", "end"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~(bounds[:, 0] >= 1) | ~(bounds[:, 1] >= bounds[:, 0]) | ~lines["strand"].isin(["+", "-"]).to_numpy()
    if bad.any():
        first = " ".join(lines.loc[bad, ["feature", "chrom", "start", "end", "strand"]].iloc[0])
        found = f"{int(bad.sum())} other(s), first {first}"
        raise value_error(place, "1 <= start <= end and a strand, + or -", found, "correct these lines")
    start, end = bounds.astype(np.int64).T
    places = lines[["transcript_id", "chrom", "strand"]].drop_duplicates()
    torn = places.loc[places["transcript_id"].duplicated(), "transcript_id"].unique()
    if len(torn):
        remedy = "rename the copies, of genes on X and Y say"
        raise value_error(place, "each transcript on one strand of one chromosome", f"others: {named(torn, 3)}", remedy)
    table = lines[["transcript_id", "gene_id", "gene_name", "chrom", "strand", "feature"]].copy()
    for name in ("gene_id", "gene_name"):
        table[name] = table[name].astype(object).where(table[name].notna(), None)
    return table.assign(start=start - 1, end=end, frame=lines["frame"].map(_FRAMES).fillna(0).astype(np.int64))
