"""Matrix Market files (``.mtx``) with the names of their rows and columns in files beside them, as R writes them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from anndata import AnnData
from scipy import sparse

from omicsmlm._checks import named, value_error

from ._tables import TEXT_SUFFIXES, UNREADABLE, opened_text, suffix_of

FEATURE_FILES = ("feature", "gene", "rowname", "peak", "region")
"""In the names of files with the names of features."""
CELL_FILES = ("barcode", "cell", "colname", "sample", "column")
"""In the names of files with the names of observations."""
EXPORT = "in R: writeLines(rownames(counts), 'genes.tsv'); writeLines(colnames(counts), 'barcodes.tsv')"


class Names(NamedTuple):
    """Names of one side of a matrix, and further columns of 10x."""

    names: list[str]
    ids: list[str] | None = None
    types: list[str] | None = None


def read_matrix_market(place: str, path: Path) -> tuple[AnnData, str]:
    """Return a matrix as observations × features, and a line that says where the names were found.

    The file itself may have either on its rows: the numbers of names tell.

    Parameters
    ----------
    place
        What the file is to the user, for messages.
    path
        A ``.mtx`` file, plain or gzipped. Beside it: ``features.tsv``, ``genes.tsv``, ``genes.csv`` or the like, and
        ``barcodes.tsv``, ``cells.csv`` or the like, with a name per line, with or without a header, or with the two or three
        columns of 10x (identifier, symbol, type).

    Raises
    ------
    ValueError
        If the matrix cannot be read, or names are not there for both sides.
    """
    values = _values(place, path)
    features_file, cells_file = (_beside(place, path, kinds) for kinds in (FEATURE_FILES, CELL_FILES))
    transposed = values.T.shape
    for shape in (values.shape, transposed):  # features on rows first, as R and 10x have them
        features = _names(features_file, shape[0])
        cells = _names(cells_file, shape[1])
        if features is not None and cells is not None:
            break
    else:
        found = f"{values.shape[0]:,} × {values.shape[1]:,} values in {path.name!r}"
        remedy = f"write them anew, {EXPORT}"
        raise value_error(place, f"as many names in {features_file.name!r} and {cells_file.name!r}", found, remedy)
    oriented = values.T if shape == values.shape else values
    var = pd.DataFrame(index=pd.Index(features.names))
    if features.ids is not None:
        var["gene_ids"] = features.ids
    if features.types is not None:
        var["feature_types"] = features.types
    adata = AnnData(sparse.csr_matrix(oriented), obs=pd.DataFrame(index=pd.Index(cells.names)), var=var)
    return adata, f"names of features from {features_file.name!r}, of observations from {cells_file.name!r}"


def _values(place: str, path: Path) -> sparse.spmatrix:
    from scipy.io import mmread

    try:
        return sparse.csc_matrix(mmread(path))
    except Exception as error:
        found = f"{str(path)!r} ({type(error).__name__}: {' '.join(str(error).split())[:150]})"
        raise value_error(place, "a file that can be read", found, UNREADABLE) from error


def _beside(place: str, path: Path, kinds: Sequence[str]) -> Path:
    """Return the one file of names beside a matrix whose own name says what they are of."""
    tables = sorted(file for file in path.parent.iterdir() if suffix_of(file) in TEXT_SUFFIXES and file.is_file())
    stem = path.name.split(".")[0]
    for kind in kinds:
        found = [file for file in tables if kind in file.name.lower()]
        for chosen in (
            [file for file in found if stem in file.name],  # of several matrices in one folder
            [file for file in found if file.name.lower().split(".")[0] in (kind, f"{kind}s")],
            found,
        ):
            if len(chosen) == 1:
                return chosen[0]
    side = "features" if kinds is FEATURE_FILES else "observations"
    raise value_error(
        place,
        f"one file with the names of {side} beside {path.name!r}, such as {'genes' if kinds is FEATURE_FILES else 'barcodes'}.tsv",
        named([file.name for file in tables]) if tables else "no table",
        f"write it, {EXPORT}",
    )


def _names(path: Path, n: int) -> Names | None:
    """Return n names of a file, without a header where it has one; None if it has another number of lines."""
    with opened_text(path) as file:
        text = [line for line in file.read().splitlines() if line.strip()]
    if len(text) not in (n, n + 1):
        return None
    separator = "\t" if "\t" in text[0] else ","
    lines = list(csv.reader(text[len(text) - n :], delimiter=separator))
    columns = list(map(list, zip(*lines, strict=False)))
    if len(columns) > 1 and columns[0] == [str(i + 1) for i in range(n)]:  # numbers of rows, as write.csv has them
        columns = columns[1:]
    if len(columns) == 1 or len(columns) > 3 or len(text) > n or len(set(columns[0])) < n:
        return Names(columns[0])
    return Names(columns[1], ids=columns[0], types=columns[2] if len(columns) == 3 else None)
