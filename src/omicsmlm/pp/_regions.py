"""Peaks of any experiment mapped to one set of reference regions."""

import logging
import re
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import check_choice, check_switch, named, positive_integer, value_error

from ._input import Values, check_amounts, one_modality, values_of
from ._intervals import (
    COORDINATES,
    Regions,
    has_intervals,
    named_intervals,
    read_bed,
    region_names,
    tabled_intervals,
)

logger = logging.getLogger(__name__)

Multiple = Literal["largest", "all"]


@in_one_sentence_of_types
def map_regions(
    atac: AnnData,
    regions: Regions,
    *,
    multiple: Multiple = "largest",
    min_overlap: int = 1,
    keep_empty: bool = True,
    layer: str | None = None,
) -> AnnData:
    """Return counts per reference region, so that experiments with peaks of their own share one axis of features.

    The count of a region is the sum of the counts of the peaks that overlap it (scMBERT, Chen et al. 2025, maps peaks
    onto the DNase-hypersensitive regions of Sheffield et al. 2013). Peaks and regions must be of the same assembly;
    coordinates are zero-based and half-open everywhere, so that ``chr1:100-200`` and ``chr1:200-300`` do not overlap.

    Parameters
    ----------
    atac
        Raw counts (non-negative integers; zeros and ones too) per peak, sparse or dense; not changed. Where the peaks
        lie is read off the columns ``chrom`` (or chr, chromosome, seqnames), ``start`` and ``end`` of ``var``, or else
        off names such as ``chr1:100-200``, ``chr1-100-200`` or ``chr1_100_200``.
    regions
        The path of a BED file (three columns or more; plain or gzipped), a table with the same columns, or names, for
        example the ``var_names`` of another mapped object. Regions may overlap one another. Names that are given, in a
        list or as the index of a table, stay; others are made as ``chrom:start-end``.
    multiple
        How a peak counts that overlaps several regions. ``largest``: in the one that it shares most base pairs with, the
        first of them if several are equal, so that no count is counted twice. ``all``: in each.
    min_overlap
        Base pairs that a peak and a region must share, at least.
    keep_empty
        Whether regions without any peak stay, with zeros, so that every object has the same features.
    layer
        Layer that holds the counts; None for ``X``.

    Returns
    -------
    AnnData
        (n_obs, n_regions): the sums in ``X``, CSR if the counts are sparse; ``obs`` as it was; ``var`` with ``chrom``,
        ``start``, ``end``, ``n_peaks`` (peaks counted in the region) and what else the regions come with. A region
        that is listed twice is taken once. ``uns["map_regions"]`` reports how much was lost: ``n_peaks``,
        ``n_peaks_mapped``, ``n_peaks_in_several``, ``n_peaks_on_other_chromosomes``, ``share_peaks_unmapped``,
        ``share_counts_unmapped``, ``n_regions``, ``n_regions_with_peaks``, ``n_regions_listed_twice``.

    Raises
    ------
    ValueError
        If the object is no AnnData of one modality, holds no counts, a name or a line is no interval, the names of
        regions are not unique, an argument is out of range, or nothing overlaps.

    Examples
    --------
    >>> peaks = pd.DataFrame(index=["chr1:100-200", "chr1:190-260", "chr2:5-9"])
    >>> mapped = map_regions(AnnData(np.array([[1, 2, 4]]), var=peaks), ["chr1:150-300", "chr1:300-400"])
    >>> mapped.X.tolist()
    [[3, 0]]
    >>> round(mapped.uns["map_regions"]["share_counts_unmapped"], 3)
    0.571
    """
    check_choice("multiple", multiple, get_args(Multiple))
    check_switch("keep_empty", keep_empty)
    min_overlap = positive_integer("min_overlap", min_overlap, "pass 1 base pair, say")
    atac = one_modality("atac", atac)
    counts = values_of("atac", atac, layer)
    check_amounts("atac", counts, whole=True)
    peaks = tabled_intervals("atac", atac.var) if has_intervals(atac.var) else named_intervals("atac", atac.var_names)
    listed = _reference(regions)
    reference = listed[~listed.duplicated(COORDINATES)]
    shared = _shared(peaks, reference, min_overlap)
    pairs = shared.drop_duplicates("peak") if multiple == "largest" else shared
    report = _report(counts, peaks, reference, shared, pairs)
    report |= {"n_regions_listed_twice": len(listed) - len(reference), "multiple": multiple, "min_overlap": min_overlap}
    mapped = _summed(counts, pairs, reference, keep_empty)
    mapped.obs = atac.obs.copy()
    mapped.uns["map_regions"] = report
    logger.info(
        "map_regions: %d of %d peaks lie in %d of %d regions; %.1f %% of the peaks and %.1f %% of the counts do not.",
        *(report[key] for key in ("n_peaks_mapped", "n_peaks", "n_regions_with_peaks", "n_regions")),
        *(100 * report[key] for key in ("share_peaks_unmapped", "share_counts_unmapped")),
    )
    return mapped


