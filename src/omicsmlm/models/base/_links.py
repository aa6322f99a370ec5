"""Links between the features of two modalities: which peaks lie near which genes, as the user's table says."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from omicsmlm._checks import named, shortened, value_error

COLUMNS = ("gene", "peak")
"""Columns that a table of links has; ``weight`` may be a third."""
LINKED_KINDS = ("counts", "accessibility")
"""Kinds of the modalities whose features these are."""


class FeatureLinks(NamedTuple):
    """Links between features of two modalities, by their positions in the vocabularies; none by default."""

    modalities: tuple[str, ...] = ()
    """That of the genes, and that of the peaks."""
    genes: tuple[int, ...] = ()
    peaks: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()

    def between(self, chosen: Mapping[str, Sequence[int]]) -> dict[tuple[str, str], sparse.csr_matrix]:
        """Return the links of some features: by the two modalities, (genes, peaks) weights; nothing where there are no links.

        Parameters
        ----------
        chosen
            Positions in the vocabulary of these features, by modality.
        """
        if not self.weights:
            return {}
        genes, peaks = self.modalities
        row, column = (pd.Index(chosen[m]).get_indexer(at) for m, at in ((genes, self.genes), (peaks, self.peaks)))
        has = (row >= 0) & (column >= 0)
        shape = len(chosen[genes]), len(chosen[peaks])
        weight = np.asarray(self.weights, dtype=np.float32)[has]
        return {(genes, peaks): sparse.csr_matrix((weight, (row[has], column[has])), shape=shape)}

    def __str__(self) -> str:
        return f"{len(self.weights):,} links of {len(set(self.genes)):,} genes and {len(set(self.peaks)):,} peaks"


def matched_links(links: pd.DataFrame, modalities: Mapping[str, Mapping[str, Any]]) -> FeatureLinks:
    """Return the links of the features of a model; those of other features are left out.

    Parameters
    ----------
    links
        Columns ``gene`` and ``peak``, and ``weight``, above 0, where links are not all alike.
    modalities
        What is registered of each modality: kind and vocabulary.

    Raises
    ------
    ValueError
        If this is no such table, there is no one modality of counts and of accessibility, or nothing matches.
    """
    table = _checked(links)
    names = [[name for name, state in modalities.items() if state["kind"] == kind] for kind in LINKED_KINDS]
    if [len(of_kind) for of_kind in names] != [1, 1]:
        kinds = {name: state["kind"] for name, state in modalities.items()}
        wanted = "one modality of kind 'counts' and one of kind 'accessibility' to link"
        raise value_error("links", wanted, shortened(kinds), "leave links= out, or name the kinds in setup_mudata")
    positions = []
    for column, (name,) in zip(COLUMNS, names, strict=True):
        vocabulary = pd.Index(modalities[name]["vocabulary"])
        at = vocabulary.get_indexer(table[column])
        if not (at >= 0).any():
            wanted = f"{column}s among the features of {name!r}, such as {named(vocabulary, 2)}"
            raise value_error("links", wanted, named(table[column], 2), "name the features as the object does")
        positions.append(at)
    known = (positions[0] >= 0) & (positions[1] >= 0)
    if not known.any():
        found = f"none of {len(table):,} links with both"
        raise value_error("links", "genes and peaks that the object has", found, "name the features as the object does")
    found = pd.DataFrame({"gene": positions[0], "peak": positions[1], "weight": table["weight"].to_numpy()})[known]
    summed = found.groupby(["gene", "peak"], sort=True)["weight"].sum().reset_index()
    genes, peaks = (tuple(summed[column].tolist()) for column in COLUMNS)
    return FeatureLinks((names[0][0], names[1][0]), genes, peaks, tuple(summed["weight"].round(6).tolist()))


def _checked(links: object) -> pd.DataFrame:
    """Return a table of links with names as text and with weights, 1 where it has none."""
    remedy = "pass what omicsmlm.pp.link_peaks returns, or a table with one link a row"
    if not isinstance(links, pd.DataFrame) or not set(COLUMNS) <= set(links):
        found = named(links.columns) if isinstance(links, pd.DataFrame) else shortened(links)
        raise value_error("links", "a DataFrame with the columns 'gene' and 'peak'", found, remedy)
    if len(links) == 0:
        raise value_error("links", "at least one link", "an empty table", remedy)
    weights = pd.to_numeric(links["weight"], errors="coerce") if "weight" in links else pd.Series(1.0, links.index)
    weight = weights.to_numpy(dtype=np.float64)
    if not (np.isfinite(weight) & (weight > 0)).all():
        wrong = links["weight"].to_numpy()[~(np.isfinite(weight) & (weight > 0))]
        raise value_error("links", "weights above 0", named(wrong, 3), "leave such links out")
    return pd.DataFrame(
        {column: links[column].astype(str).to_numpy() for column in COLUMNS} | {"weight": weight.astype(np.float64)}
    )
