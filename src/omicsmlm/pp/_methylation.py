"""Methylation of genes: the mean beta value of their CpG probes."""

import logging
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error

from ._input import Values, one_modality, values_of
from ._probe_genes import Region, probe_genes

logger = logging.getLogger(__name__)

BLOCK = 2**23
"""Values that are averaged at once, which bounds the memory (float64: 64 MiB)."""


@in_one_sentence_of_types
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
    known = _of_object(probe_genes(annotation, region, promoter), cpg.var_names)
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
