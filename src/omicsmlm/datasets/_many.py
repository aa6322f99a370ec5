"""Several data sets of counts as one object that records which features each of them measured."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error
from omicsmlm._types import DATASET, PROFILED

logger = logging.getLogger(__name__)

_BLOCK = 2048  # observations that are in memory at any one time

Source = ad.AnnData | str | Path


class _Part(NamedTuple):
    """One data set, after filtering."""

    name: str
    adata: ad.AnnData
    layer: str | None
    index_n: np.ndarray  # (n,) int64, ascending: observations that are kept
    is_kept: np.ndarray  # (columns,) bool: features that count as measured

    @property
    def features(self) -> pd.Index:
        """Names of the measured features."""
        return self.adata.var_names[self.is_kept].astype(str)

    def blocks(self, column_of: pd.Index) -> Iterator[sp.csr_matrix]:
        """Yield the counts of the kept observations by blocks, with the columns of all data sets together."""
        column_g = np.full(self.adata.n_vars, -1)
        column_g[self.is_kept] = column_of.get_indexer(self.features)
        for start in range(0, len(self.index_n), _BLOCK):
            block = _read_observations(self.adata, self.layer, self.index_n[start : start + _BLOCK]).tocoo()
            kept_t = (column_g[block.col] >= 0) & (block.data != 0)
            at = block.row[kept_t], column_g[block.col[kept_t]]
            yield sp.csr_matrix((block.data[kept_t], at), shape=(block.shape[0], len(column_of)), dtype=np.float32)


@in_one_sentence_of_types
def read_many(
    sources: Sequence[Source] | Mapping[str, Source],
    *,
    layers: str | Mapping[str, str] | None = None,
    min_rows: int = 0,
    min_features: int = 0,
    path: str | Path | None = None,
) -> ad.AnnData:
    """Return data sets of raw counts concatenated into one object, with the union of their features.

    A feature that a data set lacks is a zero in ``X``, but it is recorded as not measured: models that read this (TxFM,
    OmicsMLM) neither use nor predict it there. Observations are read and written by blocks, so that with `path` the memory
    does not grow with their number.

    Parameters
    ----------
    sources
        AnnData or paths of ``.h5ad`` files, by name or in a list; a file's name is then that of its data set, and
        ``set0``, ``set1`` … those of others. Features are matched by name.
    layers
        Layer that holds the counts, of all sets or by name; ``X`` where none is named.
    min_rows
        A feature counts as measured by a data set if at least this many of its observations have it (TxFM's paper: 1,000).
    min_features
        Observations with fewer detected features are left out, before features are counted (TxFM's paper: 2,000).
    path
        File to write the object to, from which it is then opened (``anndata.read_h5ad(path, backed="r")``); None to hold it
        in memory.

    Returns
    -------
    AnnData
        ``X``: CSR float32. ``obs``: the columns of all sets, and ``dataset``. ``varm["profiled"]``: a boolean column per set.
        If data sets share names of observations, all names become ``"<data set>:<name>"``.

    Raises
    ------
    ValueError
        If there is no source, two have one name, a set is left with nothing, or has no such layer or no counts in it.

    Examples
    --------
    >>> from omicsmlm.datasets import simulate_rna
    >>> whole = read_many({"a": simulate_rna(50, 40), "b": simulate_rna(30, 60, seed=1)})
    >>> whole.shape, whole.varm["profiled"].sum().to_dict()
    ((80, 60), {'a': 40, 'b': 60})
    """
    parts = [
        _part(name, source, layers if isinstance(layers, str) else (layers or {}).get(name), min_rows, min_features)
        for name, source in _named(sources).items()
    ]
    features = pd.Index(list(dict.fromkeys(name for part in parts for name in part.features)))
    obs = _joined_obs(parts)
    table = pd.DataFrame({part.name: features.isin(part.features) for part in parts}, index=features)
    for part in parts:
        logger.info("%s: %d observations, %d features measured.", part.name, len(part.index_n), part.is_kept.sum())
    blocks = (block for part in parts for block in part.blocks(features))
    if path is None:
        whole = ad.AnnData(sp.csr_matrix(sp.vstack(list(blocks), format="csr")), obs=obs, var=table[[]])
        whole.varm[PROFILED] = table
        return whole
    _write(Path(path), blocks, obs, table)
    return ad.read_h5ad(path, backed="r")


def _named(sources: Sequence[Source] | Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources by name."""
    if isinstance(sources, ad.AnnData | str | Path):
        raise value_error("sources", "several data sets", "one", "pass a list of them, or by name")
    if isinstance(sources, Mapping):
        found = {str(name): source for name, source in sources.items()}
    else:
        names = [Path(s).stem if isinstance(s, str | Path) else f"set{i}" for i, s in enumerate(sources)]
        if len(set(names)) < len(names):
            remedy = "pass them by name: {name: source}"
            raise value_error("sources", "data sets of distinct names", f"{named(names)}", remedy)
        found = dict(zip(names, sources, strict=True))
    if not found:
        raise value_error("sources", "at least one data set", "none", "pass AnnData objects or paths of .h5ad files")
    return found


def _opened(name: str, path: str | Path) -> ad.AnnData:
    """Return the object of a file, whose values stay there."""
    try:
        return ad.read_h5ad(Path(path).expanduser(), backed="r")
    except (OSError, KeyError, ValueError, TypeError) as error:
        found = f"{str(path)!r}: {' '.join(str(error).split())[:120]}"
        raise value_error(name, "an .h5ad file that can be read", found, "check the path") from error


def _part(name: str, source: object, layer: str | None, min_rows: int, min_features: int) -> _Part:
    """Return a data set with the observations and features that pass the filters; its counts are read once."""
    adata = _opened(name, source) if isinstance(source, str | Path) else source
    if not isinstance(adata, ad.AnnData):
        remedy = 'pass one modality of it, such as mdata["rna"]'
        raise value_error(name, "an AnnData or a path", type(adata).__name__, remedy)
    if not adata.var_names.is_unique:
        twice = adata.var_names[adata.var_names.duplicated()].unique()
        raise value_error(
            name, "distinct feature names", f"duplicates {named(twice)}", "run .var_names_make_unique() first"
        )
    if layer is not None and layer not in adata.layers:
        known = [key for key in adata.layers.keys() if key is not None]
        raise value_error(name, f"a layer {layer!r}", f"layers {known}", "name another one, or none for X")
    index_n, n_obs_g = [np.zeros(0, dtype=np.int64)], np.zeros(adata.n_vars, dtype=np.int64)
    for start in range(0, adata.n_obs, _BLOCK):
        index_b = np.arange(start, min(start + _BLOCK, adata.n_obs))
        block = _read_observations(adata, layer, index_b)
        _check_counts(name, block.data)
        found = sp.csr_matrix(block > 0)
        kept_b = found.getnnz(axis=1) >= min_features
        index_n.append(index_b[kept_b])
        n_obs_g += found[kept_b].getnnz(axis=0)
    part = _Part(name, adata, layer, np.concatenate(index_n), n_obs_g >= min_rows)
    if not len(part.index_n) or not part.is_kept.any():
        found_text = f"{len(part.index_n)} observations and {part.is_kept.sum()} features"
        raise value_error(
            name, "observations and features after filtering", found_text, "lower min_features or min_rows"
        )
    return part


def _read_observations(adata: ad.AnnData, layer: str | None, index_b: np.ndarray) -> sp.csr_matrix:
    """Return the values of some observations."""
    values: Any = adata.X if layer is None else adata.layers[layer]
    return sp.csr_matrix(values[index_b])


def _check_counts(name: str, values: np.ndarray) -> None:
    """Raise if values are not raw counts."""
    if not np.isfinite(values).all() or (values < 0).any() or (values != np.round(values)).any():
        wanted, remedy = "raw counts (non-negative integers)", "name the layer that holds them"
        bad = values[~np.isfinite(values) | (values < 0) | (values != np.round(values))]
        raise value_error(name, wanted, f"values such as {bad[0]:g}", remedy)


def _joined_obs(parts: Sequence[_Part]) -> pd.DataFrame:
    """Return ``obs`` of all data sets, concatenated; a column that a set lacks is missing in its observations."""
    frames = [pd.DataFrame(part.adata.obs).iloc[part.index_n].assign(**{DATASET: part.name}) for part in parts]
    whole = pd.concat([_plain(frame) for frame in frames])
    if not whole.index.is_unique:
        whole.index = whole[DATASET].astype(str) + ":" + whole.index.astype(str)
    for column in filter(lambda name: pd.api.types.is_object_dtype(whole[name]), whole.columns):
        whole[column] = pd.Categorical(whole[column].map(str, na_action="ignore"))
    whole[DATASET] = pd.Categorical(whole[DATASET].astype(str), categories=[part.name for part in parts])
    return whole


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with categories and strings as objects, as their types may differ between data sets."""
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.astype(dict.fromkeys(texts, object))


def _write(path: Path, blocks: Iterator[sp.csr_matrix], obs: pd.DataFrame, table: pd.DataFrame) -> None:
    """Write an ``.h5ad`` file whose values are appended block by block."""
    if path.exists():
        raise value_error("path", "a new file", f"{str(path)!r}, which exists", "remove it or pass another")
    light = ad.AnnData(obs=obs, var=table[[]])
    light.varm[PROFILED] = table
    light.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        ad.io.write_elem(file, "X", next(blocks))
        values: Any = ad.io.sparse_dataset(file["X"])
        for block in blocks:
            values.append(block)
