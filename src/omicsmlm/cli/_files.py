"""Files that commands read and write: all is checked before anything is written."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from omicsmlm.models import OmicsModel

MODEL_FILES = ("manifest.json", "config.json")
TABLES = (".csv", ".tsv", ".parquet")
HEADS = ("Classifier", "Survival")
FAMILIES = ("OmicsMLM", "ScMBERT", "MOJO", "TxFM", "IsoFormer")


def opened(path: Path, place: str = "source", *, backed: bool = False) -> "AnnData | MuData":
    """Return the object of an ``.h5ad`` or ``.h5mu`` file.

    Parameters
    ----------
    path
        The file.
    place
        What it is to the user.
    backed
        Whether the values stay in the file.

    Raises
    ------
    ValueError
        If there is no such file, or it is damaged.
    """
    from anndata import read_h5ad
    from mudata import read_h5mu

    from omicsmlm._checks import value_error

    readers: dict[str, Any] = {".h5ad": read_h5ad, ".h5mu": read_h5mu}
    if path.suffix not in readers or not os.path.isfile(path):
        remedy = "check the path; omicsmlm read turns tables and files of 10x into an .h5mu"
        raise value_error(place, "an existing .h5ad or .h5mu file", repr(str(path)), remedy)
    try:
        return readers[path.suffix](path, backed="r" if backed else None)
    except Exception as error:
        found = f"{str(path)!r}, which cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:120]})"
        raise value_error(
            place, "a whole .h5ad or .h5mu file", found, "check the download, or write it again"
        ) from error


def check_target(path: Path, place: str, suffixes: "Collection[str]", *, overwrite: bool, source: Path) -> None:
    """Check that a file can be written, and make its folder.

    Raises
    ------
    ValueError
        If its name does not end as it should, it exists, is the one that is read, or its folder cannot be written.
    """
    from omicsmlm._checks import value_error
    from omicsmlm._writing import absolute

    target = absolute(path)
    if target.suffix not in suffixes:
        raise value_error(place, f"a name that ends in {' or '.join(suffixes)}", repr(path.name), "rename it")
    if os.path.isdir(target):
        raise value_error(place, "a file", f"{str(path)!r}, which is a folder", "pass another name")
    if os.path.exists(target) and os.path.exists(source) and target.samefile(source):
        raise value_error(place, "a new file", f"{str(path)!r}, which is the source", "pass another name")
    if os.path.exists(target) and not overwrite:
        raise value_error(place, "a new file", f"{str(path)!r}, which exists", "pass another name, or --overwrite")
    check_writable(target.parent)


def check_model_target(path: Path, place: str, *, overwrite: bool) -> None:
    """Check that a folder for a model can be made, or replaced.

    Raises
    ------
    ValueError
        If it exists, holds something else, or cannot be made.
    """
    from omicsmlm._checks import value_error
    from omicsmlm._writing import absolute, check_directory

    target = absolute(path)
    if os.path.exists(target) and not overwrite:
        raise value_error(place, "a new folder", f"{str(path)!r}, which exists", "pass another, or --overwrite")
    check_directory(target, place, overwrite=True, ours=MODEL_FILES)
    check_writable(target.parent)


def check_writable(folder: Path) -> None:
    """Check that a folder can be written, and make it.

    Raises
    ------
    ValueError
        If it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".omicsmlm-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        from omicsmlm._checks import value_error

        raise value_error("output", "a folder that can be written", str(error), "pass another path") from error


def saved_class(folder: Path, place: str = "model") -> str:
    """Return the name of the class of a saved model.

    Raises
    ------
    ValueError
        If the folder holds none.
    """
    from omicsmlm._checks import named, value_error
    from omicsmlm._manifest import MOST_BYTES, parse_json, read_bounded

    config = folder / MODEL_FILES[1]
    if not os.path.isfile(config):
        raise value_error(
            place, "a folder with a saved model", f"{str(folder)!r} without {config.name}", "check the path"
        )
    name = parse_json(read_bounded(config, place, MOST_BYTES), str(config)).get("class")
    if name not in (*FAMILIES, *HEADS):
        raise value_error(place, f"a model among {named(FAMILIES)}", repr(name), "update omicsmlm")
    return str(name)


def loaded_model(folder: Path, data: "AnnData | MuData | None" = None) -> "OmicsModel":
    """Return a saved model of any family.

    Parameters
    ----------
    folder
        Where it is.
    data
        Object to register with it; None for none.

    Raises
    ------
    ValueError
        If it is none, is damaged, or the object does not fit.
    """
    import omicsmlm
    from omicsmlm._checks import value_error

    name = saved_class(folder)
    if name in HEADS:
        command = {"Classifier": "annotate", "Survival": "survival"}[name]
        raise value_error("model", "a model that embeds", f"a {name}", f"use omicsmlm {command} with it")
    return getattr(omicsmlm, name).load(folder, data)


def write_table(table: "pd.DataFrame", path: Path) -> None:
    """Write a table as its name says: ``.csv``, ``.tsv`` or ``.parquet``."""
    from omicsmlm._writing import written_file

    with written_file(path, "output") as part:
        if path.suffix == ".parquet":
            table.to_parquet(part)
        else:
            table.to_csv(part, sep="\t" if path.suffix == ".tsv" else ",")
