"""Which CpG probe belongs to which gene, and whether it lies in its promoter or its body: tables and manifests of Illumina."""

import gzip
import io
import os
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from omicsmlm._checks import named, value_error

Region = Literal["both", "promoter", "body"]

ILLUMINA_PROMOTER = 1500
"""Base pairs upstream of the TSS that the groups of an Illumina manifest call TSS1500."""

ASSAY, CONTROLS = "[Assay]", "[Controls]"
"""Lines before and behind the table in a manifest of Illumina."""
HEADING = 2**16
"""Characters within which its heading ends."""

_NAMES = {
    "probe": ("feature", "IlmnID", "Name"),
    "gene": ("gene_symbol", "UCSC_RefGene_Name"),
    "group": ("UCSC_RefGene_Group",),
}
_COORDINATES = ["position", "gene_start", "gene_end", "strand"]
_GROUPS = {
    "promoter": ("promoter", "TSS1500", "TSS200", "5'UTR", "1stExon"),
    "body": ("body", "Body", "ExonBnd", "3'UTR"),
}


def probe_genes(annotation: pd.DataFrame | str | Path, region: Region, promoter: int) -> pd.DataFrame:
    """Return each ``probe`` and ``gene`` once, with ``promoter`` and ``body``, bool: whether it lies there; both if unknown."""
    table = _one_gene_per_row(_read(annotation))
    if "tss_distance" in table:
        distance_t = _number(table, "tss_distance")
        end_t = _number(table, "gene_length") if "gene_length" in table else np.inf
        near_t, inside_t = np.abs(distance_t) <= promoter, (distance_t >= 0) & (distance_t <= end_t)
    elif {"gene_start", "gene_end"} & set(table):
        near_t, inside_t = _by_coordinates(table, promoter)
    elif "group" in table:
        near_t, inside_t = _by_group(table, promoter)
    elif region == "both":
        near_t = inside_t = np.ones(len(table), dtype=bool)
    else:
        wanted = f"tss_distance, or {named(_COORDINATES)}, or group, to tell promoter from body"
        raise value_error("annotation", wanted, f"the columns {named(table)}", 'add them, or pass region="both"')
    placed = pd.DataFrame({"probe": table["probe"], "gene": table["gene"], "promoter": near_t, "body": inside_t})
    return placed.groupby(["probe", "gene"], as_index=False).any()


def _read(annotation: pd.DataFrame | str | Path) -> pd.DataFrame:
    """Return the table with its columns named ``probe``, ``gene`` and, where it has groups, ``group``."""
    if isinstance(annotation, pd.DataFrame):
        table = annotation
    else:
        path = Path(annotation).expanduser()
        if not os.path.isfile(path):
            found = f"{str(path)!r}, which is no file"
            raise value_error("annotation", "a table or the path of a .csv or .tsv file", found, "correct the path")
        table = _read_table(path)
    for name, others in _NAMES.items():
        column = next((column for column in (name, *others) if column in table), None)
        if column is not None:
            table = table.rename(columns={column: name})
        elif name != "group":
            raise value_error(
                "annotation", f"a column {name!r}", f"the columns {named(table, 12)}", f"name it so: {name}"
            )
    return table


def _read_table(path: Path) -> pd.DataFrame:
    """Return the table of a file: of a manifest as Illumina ships it, the part between ``[Assay]`` and ``[Controls]``."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace") as file:
            head = file.read(HEADING)
            text = head + file.read() if ASSAY in head else None
        if text is not None:
            text = text.partition(ASSAY)[2].partition("\n")[2].partition(CONTROLS)[0]
        source = path if text is None else io.StringIO(text)
        return pd.read_csv(source, sep="\t" if ".tsv" in path.suffixes else ",", low_memory=False)
    except (OSError, EOFError, ValueError) as error:  # pandas' errors of parsing are ValueErrors
        found = f"{str(path)!r}, which cannot be read ({' '.join(str(error).split())})"
        remedy = "cut the lines before and behind the table"
        raise value_error("annotation", "a table with its columns named in the first line", found, remedy) from error


def _one_gene_per_row(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with one gene per row: lists ``A;B`` split, groups with their genes, rows without a gene dropped."""
    table = table[table["gene"].notna() & table["probe"].notna()]
    lists = ["gene", "group"] if "group" in table else ["gene"]
    split = table.assign(
        probe=table["probe"].astype(str), **{name: table[name].astype(str).str.split(";") for name in lists}
    )
    uneven = split["gene"].str.len() != split[lists[-1]].str.len()
    if uneven.any():
        first = split.loc[uneven, "probe"].iloc[0]
        raise value_error(
            "annotation", "as many groups as genes in each row", f"others for {first!r}", "correct the rows"
        )
    table = split.explode(lists, ignore_index=True)
    table["gene"] = table["gene"].str.strip()
    table = table[table["gene"] != ""]
    if table.empty:
        raise value_error("annotation", "at least one probe with a gene", "none", "pass another table")
    return table


def _number(table: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column as float64."""
    try:
        return pd.to_numeric(table[column]).to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise value_error(f"annotation, column {column!r}", "numbers", f"text ({error})", "correct it") from None


def _by_coordinates(table: pd.DataFrame, promoter: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, bool each, whether a probe is near the TSS and whether it is in the gene, given their positions."""
    missing = [name for name in _COORDINATES if name not in table]
    if missing:
        found = f"no {named(missing)}"
        raise value_error("annotation", f"the columns {named(_COORDINATES)}", found, "add what is missing")
    strand_t = table["strand"].astype(str).to_numpy()
    other = sorted(set(strand_t) - {"+", "-"})
    if other:
        raise value_error("annotation, column 'strand'", "+ or -", named(other), "correct these rows or leave them out")
    position_t, start_t, end_t = (_number(table, name) for name in _COORDINATES[:3])
    if (start_t > end_t).any():
        found = f"{int((start_t > end_t).sum())} gene(s) that start behind their end"
        raise value_error("annotation", "gene_start below gene_end, on either strand", found, "swap them")
    tss_t = np.where(strand_t == "+", start_t, end_t)
    return np.abs(position_t - tss_t) <= promoter, (start_t <= position_t) & (position_t <= end_t)


def _by_group(table: pd.DataFrame, promoter: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, bool each, whether a probe is near the TSS and whether it is in the gene, given its Illumina group."""
    if promoter != ILLUMINA_PROMOTER:
        remedy = "leave promoter out, or give positions in place of groups"
        raise value_error("promoter", f"{ILLUMINA_PROMOTER}, which groups stand for", str(promoter), remedy)
    group_t = table["group"].str.strip()
    unknown = sorted(set(group_t) - {"", "nan", *_GROUPS["promoter"], *_GROUPS["body"]})
    if unknown:
        known = named([*_GROUPS["promoter"], *_GROUPS["body"]], 9)
        raise value_error("annotation, column 'group'", f"one of {known}", named(unknown), "rename these groups")
    return group_t.isin(_GROUPS["promoter"]).to_numpy(), group_t.isin(_GROUPS["body"]).to_numpy()