def _reference(regions: Regions) -> pd.DataFrame:
    """Return the regions as ``chrom``, ``start``, ``end`` and further columns, indexed by their names."""
    if isinstance(regions, pd.DataFrame):
        table = tabled_intervals("regions", regions)
        if not all(isinstance(name, str) for name in table.index):
            table = table.set_axis(region_names(table))
    elif isinstance(regions, list | tuple | pd.Index | pd.Series | np.ndarray):
        table = named_intervals("regions", regions)
    else:
        table = read_bed(regions)
        table = table.set_axis(region_names(table))
    once = table[~table.duplicated(COORDINATES)]
    if not once.index.is_unique:
        twice = once.index[once.index.duplicated()]
        raise value_error(
            "regions", "one name per region", f"{named(twice, 3)} more than once", "make the names unique"
        )
    return table


def _shared(peaks: pd.DataFrame, reference: pd.DataFrame, min_overlap: int) -> pd.DataFrame:
    """Return the positions of each ``peak`` and ``region`` that overlap, sorted by peak, then by descending overlap."""
    import bioframe  # here, as it imports matplotlib

    left, right = (part[COORDINATES].reset_index(drop=True) for part in (peaks, reference))
    found = bioframe.overlap(left, right, how="inner", return_input=False, return_index=True, return_overlap=True)
    pairs = pd.DataFrame(
        {
            "peak": found["index"].to_numpy(dtype=np.int64),
            "region": found["index_"].to_numpy(dtype=np.int64),
            "width": (found["overlap_end"] - found["overlap_start"]).to_numpy(dtype=np.int64),
        }
    )
    pairs = pairs[pairs["width"] >= min_overlap]
    if pairs.empty:
        raise _nothing_overlaps(set(peaks["chrom"]), set(reference["chrom"]), min_overlap)
    return pairs.sort_values(["peak", "width", "region"], ascending=[True, False, True], ignore_index=True)


def _nothing_overlaps(ours: set[str], theirs: set[str], min_overlap: int) -> ValueError:
    """Return the error for peaks and regions without overlap; its remedy depends on how chromosomes are named."""
    if ours & theirs:
        expected = f"a region that shares {min_overlap} bp with a peak"
        found = f"none, although both have the chromosomes {named(sorted(ours & theirs), 3)}"
        return value_error("regions", expected, found, "check that peaks and regions are of the same genome assembly")
    bare = [{re.sub("^chr", "", name, flags=re.IGNORECASE) for name in names} for names in (ours, theirs)]
    remedy = "rename the chromosomes of one of them"
    if bare[0] & bare[1]:
        remedy = 'put "chr" before the chromosomes of one of them, or take it away, so that both are named alike'
    expected = f"chromosomes named as those of the peaks ({named(sorted(ours), 3)})"
    return value_error("regions", expected, named(sorted(theirs), 3), remedy)


def _report(
    counts: Values, peaks: pd.DataFrame, reference: pd.DataFrame, shared: pd.DataFrame, pairs: pd.DataFrame
) -> dict[str, Any]:
    """Return what was mapped and what was lost, as plain numbers, which ``uns`` can store."""
    n_regions_p = np.bincount(shared["peak"], minlength=len(peaks))
    counts_p = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    return {
        "n_peaks": len(peaks),
        "n_peaks_mapped": int((n_regions_p > 0).sum()),
        "n_peaks_in_several": int((n_regions_p > 1).sum()),
        "n_peaks_on_other_chromosomes": int((~peaks["chrom"].isin(reference["chrom"])).sum()),
        "share_peaks_unmapped": float((n_regions_p == 0).mean()),
        "share_counts_unmapped": float(counts_p[n_regions_p == 0].sum() / max(counts_p.sum(), 1)),
        "n_regions": len(reference),
        "n_regions_with_peaks": pairs["region"].nunique(),
    }


def _summed(counts: Values, pairs: pd.DataFrame, reference: pd.DataFrame, keep_empty: bool) -> AnnData:
    """Return the sum of the counts of the peaks of each region: (n, peaks) @ (peaks, regions)."""
    n_peaks_r = np.bincount(pairs["region"], minlength=len(reference))
    ones = np.ones(len(pairs), dtype=counts.dtype if counts.dtype.kind == "f" else np.int32)
    link = sparse.csr_array((ones, (pairs["peak"], pairs["region"])), shape=(counts.shape[1], len(reference)))
    var = reference.assign(n_peaks=n_peaks_r)
    if not keep_empty:
        link, var = link[:, n_peaks_r > 0], var[n_peaks_r > 0]
    sums = counts @ link
    return AnnData(type(counts)(sums) if sparse.issparse(counts) else sums, var=var)
