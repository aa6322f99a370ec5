"""Several files, or a collection of annbatch, as one object whose values stay on disk."""

import logging
import re
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error
from omicsmlm._types import DATASET, PROFILED, SOURCES, Source
from omicsmlm._writing import absolute, written_directory

logger = logging.getLogger(__name__)

BLOCK_H5AD, BLOCK_ZARR = 256, 1024
"""Observations that are read together; more of zarr, where a read has more overhead."""
COLLECTION = "annbatch-preshuffled"
INSTALL = "pip install annbatch dask xarray zarr"


class _Store(NamedTuple):
    """One AnnData on disk."""

    name: str
    values: Any
    """CSR dataset, or dense array, in HDF5 or zarr."""
    obs: pd.DataFrame
    var_names: pd.Index
    block: int


@in_one_sentence_of_types
def open_files(
    paths: str | Path | Sequence[str | Path], *, layer: str | None = None, obs_columns: Sequence[str] | None = None
) -> ad.AnnData:
    """Return files as one object whose values stay on disk and are read in blocks.

    Parameters
    ----------
    paths
        ``.h5ad`` files, ``.zarr`` folders that AnnData wrote, and collections of :func:`write_collection`; one or several.
        Features are matched by name; one that a file lacks is recorded as not measured there, as by
        :func:`omicsmlm.datasets.read_many`.
    layer
        Layer that holds the values; ``X`` if not given.
    obs_columns
        Columns of ``obs`` to read, which are held in memory; all if not given.

    Returns
    -------
    AnnData
        ``X``: a dask array of blocks of observations. Where features differ: ``obs["dataset"]``, ``varm["profiled"]``.

    Raises
    ------
    ValueError
        If a path holds no AnnData, a layer or column is missing, values lie by columns, or dense sets differ in features.
    ImportError
        Without dask, or for ``.zarr`` without zarr.

    Examples
    --------
    >>> import tempfile
    >>> from omicsmlm.datasets import simulate_rna
    >>> folder = tempfile.mkdtemp()
    >>> for k in range(2):
    ...     simulate_rna(50, 40, seed=k).write_h5ad(f"{folder}/{k}.h5ad")
    >>> open_files([f"{folder}/0.h5ad", f"{folder}/1.h5ad"]).shape
    (100, 40)
    """
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    if not listed:
        raise value_error("paths", "at least one file", "none", "pass paths of .h5ad files or .zarr folders")
    stores = [store for path in listed for store in _stores(Path(path), layer, obs_columns)]
    features = stores[0].var_names
    same = all(set(store.var_names) == set(features) for store in stores)
    if not same:
        features = pd.Index(list(dict.fromkeys(name for store in stores for name in store.var_names)))
    whole = ad.AnnData(_values(stores, features), obs=_obs(stores, not same), var=pd.DataFrame(index=features))
    if not same:
        measured = {store.name: features.isin(store.var_names) for store in stores}
        whole.varm[PROFILED] = pd.DataFrame(measured, index=features)
    return whole


@in_one_sentence_of_types
def write_collection(
    paths: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    layer: str | None = None,
    seed: int = 0,
    memory: str = "2GB",
) -> None:
    """Write ``.h5ad`` files as one shuffled, compressed collection of annbatch: smaller, and fast to read in any order.

    Parameters
    ----------
    paths
        ``.h5ad`` files with the same features, or the union of theirs.
    out
        New folder, ending in ``.zarr``; it gets this name once it is complete. :func:`open_files` opens it.
    layer
        Layer that holds the values; ``X`` if not given.
    seed
        Seed of the shuffling.
    memory
        Size of the shuffle buffer, which is held in memory, such as "2GB".

    Raises
    ------
    ValueError
        If the folder exists or does not end in ``.zarr``, or a file or its layer is not there.
    ImportError
        Without annbatch.
    """
    try:
        import annbatch
    except ImportError as error:
        raise ImportError(f"write_collection needs annbatch: {INSTALL}") from error
    out, listed = absolute(out), [paths] if isinstance(paths, str | Path) else list(paths)
    if out.suffix != ".zarr" or out.exists():
        found = f"{str(out)!r}, which exists" if out.exists() else repr(str(out))
        raise value_error("out", "a new folder whose name ends in .zarr", found, "pass another")
    for path in listed:
        if Path(path).suffix != ".h5ad" or not Path(path).is_file():
            raise value_error("paths", "existing .h5ad files", repr(str(path)), "check the path")
    with written_directory(out, "out", overwrite=False, ours=()) as folder:
        part = folder / out.name  # annbatch looks at how a name ends
        annbatch.DatasetCollection(part, mode="w").add_adatas(
            [str(path) for path in listed],
            load_adata=partial(_light, layer=layer),
            dataset_size=memory,
            rng=np.random.default_rng(seed),
        )
        for entry in list(part.iterdir()):
            entry.rename(folder / entry.name)
        part.rmdir()


