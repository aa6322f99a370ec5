"""Methylation of genes: the mean beta value of their CpG probes."""

import gzip
import io
import logging
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from omicsmlm._checks import named, value_error

from ._input import Values, one_modality, values_of

logger = logging.getLogger(__name__)

Region = Literal["both", "promoter", "body"]

BLOCK = 2**23
"""Values that are averaged at once, which bounds the memory (float64: 64 MiB)."""
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


def aggregate_methylation(
    cpg: AnnData,
    annotation: pd.DataFrame | str | Path,
    *,
    region: Region = "both",
    promoter: int = 1500,
    layer: str | None = None,
) -> AnnData:
    """Return the mean beta value of the CpG probes of each gene.

    MOJO (Gélard et al. 2025) takes the mean over the probes in the gene's body or within 1.5 kb of its transcription
    start site (TSS); that is the default.

    Parameters
    ----------
    cpg
        Beta values, 0 to 1, of probes named in ``var_names``; NaN where not measured, a value that a sparse matrix does
        not store is a measured 0. Not changed.
    annotation
        Which probe belongs to which gene: a table, or the path of a ``.csv`` or ``.tsv`` file (``.gz`` too). A probe
        may have several genes, in rows of their own or as ``A;B``; it counts once for each. Columns:

        - ``probe`` (or feature, IlmnID, Name) and ``gene`` (or gene_symbol, UCSC_RefGene_Name), empty for no gene;
        - where the probe lies, in one of three ways, needed to tell promoter from body. ``tss_distance``: base pairs
          from the TSS, negative upstream, so that the strand is in it already; and ``gene_length``, if there is one.
          Or ``position`` of the probe with ``gene_start`` < ``gene_end`` on the same chromosome and ``strand``: the
          TSS of ``+`` is the start, of ``-`` the end. Or ``group`` (or UCSC_RefGene_Group), with as many entries as
          genes: TSS1500, TSS200, 5'UTR, 1stExon or promoter; Body, ExonBnd, 3'UTR or body.
    region
        ``promoter``: probes at most `promoter` base pairs from the TSS of the gene, on either side. ``body``: the other
        probes of the gene, downstream of the TSS and not behind its end. ``both``: these and those; all pairs of the
        annotation if it does not say where a probe lies. A probe is in the promoter if it is in that of any transcript
        listed. A pair whose place is missing lies in neither.
    promoter
        Half the width of the promoter in base pairs. For groups it is 1,500.
    layer
        Layer that holds the values; None for ``X``.

    Returns
    -------
    AnnData
        (n_obs, n_genes), dense float32: the mean over the measured probes, NaN where none of the gene's probes was measured
        in the sample. ``obs`` as it was; genes in alphabetical order, ``var["n_probes"]``. ``uns["aggregate_methylation"]``:
        ``n_probes``, ``n_probes_used``, ``n_probes_without_gene``, ``n_probes_elsewhere`` (with a gene, but not in
        `region`), ``n_genes``, ``share_missing`` (of the values), ``region``, ``promoter``.

    Raises
    ------
    ValueError
        If the object is no AnnData of one modality, a value is not between 0 and 1, a column is missing or cannot be
        read, an argument is out of range, or no probe is left.

    Examples
    --------
    >>> cpg = AnnData(np.array([[0.2, 0.4, 0.9], [0.5, np.nan, np.nan]]), var=pd.DataFrame(index=["cg1", "cg2", "cg3"]))
    >>> genes = pd.DataFrame({"probe": ["cg1", "cg2", "cg3"], "gene": ["TP53", "TP53", "MYC"]})
    >>> aggregate_methylation(cpg, genes).to_df().round(2)
       MYC  TP53
    0  0.9   0.3
    1  NaN   0.5
    """
    if region not in get_args(Region):
        raise value_error("region", f"one of {named(get_args(Region))}", repr(region), "pass one of these")
    if promoter < 0:
        raise value_error("promoter", "base pairs, 0 or more", str(promoter), "pass 1500, say")
    cpg = one_modality("cpg", cpg)
    values = values_of("cpg", cpg, layer)
    known = _of_object(_pairs(annotation, region, promoter), cpg.var_names)
    kept = known[_in_region(known, region)]
    if kept.empty:
        raise value_error(
            "annotation", f"a probe with the region {region!r}", "none", 'pass region="both", or a wider promoter'
        )
    code, genes = pd.factorize(kept["gene"], sort=True)
    link = sparse.csr_array((np.ones(len(kept)), (kept["column"], code)), shape=(cpg.n_vars, len(genes)))
    mean_ng = _means(values, link)
    mean = AnnData(
        mean_ng,
        obs=cpg.obs.copy(),
        var=pd.DataFrame({"n_probes": np.bincount(code)}, index=pd.Index(genes.astype(object))),
    )
    mean.uns["aggregate_methylation"] = report = {
        "n_probes": cpg.n_vars,
        "n_probes_used": kept["column"].nunique(),
        "n_probes_without_gene": cpg.n_vars - known["column"].nunique(),
        "n_probes_elsewhere": known["column"].nunique() - kept["column"].nunique(),
        "n_genes": len(genes),
        "share_missing": float(np.isnan(mean_ng).mean()),
        "region": region,
        "promoter": promoter,
    }
    logger.info(
        "aggregate_methylation: %d of %d probes make %d genes (region %s); %d have no gene, %d lie elsewhere.",
        *(report[key] for key in ("n_probes_used", "n_probes", "n_genes", "region")),
        *(report[key] for key in ("n_probes_without_gene", "n_probes_elsewhere")),
    )
    return mean


