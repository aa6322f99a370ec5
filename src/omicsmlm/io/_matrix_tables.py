"""A table of values with the names of its rows and columns, and what else it says of its rows."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from omicsmlm._checks import named, value_error

from ._orientation import Side
from ._tables import names_as_column, numbers, read_table

ANNOTATIONS = frozenset(
    "hugo_symbol entrez_gene_id gene_id gene_name gene_symbol gene symbol name description chr chrom chromosome seqnames start end "
    "strand length width biotype gene_type gene_biotype chromstart chromend ensembl_id probe_id composite.element.ref "
    "transcript_id(s) effective_length cytoband id_ref".split()
)
"""Columns, in lower case, that describe features and hold no values of an observation."""
MOST_DENSE = 0.5
"""Fraction of values that are not zero above which counts are held dense."""


class MatrixTable(NamedTuple):
    """A table whose rows and columns are features and observations; which is which is not known yet."""

    values: np.ndarray
    """(rows, columns) float64, NaN where missing."""
    row_names: pd.Index
    column_names: pd.Index
    annotation: pd.DataFrame
    """What the table says of its rows: texts, and numbers of columns in :data:`ANNOTATIONS`."""
    hint: str
    """Name of the file."""

    def oriented(self, observations_on: Side) -> AnnData:
        """Return the table as an object, observations × features; rows without a name are left out."""
        is_named = self.row_names.notna() & (self.row_names.astype(str) != "nan")
        of_rows = self.annotation.loc[is_named].set_axis(self.row_names[is_named].astype(str))
        of_columns = pd.DataFrame(index=self.column_names.astype(str))
        values = self.values[is_named]
        if observations_on == "columns":
            return AnnData(np.ascontiguousarray(values.T), obs=of_columns, var=of_rows)
        return AnnData(values, obs=of_rows, var=of_columns)


def matrix_table(place: str, source: Path | pd.DataFrame) -> MatrixTable:
    """Return a table of values from a file or a data frame.

    The names of the rows are the first column, or the index of a data frame that has one of texts.

    Raises
    ------
    ValueError
        If it cannot be read, a value is no number, or there is no value.

    Examples
    --------
    >>> table = matrix_table("rna", pd.DataFrame({"gene": ["A", "B"], "length": [9, 8], "s1": [1, 2], "s2": [0, 4]}))
    >>> table.values.tolist(), list(table.column_names), list(table.annotation)
    ([[1.0, 0.0], [2.0, 4.0]], ['s1', 's2'], ['length'])
    """
    if isinstance(source, Path):
        frame = read_table(place, source)
    else:
        if source.columns.nlevels > 1:
            raise value_error(place, "one level of names of columns", f"{source.columns.nlevels}", "join them first")
        has_names = not pd.api.types.is_integer_dtype(source.index.dtype)
        frame = names_as_column(source, "index") if has_names else source.set_axis(source.columns.astype(str), axis=1)
    if frame.shape[1] == 0:
        raise value_error(place, "a table with columns of numbers", "one without columns", "check what was read")
    row_names, rest = pd.Index(frame.iloc[:, 0]), frame.iloc[:, 1:]
    is_text = [_is_text(rest.iloc[:, i]) for i in range(rest.shape[1])]
    describes = np.array([text or str(c).lower() in ANNOTATIONS for text, c in zip(is_text, rest.columns, strict=True)])
    if describes.all():
        found = f"columns {named(frame.columns)}"
        raise value_error(place, "a table with columns of numbers", found, "check the file")
    values = numbers(place, rest.loc[:, ~describes])
    annotation = rest.loc[:, describes].reset_index(drop=True)
    return MatrixTable(values, row_names, pd.Index(rest.columns[~describes]), annotation, _hint(source))


def _hint(source: Path | pd.DataFrame) -> str:
    return source.name if isinstance(source, Path) else ""


def _is_text(column: pd.Series) -> bool:
    """Return whether a column holds texts, of which not even some are numbers."""
    if pd.api.types.is_numeric_dtype(column):
        return False
    return bool(pd.to_numeric(column, errors="coerce").isna().all() and column.notna().any())


def compact(values: np.ndarray) -> np.ndarray | sparse.csr_matrix:
    """Return counts, (n, g), as CSR where most of them are zero.

    Examples
    --------
    >>> type(compact(np.eye(3))).__name__, type(compact(np.ones((3, 3)))).__name__
    ('csr_matrix', 'ndarray')
    """
    return sparse.csr_matrix(values) if np.count_nonzero(values) < MOST_DENSE * values.size else values