def _light(path: str, layer: str | None) -> ad.AnnData:
    """Return a file with its values on disk, and nothing but ``obs`` and the names of features beside them."""
    adata = ad.experimental.read_lazy(path)
    if layer is not None and layer not in adata.layers:
        raise _no_layer(path, layer, adata.layers)
    values = adata.X if layer is None else adata.layers[layer]
    return ad.AnnData(values, obs=adata.obs.to_memory(), var=pd.DataFrame(index=adata.var_names))


def _stores(path: Path, layer: str | None, obs_columns: Sequence[str] | None) -> Iterator[_Store]:
    """Yield each AnnData of a path, opened: of a file one, of a collection several."""
    wanted, remedy = "an .h5ad file or a .zarr folder with an AnnData or a collection", "check the path"
    if path.suffix == ".h5ad" and path.is_file():
        groups = {path.stem: h5py.File(path, "r")}
    elif path.suffix == ".zarr" and path.is_dir():
        try:
            import zarr
        except ImportError as error:
            raise ImportError(f"reading {path} needs zarr: {INSTALL}") from error
        group = zarr.open_group(path, mode="r")
        groups = {path.stem: group}
        if group.attrs.get("encoding-type") == COLLECTION:
            numbers = sorted(int(name.split("_")[1]) for name in group.keys() if re.fullmatch(r"dataset_\d+", name))
            groups = {f"{path.stem}_{number}": group[f"dataset_{number}"] for number in numbers}
    else:
        raise value_error("paths", wanted, repr(str(path)), remedy)
    for name, group in groups.items():
        if "obs" not in group or "var" not in group:
            raise value_error("paths", wanted, f"{str(path)!r} without obs and var", remedy)
        yield _store(name, group, layer, obs_columns, BLOCK_H5AD if path.suffix == ".h5ad" else BLOCK_ZARR)


def _store(name: str, group: Any, layer: str | None, obs_columns: Sequence[str] | None, block: int) -> _Store:
    """Return an AnnData of a group, after checking what is asked of it."""
    if layer is not None and (known := group.get("layers", {})) is not None and layer not in known:
        raise _no_layer(name, layer, known)
    if layer is None and "X" not in group:
        raise value_error(name, "values in X", "none", 'pass layer="…" to name the layer that holds them')
    values = group["X"] if layer is None else group[f"layers/{layer}"]
    kind = values.attrs["encoding-type"]
    if kind == "csc_matrix":
        remedy = "write it as CSR: adata.X = scipy.sparse.csr_matrix(adata.X)"
        raise value_error(name, "values that can be read by rows", "a CSC matrix in a file", remedy)
    obs, index = group["obs"], group["obs"].attrs["_index"]
    known = [str(column) for column in obs.attrs["column-order"]]
    missing = [column for column in obs_columns or () if column not in known]
    if missing:
        raise value_error(
            f"{name}: obs_columns", f"columns among {named(known)}", named(missing), "pass existing names"
        )
    columns = {column: ad.io.read_elem(obs[column]) for column in (known if obs_columns is None else obs_columns)}
    frame = pd.DataFrame(columns, index=_texts(obs[index]))
    var_names = _texts(group["var"][group["var"].attrs["_index"]])
    if not var_names.is_unique:
        twice = named(var_names[var_names.duplicated()].unique())
        raise value_error(name, "distinct feature names", f"duplicates {twice}", "run .var_names_make_unique() first")
    return _Store(name, ad.io.sparse_dataset(values) if kind == "csr_matrix" else values, frame, var_names, block)