def _pairs(annotation: pd.DataFrame | str | Path, region: Region, promoter: int) -> pd.DataFrame:
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
        if not path.is_file():
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


def _of_object(pairs: pd.DataFrame, probes: pd.Index) -> pd.DataFrame:
    """Return the pairs whose probe the object has, with the ``column`` of that."""
    if not probes.is_unique:
        twice = probes[probes.duplicated()]
        raise value_error("cpg", "one name per probe", f"{named(twice, 3)} more than once", "make var_names unique")
    column_t = probes.get_indexer(pairs["probe"])
    if (column_t < 0).all():
        expected = f"probes named as in the data ({named(probes, 3)})"
        raise value_error("annotation", expected, named(pairs["probe"], 3), "pass the annotation of this array")
    return pairs.assign(column=column_t)[column_t >= 0]


def _in_region(pairs: pd.DataFrame, region: Region) -> pd.Series:
    """Return whether the probe of each pair is in this region of its gene; a probe in the promoter is not in the body."""
    if region == "promoter":
        return pairs["promoter"]
    return pairs["body"] & ~pairs["promoter"] if region == "body" else pairs["body"] | pairs["promoter"]


def _means(values: Values, link: sparse.csr_array) -> np.ndarray:
    """Return means over the measured probes of each gene, (n, genes) float32, by blocks of samples.

    ``link`` is (probes, genes), 1 where a probe belongs to a gene.
    """
    used = np.flatnonzero(np.diff(link.indptr))
    link = link[used]
    mean_ng = np.empty((values.shape[0], link.shape[1]), dtype=np.float32)
    n_samples = max(BLOCK // len(used), 1)
    for start in range(0, len(mean_ng), n_samples):
        block: Any = values[start : start + n_samples][:, used]
        block = np.asarray(block.toarray() if sparse.issparse(block) else block, dtype=np.float64)
        measured = ~np.isnan(block)
        _check_fractions(block[measured])
        n_measured = measured.astype(np.float64) @ link
        sums = np.where(measured, block, 0.0) @ link
        mean_ng[start : start + n_samples] = np.divide(
            sums, n_measured, where=n_measured > 0, out=np.full_like(sums, np.nan)
        )
    return mean_ng


def _check_fractions(beta: np.ndarray) -> None:
    """Raise if a beta value is not between 0 and 1."""
    low, high = beta.min(initial=0.0), beta.max(initial=0.0)
    if low < 0 or high > 1:
        remedy = "divide percentages by 100, or turn M-values m into 2**m / (2**m + 1)"
        raise value_error("cpg", "beta values between 0 and 1", f"values from {low:g} to {high:g}", remedy)
