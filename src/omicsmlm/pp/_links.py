"""Links of genes and the peaks near them, from coordinates."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error

from ._gtf import read_gtf
from ._input import one_modality
from ._intervals import COORDINATES, has_intervals, named_intervals, tabled_intervals

DECAY_START, DECAY_POWER = 1_000, 0.75
"""A link over d base pairs weighs ((d + 1,000) / 1,000)^-0.75: how contacts of chromatin decay, as GLUE takes them."""


@in_one_sentence_of_types
def link_peaks(
    rna: AnnData,
    atac: AnnData,
    gtf: str | Path | None = None,
    *,
    max_distance: int = 150_000,
    upstream: int = 2_000,
) -> pd.DataFrame:
    r"""Return which peaks lie near which genes, for ``links=`` of :class:`omicsmlm.OmicsMLM` and :class:`omicsmlm.ScMBERT`.

    The distance d of a peak is that to the body of the gene, extended upstream of its start by what counts as its promoter; a
    peak that overlaps it has distance 0. Weights decay as

    .. math:: \Big(\frac{d + 1000}{1000}\Big)^{-0.75}

    (the guidance graph of GLUE, Cao and Gao 2022). All must be of the same assembly.

    Parameters
    ----------
    rna
        Genes. Where they lie is read off the columns ``chrom`` (or chr, chromosome, seqnames), ``start`` and ``end`` of ``var``,
        zero-based and half-open, and their strand off ``strand`` ("+" or "-") where there is one; or off ``gtf``.
    atac
        Peaks: columns as of the genes, or else names such as ``chr1:100-200``, ``chr1-100-200`` or ``chr1_100_200``.
    gtf
        Path of a GTF file, plain or gzipped, with lines of ``exon``; genes are known by ``gene_name`` or by ``gene_id``, by
        whichever more of ``rna.var_names`` are.
    max_distance
        Base pairs, at most, between a gene and a peak.
    upstream
        Base pairs before the start of a gene that belong to it; on both sides where the strand is not known.

    Returns
    -------
    DataFrame
        ``gene``, ``peak``, ``weight`` (above 0, at most 1) and ``distance`` (base pairs), in the order of the genes, then of the
        peaks. A peak may be linked with several genes; one that is near none is not there.

    Raises
    ------
    ValueError
        If there are no coordinates, or no peak is near a gene.

    Examples
    --------
    >>> genes = pd.DataFrame({"chrom": "chr1", "start": 5000, "end": 9000, "strand": "+"}, index=["ABC"])
    >>> peaks = pd.DataFrame(index=["chr1:3500-3600", "chr1:10000-10100", "chr2:10-20"])
    >>> link_peaks(AnnData(np.ones((1, 1)), var=genes), AnnData(np.ones((1, 3)), var=peaks)).round(
    ...     2
    ... ).to_numpy().tolist()
    [['ABC', 'chr1:3500-3600', 1.0, 0], ['ABC', 'chr1:10000-10100', 0.59, 1000]]
    """
    for name, number in (("max_distance", max_distance), ("upstream", upstream)):
        if number < 0:
            raise value_error(name, "at least 0 base pairs", str(number), "leave it out for the default")
    rna, atac = one_modality("rna", rna), one_modality("atac", atac)
    genes = _extended(_genes(rna, gtf), upstream)
    peaks = tabled_intervals("atac", atac.var) if has_intervals(atac.var) else named_intervals("atac", atac.var_names)
    found = _near(genes, peaks, max_distance)
    if len(found) == 0:
        chromosomes = [named(table["chrom"].unique(), 2) for table in (genes, peaks)]
        wanted = f"peaks within {max_distance:,} base pairs of genes, on {chromosomes[0]}"
        remedy = 'take genes and peaks of one assembly, and name chromosomes alike (with or without "chr")'
        raise value_error("atac", wanted, f"none, on {chromosomes[1]}", remedy)
    weight = ((found["distance"] + DECAY_START) / DECAY_START) ** -DECAY_POWER
    return pd.DataFrame(
        {
            "gene": np.asarray(genes.index)[found["gene"]],
            "peak": np.asarray(peaks.index)[found["peak"]],
            "weight": weight.to_numpy(),
            "distance": found["distance"].to_numpy(),
        }
    )


def _genes(rna: AnnData, gtf: str | Path | None) -> pd.DataFrame:
    """Return where genes lie: ``chrom``, ``start``, ``end``, ``strand``, by name; those without a place are left out."""
    if gtf is None:
        if not has_intervals(rna.var):
            wanted = f"the columns {named(COORDINATES)} in var, or a GTF file"
            raise value_error("rna", wanted, f"columns {named(rna.var.columns)}", "pass gtf=")
        table = pd.DataFrame(rna.var)
        table = tabled_intervals("rna", table[table[["start", "end"]].notna().all(axis=1)])
        return table.assign(strand=table["strand"] if "strand" in table else "")
    exons = read_gtf(gtf)
    exons = exons[exons["feature"] == "exon"]
    n_known = {name: int(rna.var_names.isin(exons[name].dropna()).sum()) for name in ("gene_name", "gene_id")}
    by = max(n_known, key=lambda name: n_known[name])
    if n_known[by] == 0:
        found = f"{named(rna.var_names, 3)} in rna"
        raise value_error(Path(gtf).name, "names or identifiers of the genes", found, "pass the GTF of these genes")
    spans = exons[exons[by].isin(rna.var_names)].groupby([by, "chrom", "strand"], sort=False)
    table = spans.agg(start=("start", "min"), end=("end", "max")).reset_index().set_index(by)
    table = table[~table.index.duplicated()]  # of a gene in several places, the first
    return table.loc[rna.var_names[rna.var_names.isin(table.index)]]


def _extended(genes: pd.DataFrame, upstream: int) -> pd.DataFrame:
    """Return genes with what lies upstream of their start."""
    is_known = genes["strand"].isin(["+", "-"])
    before = np.where(~is_known | (genes["strand"] == "+"), upstream, 0)
    after = np.where(~is_known | (genes["strand"] == "-"), upstream, 0)
    return genes.assign(start=(genes["start"] - before).clip(lower=0), end=genes["end"] + after)


def _near(genes: pd.DataFrame, peaks: pd.DataFrame, max_distance: int) -> pd.DataFrame:
    """Return pairs of positions, ``gene`` and ``peak``, with their ``distance``."""
    parts = []
    of_chromosome = {chrom: np.flatnonzero(peaks["chrom"] == chrom) for chrom in peaks["chrom"].unique()}
    bounds = peaks[["start", "end"]].to_numpy()
    for gene, (chrom, start, end) in enumerate(zip(genes["chrom"], genes["start"], genes["end"], strict=True)):
        at = of_chromosome.get(chrom, np.empty(0, dtype=np.int64))
        distance = np.maximum(np.maximum(start - bounds[at, 1], bounds[at, 0] - end), 0)
        is_near = distance <= max_distance
        parts.append(pd.DataFrame({"gene": gene, "peak": at[is_near], "distance": distance[is_near]}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"gene": [], "peak": [], "distance": []})