def _texts(stored: Any) -> pd.Index:
    """Return stored names as text."""
    found: Any = ad.io.read_elem(stored)
    return pd.Index(np.asarray(found, dtype=object)).astype(
        str
    )  # NumPy up to 2.3 cannot cast its texts to fixed widths


def _no_layer(place: str, layer: str, known: Any) -> ValueError:
    """Return the error for a layer that does not exist."""
    names = [name for name in known if name is not None]
    return value_error(place, f"a layer {layer!r}", f"layers {names}", "name another one, or none for X")


def _obs(stores: Sequence[_Store], with_dataset: bool) -> pd.DataFrame:
    """Return ``obs`` of all stores, concatenated; if they share names, all get the name of their store as a prefix."""
    frames = [store.obs.assign(**{DATASET: store.name}) if with_dataset else store.obs for store in stores]
    for column in {name for frame in frames for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)}:
        categories = [frame[column].astype("category").cat.categories for frame in frames if column in frame]
        union = list(dict.fromkeys(value for listed in categories for value in listed))
        frames = [f.assign(**{column: pd.Categorical(f[column], union)}) if column in f else f for f in frames]
    whole = pd.concat(frames) if len(frames) > 1 else frames[0]
    if not whole.index.is_unique:
        whole.index = pd.Index([f"{store.name}:{name}" for store in stores for name in store.obs.index])
    if with_dataset:
        whole[DATASET] = pd.Categorical(whole[DATASET], categories=[store.name for store in stores])
    return whole


class _Block(NamedTuple):
    """Neighbouring observations of a store."""

    values: Any
    start: int
    stop: int
    column_of: np.ndarray | None
    """Column of the whole for each of the store's; None where they are the same."""
    n_columns: int

    def read(self) -> Any:
        """Return the values, with the columns of the whole."""
        found = self.values[self.start : self.stop]
        if self.column_of is None:
            return found
        found = found.tocoo()
        at = found.row, self.column_of[found.col]
        return sp.csr_matrix((found.data, at), shape=(self.stop - self.start, self.n_columns))


def _values(stores: Sequence[_Store], features: pd.Index) -> Any:
    """Return the values of all stores, concatenated, as a dask array that reads a block at a time.

    An annotation of its layer has the stores, so that training can read from them without dask.
    """
    try:
        import dask.array as da
        from dask.base import annotate
    except ImportError as error:
        raise ImportError(f"open_files needs dask: {INSTALL}") from error
    is_sparse = {isinstance(store.values, ad.abc.CSRDataset) for store in stores}
    if len(is_sparse) > 1:
        raise value_error("paths", "sets that are all sparse or all dense", "both", "write all as CSR")
    blocks: list[_Block] = []
    sources: list[Source] = []
    for store in stores:
        column_of = None if store.var_names.equals(features) else features.get_indexer(store.var_names)
        if column_of is not None and is_sparse == {False}:
            remedy = "write them as CSR, or with the same features in the same order"
            raise value_error(store.name, "the features of the first file", "others, of dense values", remedy)
        sources.append(Source(store.values, column_of))
        for start in range(0, len(store.obs), store.block):
            stop = min(len(store.obs), start + store.block)
            blocks.append(_Block(store.values, start, stop, column_of, len(features)))
    lengths = tuple(block.stop - block.start for block in blocks)
    kind = np.result_type(*(store.values.dtype for store in stores))
    meta = sp.csr_matrix((0, 0), dtype=kind) if is_sparse == {True} else np.empty((0, 0), kind)
    with annotate(**({SOURCES: tuple(sources)} if is_sparse == {True} else {})):
        # A name of its own: without it dask would read through the files to make one of their content.
        return da.map_blocks(
            partial(_read_block, blocks),
            chunks=(lengths, (len(features),)),
            dtype=kind,
            meta=meta,
            name=f"omicsmlm-files-{uuid.uuid4().hex}",
        )


def _read_block(blocks: list[_Block], block_id: tuple[int, int]) -> Any:
    """Return a block; dask passes the position of the chunk."""
    return blocks[block_id[0]].read()
