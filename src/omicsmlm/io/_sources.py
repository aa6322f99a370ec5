"""Files of one modality or several: 10x, h5ad, h5mu, tables; read by scanpy, anndata, mudata and pandas."""

import os
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad
from mudata import MuData, read_h5mu

from omicsmlm._checks import named, value_error
from omicsmlm._modality_names import Role, role_of

from ._matrix_market import read_matrix_market
from ._matrix_tables import MatrixTable, matrix_table
from ._tables import TEXT_SUFFIXES, UNREADABLE, is_table, suffix_of

type Source = str | Path | pd.DataFrame | AnnData | MuData
FEATURE_TYPES: dict[str, Role] = {"Gene Expression": "rna", "Peaks": "atac", "Antibody Capture": "protein"}
"""Modality of each type of features of 10x Genomics; others (CRISPR guides, multiplexing) are left out."""
WANTED = f"a table ({', '.join(TEXT_SUFFIXES)}, .parquet; also .gz), .h5ad, .h5mu, .mtx, or a 10x .h5 file or folder"
OTHER_TOOLS = {
    ".rds": "an object of R: write its counts with Matrix::writeMM(counts, 'counts.mtx') and their names beside it, "
    "writeLines(rownames(counts), 'genes.tsv') and writeLines(colnames(counts), 'barcodes.tsv')",
    ".xlsx": "save the sheet as .csv",
    ".loom": "write it as .h5ad with anndata.io.read_loom(path).write_h5ad(...)",
}
"""What to do with files that are not read."""


class Opened(NamedTuple):
    """What a source holds: modalities, or a table of which it is not known yet which side the observations are on."""

    parts: dict[Role, AnnData]
    table: MatrixTable | None = None
    obs: pd.DataFrame | None = None
    """Of the whole object, if it is a MuData."""
    lines: tuple[str, ...] = ()
    """What should be said about it."""


def opened(place: str, role: Role, source: Source) -> Opened:
    """Return what a source holds, in memory; an object of the user's is copied.

    Raises
    ------
    ValueError
        If there is no such file, it cannot be read, or it does not hold the modality.
    """
    if isinstance(source, AnnData):
        return _by_type(place, role, source.copy())
    if isinstance(source, MuData):
        return _of_mudata(place, role, source.copy())
    if isinstance(source, pd.DataFrame):
        return Opened({}, matrix_table(place, source))
    if not isinstance(source, str | os.PathLike):
        raise value_error(place, f"{WANTED}, a DataFrame or an AnnData", type(source).__name__, "pass a path, say")
    path = Path(source).expanduser()
    if not os.path.exists(path):
        raise value_error(place, "a file or folder that exists", repr(str(path)), "check the path")
    suffix = suffix_of(path)
    if os.path.isdir(path):
        matrices = sorted(path.glob("*.mtx*"))
        if len(matrices) != 1 or _is_of_10x(path, matrices[0]):
            return _by_type(place, role, _read(place, path, _read_folder))
        path, suffix = matrices[0], ".mtx"
    if suffix == ".mtx":
        adata, line = read_matrix_market(place, path)
        found = _by_type(place, role, adata)
        return found._replace(lines=(line, *found.lines))
    if is_table(path):
        return Opened({}, matrix_table(place, path))
    readers = {".h5": _read_10x, ".h5ad": read_h5ad, ".h5mu": read_h5mu}
    if suffix not in readers:
        raise value_error(place, WANTED, repr(str(path)), OTHER_TOOLS.get(suffix, "convert or rename it"))
    found = _read(place, path, readers[suffix])
    return _of_mudata(place, role, found) if isinstance(found, MuData) else _by_type(place, role, found)


def _read(place: str, path: Path, reader: Any) -> Any:
    """Read a file, and turn whatever a library says of one that is damaged into one sentence."""
    try:
        return reader(path)
    except Exception as error:
        found = f"{str(path)!r} ({type(error).__name__}: {' '.join(str(error).split())[:150]})"
        raise value_error(place, "a file that can be read", found, UNREADABLE) from error


def _read_10x(path: Path) -> AnnData:
    import scanpy as sc

    return sc.read_10x_h5(path, gex_only=False)


def _is_of_10x(folder: Path, matrix: Path) -> bool:
    """Return whether a folder has the files, by name and compression, that Cell Ranger writes."""
    prefix, _, ending = matrix.name.partition("matrix.mtx")
    beside = {"": ("genes.tsv", "barcodes.tsv"), ".gz": ("features.tsv.gz", "barcodes.tsv.gz")}.get(ending, ())
    return bool(beside) and all((folder / f"{prefix}{name}").is_file() for name in beside)


def _read_folder(path: Path) -> AnnData:
    import scanpy as sc

    inner = sorted(path.glob("*matrix.mtx*"))
    prefix = inner[0].name.partition("matrix.mtx")[0] if inner else ""
    return sc.read_10x_mtx(path, gex_only=False, prefix=prefix or None)


def _by_type(place: str, role: Role, adata: AnnData) -> Opened:
    """Return the modalities of an object whose features may be of several types."""
    if "feature_types" not in adata.var:
        return Opened({role: adata})
    types = adata.var["feature_types"].astype(str)
    roles = types.map(FEATURE_TYPES)
    if roles.isna().all():  # types that others have made up
        several = types.unique() if types.nunique() > 1 else ()
        said = f"features of several types, {named(several)}, none of them one of 10x: all are taken for {role}"
        return Opened({role: adata}, lines=(said,) if len(several) else ())
    parts = {found: adata[:, (roles == found).to_numpy()].copy() for found in roles.dropna().unique()}
    for part in parts.values():
        _name_apart(part)
    left_out = types[roles.isna()].unique()
    lines = (f"{named(left_out)} left out, which no model reads",) if len(left_out) else ()
    return _with_role(place, role, Opened(parts, lines=lines))


def _name_apart(part: AnnData) -> None:
    """Make names of features distinct as 10x does: two genes with one symbol stay two, as they have two identifiers."""
    if not part.var_names.is_unique and "gene_ids" in part.var:
        twice = part.var_names.duplicated(keep=False)
        names = np.array(part.var_names, dtype=object)
        names[twice] = np.array(part.var["gene_ids"], dtype=object)[twice]
        part.var_names = pd.Index(names)


def _of_mudata(place: str, role: Role, mdata: MuData) -> Opened:
    """Return the modalities of a MuData by what their names mean."""
    parts: dict[Role, AnnData] = {}
    left_out = []
    for name, part in mdata.mod.items():
        found = role_of(name)
        if found is None and name in get_args(Role):
            found = name  # type: ignore[assignment]
        if found is None or found in parts:
            left_out.append(name)
        else:
            parts[found] = part
    lines = (f"modalities {named(left_out)} left out, as their names do not tell what they are",) if left_out else ()
    obs = pd.DataFrame(mdata.obs)
    return _with_role(place, role, Opened(parts, obs=obs if obs.shape[1] else None, lines=lines))


def _with_role(place: str, role: Role, found: Opened) -> Opened:
    if role not in found.parts:
        remedy = f"pass it as {next(iter(found.parts), 'another argument')}="
        raise value_error(place, f"features of {role}", f"only those of {named(found.parts)}", remedy)
    return found
