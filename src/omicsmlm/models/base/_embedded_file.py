"""An object with its embedding as a new file, which takes its name when it is whole."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem
from mudata import MuData

from omicsmlm._checks import value_error
from omicsmlm._writing import absolute, written_file

EMBEDDING_CHUNK = 4096
"""Observations of the embedding that make one chunk of the file."""


class OutputFile(NamedTuple):
    """A file to be written, and the object that goes into it."""

    path: Path
    data: AnnData | MuData
    source: Path | None
    """The file that the object is backed by, if any."""

    def write(self, key: str, width: int, blocks: Iterator[np.ndarray]) -> None:
        """Write the object, with (n_obs, width) float32 in ``.obsm[key]`` that comes in blocks of observations.

        Raises
        ------
        ValueError
            If the file cannot be written. Whatever goes wrong, nothing is left behind, and a file that had the name stays.
        """
        with written_file(self.path) as part:
            self._write_object(part)
            with h5py.File(part, "r+") as file:
                _write_embedding(file, key, (self.data.n_obs, width), blocks)

    def _write_object(self, part: Path) -> None:
        if self.source is not None:
            shutil.copyfile(self.source, part)
        elif isinstance(self.data, MuData):
            self.data.write_h5mu(part)
        else:
            _writable(self.data).write_h5ad(part)


def target_file(path: str | Path, data: AnnData | MuData) -> OutputFile:
    """Return the file that an object is to be written to, once it has been checked that this can be.

    Raises
    ------
    ValueError
        If the name does not say what kind of object it is, its folder is not there, or the file is the one that is read;
        or if the file that the object is backed by has other observations.
    """
    path, suffix = absolute(path), ".h5mu" if isinstance(data, MuData) else ".h5ad"
    if path.suffix != suffix:
        raise value_error("path", f"a name that ends in {suffix}", repr(path.name), "rename it")
    if not os.path.isdir(path.parent):
        raise value_error("path", "a file in a folder that exists", repr(str(path)), "make the folder first")
    source = _source(data)
    if source is not None and os.path.exists(path) and path.samefile(source):
        raise value_error("path", "a new file", f"{str(path)!r}, which is being read", "pass another name")
    return OutputFile(path, data, source)


def _source(data: AnnData | MuData) -> Path | None:
    """Return the file that an object is backed by, whose observations must be those of the object."""
    if not data.isbacked or data.file.filename is None:
        return None
    source = Path(data.file.filename)
    with h5py.File(source, "r") as file:
        names = file["obs"][file["obs"].attrs["_index"]]
        n_obs = len(names["values"] if isinstance(names, h5py.Group) else names)  # texts are stored in two ways
    if n_obs != data.n_obs:
        found = f"{n_obs} observations in the file, {data.n_obs} in the object"
        raise value_error(
            "data", "an object with the observations of its file", found, "read the file again, or copy it"
        )
    return source


def _writable(adata: AnnData) -> AnnData:
    """Return a lazily read object with its tables in memory, as it cannot be written with them in a file; its values stay."""
    obs, var = adata.obs, adata.var
    if isinstance(obs, pd.DataFrame):
        return adata
    obs, var = obs.to_memory(), var.to_memory()
    layers = {name: values for name, values in adata.layers.items() if name is not None}
    light = AnnData(adata.X, obs, var, dict(adata.uns), layers=layers)
    for of, to in ((adata.obsm, light.obsm), (adata.varm, light.varm)):
        for name in of:
            values: Any = of[name]
            to[name] = values.to_memory() if hasattr(values, "to_memory") else values
    return light


def _write_embedding(file: h5py.File, key: str, shape: tuple[int, int], blocks: Iterator[np.ndarray]) -> None:
    """Write an embedding to ``/obsm/key`` as anndata writes a dense array, block by block."""
    if "obsm" not in file:
        write_elem(file, "obsm", {})
    if key in file["obsm"]:
        del file["obsm"][key]
    chunks = (max(1, min(EMBEDDING_CHUNK, shape[0])), shape[1])
    values = file["obsm"].create_dataset(key, shape, np.float32, chunks=chunks)
    values.attrs["encoding-type"], values.attrs["encoding-version"] = "array", "0.2.0"
    start = 0
    for block in blocks:
        values[start : start + len(block)] = block
        start += len(block)
    assert start == shape[0]
