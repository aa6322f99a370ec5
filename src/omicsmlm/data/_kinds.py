"""The kind of values of a modality: given by the user and checked, or inferred from names and from every value."""

import logging
import re
from collections.abc import Mapping
from typing import get_args

from anndata import AnnData

from omicsmlm._checks import named, shortened, value_error
from omicsmlm._modality_names import are_antibodies, role_of
from omicsmlm._types import SPARSE_KINDS, Kind

from ._columns import read_column
from ._matrix import Summary

logger = logging.getLogger(__name__)

REGION = re.compile(r"^(chr)?[\w.]+[:\-_]\d+[\-_]\d+$", re.IGNORECASE)
FEWEST_SHARED = 0.1
"""Fraction of the features of a second modality of RNA that the first one has, at least: spliced and unspliced, say."""
LARGEST = 1e15
"""Values above this have squares whose sums exceed float32, in which models compute."""
LARGEST_LOG = 30.0
"""Above this, non-integers cannot be logs: 2³⁰ and e³⁰ exceed any count or concentration."""


def check_kind(place: str, kind: str, summary: Summary) -> Kind:
    """Return the kind that the user named, after checking that the values agree with it.

    Raises
    ------
    ValueError
        If the name is unknown or the values contradict it.
    """
    known = get_args(Kind)
    if not isinstance(kind, str) or kind not in known:
        raise value_error(place, f"a kind among {known}", shortened(kind), "pass one of them")
    if summary.has_infinity:
        raise value_error(place, "finite values", "infinity", "replace it; NaN means not measured")
    if max(abs(summary.minimum), abs(summary.maximum)) > LARGEST:
        found = f"values from {summary.minimum:g} to {summary.maximum:g}"
        raise value_error(place, f"values of at most {LARGEST:g}", found, "check their unit, or what wrote them")
    if summary.all_zero:
        found = "nothing but zeros and NaN" if summary.has_nan else "zeros only"
        raise value_error(place, "at least one value that is not zero", found, "leave this modality out")
    if kind in SPARSE_KINDS:
        _check_counts(place, summary)
    if kind == "fraction" and not (summary.minimum >= 0 and summary.maximum <= 1):
        found = f"values from {summary.minimum:g} to {summary.maximum:g}"
        raise value_error(place, "fractions between 0 and 1", found, 'pass kind "real" if these are not fractions')
    return kind  # type: ignore[return-value]


def infer_kind(place: str, adata: AnnData, summary: Summary) -> Kind:
    """Infer what the values are: integers by the names of modality and features, others by their range.

    Parameters
    ----------
    place
        Name of the modality: ``atac``, ``peaks`` … mean accessibility, ``adt``, ``prot`` … mean protein.
    adata
        Its ``var`` is searched for ``feature_types`` and its ``var_names`` for regions such as ``chr1:100-200``.
    summary
        What a scan of the values found.

    Raises
    ------
    ValueError
        If the values are negative or missing counts, floats that are neither counts nor logs, or all zero.
    """
    if summary.all_integers and summary.minimum >= 0 and not summary.has_nan:
        return check_kind(place, _integer_kind(place, adata), summary)
    if summary.minimum >= 0 and summary.maximum <= 1:
        return check_kind(place, "fraction", summary)
    if summary.all_integers or (summary.minimum >= 0 and summary.maximum > LARGEST_LOG):
        _check_counts(place, summary)
    return check_kind(place, "real", summary)


def _integer_kind(place: str, adata: AnnData) -> str:
    """Return the kind of non-negative integers: by the modality's name, else its feature types, else its feature names."""
    types = list(map(str, read_column(adata.var, "feature_types").unique())) if "feature_types" in adata.var else []
    by_type = {_kind_named(name) for name in types}
    if len(by_type) > 1:
        raise value_error(
            place,
            "features of one type",
            f"the feature_types {named(types)}",
            "split them into the modalities of a MuData, or pass the kind to take them all as one",
        )
    by_name = _kind_named(place) or (by_type.pop() if by_type else None)
    if by_name is not None:
        return by_name
    regions = [bool(REGION.match(str(name))) for name in adata.var_names[:100]]  # one in two: scaffolds have odd names
    if sum(regions) > len(regions) / 2:
        return "accessibility"
    if are_antibodies(adata.var_names):
        remedy = "name the kind 'counts' when you set the object up if they are RNA"
        logger.warning("%s: features %s are antibodies: protein; %s.", place, named(adata.var_names, 3), remedy)
        return "protein"
    return "counts"


def _kind_named(name: str) -> str | None:
    """Return the kind that a name suggests, None for any other name (as of genes)."""
    return {"protein": "protein", "atac": "accessibility"}.get(role_of(name) or "")


def check_is_rna(place: str, adata: AnnData, others: Mapping[str, AnnData]) -> None:
    """Check that a modality of counts, whose kind nobody named, may be RNA.

    Neither name nor types of features have to say so; but of an object that also has RNA, a second modality of other features
    is rather something else (proteins under a name of the user's own).

    Parameters
    ----------
    place
        Its name.
    adata
        Its values.
    others
        The other modalities of the object.

    Raises
    ------
    ValueError
        If there is RNA beside it, and hardly any feature is one of that.
    """
    says_so = "feature_types" in adata.var and role_of(str(read_column(adata.var, "feature_types").iloc[0])) == "rna"
    if role_of(place) is not None or says_so:
        return
    for name, other in others.items():
        if role_of(name) == "rna" and adata.var_names.isin(other.var_names).mean() < FEWEST_SHARED:
            found = f"integers of features such as {named(adata.var_names, 2)}, which are not those of {name!r}"
            remedy = f'name it: kinds={{"{place}": "protein"}}, or "counts", "accessibility"'
            raise value_error(place, "a modality whose name or features tell what it is", found, remedy)


def _check_counts(place: str, summary: Summary) -> None:
    """Raise if values are not non-negative integers."""
    if summary.has_nan:
        found = "NaN"
    elif summary.minimum < 0:
        found = f"values down to {summary.minimum:g}"
    elif not summary.all_integers:
        found = f"floats up to {summary.maximum:g}"
    else:
        return
    remedy = 'name the layer that holds raw counts when you set the object up, or the kind "real" for log values'
    raise value_error(place, "raw counts (non-negative integers)", found, remedy)
