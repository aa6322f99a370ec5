"""What users of neighbouring tools reported, asked of every family and head: the same contents in another form, other surroundings.

A form or a surrounding changes nothing of what the data say: the embedding must be that of the plain object, or one of our
sentences must come with the object unchanged. Numbers in comments are those of public reports, by tool.
"""

import asyncio
import copy
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anndata
import mudata
import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm import Classifier, Survival
from tests.hostile.judging import FINE, REGISTERED, RISKS, Fault, Verdict, _Said, _step, of_error, quietly
from tests.hostile.mutations import each
from tests.hostile.recipes import BASES, Recipe
from tests.objects import QUIET
from tests.test_contract import FAMILIES

TOLERANCE = 1e-4
"""Of numbers up to 1; relative to the largest above. Sums in another order, and trainings, round otherwise."""
Form = Callable[[Any, Path], Any]
Surrounding = Callable[[], Any]
Life = Callable[[Any, Any, Path], Any]
FORMS: dict[str, Form] = {}
"""The same contents in another form."""
SURROUNDINGS: dict[str, Surrounding] = {}
"""Context managers within which a model is made, trained, saved and loaded."""
LIVES: dict[str, Life] = {}
"""What happens to a trained model and its object; returns an embedding of the same observations."""
ASKED = [name for name in BASES if not name.startswith(("Toy", "ScMBERT, RNA"))]


def plain(family: str) -> Any:
    """A good object of a family."""
    return Recipe(family, 40, 0, (), "batch").build()


def made(family: str, data: Any) -> Any:
    return FAMILIES[family].model(data, FAMILIES[family].config, batch_key="batch")


def parts_of(data: Any) -> list[AnnData]:
    return list(data.mod.values()) if isinstance(data, MuData) else [data]


# ---- forms of values ------------------------------------------------------------------------------------------------


def of_x(change: Callable[[Any], Any]) -> Form:
    """Another form of all values, which a family of fractions or real values keeps as they are."""

    def form(data: Any, folder: Path) -> Any:
        for part in parts_of(data):
            part.X = change(part.X)
        return data

    return form


def only_whole(change: Callable[[np.ndarray], Any]) -> Callable[[Any], Any]:
    """A change of whole numbers; others stay."""

    def either(x: Any) -> Any:
        full = x.toarray() if sparse.issparse(x) else np.asarray(x)
        return change(full) if np.isfinite(full).all() and (full == full.round()).all() else x

    return either


def full(x: Any) -> np.ndarray:
    return x.toarray() if sparse.issparse(x) else np.array(x)


def read_only(x: Any) -> Any:
    x = x.copy()
    for array in (x.data, x.indices, x.indptr) if sparse.issparse(x) else (x,):
        array.flags.writeable = False
    return x


def wide(x: Any) -> Any:
    x = sparse.csr_matrix(x)
    x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    return x


def backwards(x: Any) -> Any:
    """Indices of each row in descending order, without saying so."""
    x = sparse.csr_matrix(x)
    for i in range(x.shape[0]):
        at = slice(x.indptr[i], x.indptr[i + 1])
        x.indices[at], x.data[at] = x.indices[at][::-1].copy(), x.data[at][::-1].copy()
    x.has_sorted_indices = True  # as files of other tools claim
    return x


def all_stored(x: Any) -> Any:
    """Every zero stored."""
    x = full(x)
    n, g = x.shape
    return sparse.csr_matrix((x.ravel(), np.tile(np.arange(g), n), np.arange(n + 1) * g), shape=(n, g))


def of_dask(x: Any) -> Any:
    import dask.array as da

    return da.from_array(full(x), chunks=(max(1, x.shape[0] // 3), x.shape[1]))


def of_sparse_dask(x: Any) -> Any:
    import dask.array as da

    return da.from_array(sparse.csr_matrix(x), chunks=(max(1, x.shape[0] // 3), x.shape[1]))


FORMS |= {
    f"X: {name}": of_x(change)
    for name, change in {
        "int64": only_whole(lambda x: x.astype(np.int64)),  # scvi-tools 1019
        "int32, sparse": only_whole(lambda x: sparse.csr_matrix(x.astype(np.int32))),
        "int8": only_whole(lambda x: x.astype(np.int8)),
        "uint16, sparse": only_whole(lambda x: sparse.csr_matrix(x.astype(np.uint16))),
        "float64": lambda x: x.astype(np.float64),
        "float64, dense": lambda x: full(x).astype(np.float64),
        "CSC": sparse.csc_matrix,
        "CSC array": sparse.csc_array,
        "CSR array": sparse.csr_array,  # scanpy 2428, anndata 1829
        "CSR array of 64 bits": lambda x: sparse.csr_array(wide(x)),
        "Fortran order": lambda x: np.asfortranarray(full(x)),
        "a view of strides": lambda x: np.repeat(full(x), 2, axis=1)[:, ::2],
        "read-only": read_only,  # joblib, zero-copy arrays
        "read-only, dense": lambda x: read_only(full(x)),
        "read-only, CSC": lambda x: read_only(sparse.csc_matrix(x)),
        "64-bit indices": wide,  # scanpy 3170
        "unsorted, said to be sorted": backwards,
        "zeros stored": all_stored,
        "dask": of_dask,
        "dask of CSR": of_sparse_dask,  # scanpy 2809
        "big-endian": lambda x: full(x).astype(">f4"),
    }.items()
}


def in_layer(data: Any, folder: Path) -> Any:
    for part in parts_of(data):
        part.layers["other"] = full(part.X) * 0
        part.raw = part[:, : max(1, part.n_vars // 2)].copy()
    return data


def memory_map(data: Any, folder: Path) -> Any:
    for i, part in enumerate(parts_of(data)):
        x = full(part.X)
        mapped = np.memmap(folder / f"{i}.bin", dtype=x.dtype, mode="w+", shape=x.shape)
        mapped[:] = x
        part.X = np.memmap(folder / f"{i}.bin", dtype=x.dtype, mode="r", shape=x.shape)
    return data


def written(data: Any, folder: Path) -> Path:
    at = folder / f"{len(list(folder.iterdir()))}"  # one that is open cannot be written again
    path = at.with_suffix(".h5mu" if isinstance(data, MuData) else ".h5ad")
    (mudata.write_h5mu if isinstance(data, MuData) else anndata.io.write_h5ad)(path, data)
    return path


def from_file(**how: Any) -> Form:
    def form(data: Any, folder: Path) -> Any:
        path = written(data, folder)
        return (mudata.read_h5mu if isinstance(data, MuData) else anndata.read_h5ad)(path, **how)

    return form


def from_zarr(data: Any, folder: Path) -> Any:
    at = folder / f"{len(list(folder.iterdir()))}.zarr"
    data.write_zarr(at)
    return (mudata.read_zarr if isinstance(data, MuData) else anndata.read_zarr)(at)


def sparse_in_zarr(data: Any, folder: Path) -> Any:
    import zarr

    for i, part in enumerate(parts_of(data)):
        group = zarr.open_group(folder / f"{i}.zarr", mode="w")
        anndata.io.write_elem(group, "x", sparse.csr_matrix(part.X))
        part.X = anndata.io.sparse_dataset(group["x"])
    return data


FORMS |= {
    "other layers and raw": in_layer,
    "a memory map": memory_map,
    "read back": from_file(),
    "read back, backed": from_file(backed="r"),
    "read back, backed to write": from_file(backed="r+"),
    "read back from zarr": from_zarr,
    "sparse in zarr": sparse_in_zarr,
}


# ---- forms of names -------------------------------------------------------------------------------------------------


def of_obs_names(change: Callable[[pd.Index], pd.Index]) -> Form:
    def form(data: Any, folder: Path) -> Any:
        for part in parts_of(data):
            part.obs.index = change(part.obs_names)
        if isinstance(data, MuData):
            obs = data.obs.set_axis(change(data.obs_names), axis=0)
            data = MuData(dict(data.mod))
            for column in obs:
                data.obs[column] = obs[column].reindex(data.obs_names)
        return data

    return form


def index_named(name: str) -> Form:
    def form(data: Any, folder: Path) -> Any:
        for part in (data, *parts_of(data)):
            part.obs.index.name = name
            part.var.index.name = name
        return data

    return form


def var_names_as(kind: Any) -> Form:
    def form(data: Any, folder: Path) -> Any:
        for part in parts_of(data):
            part.var.index = pd.Index(part.var_names, dtype=kind)
        return data

    return form


FORMS |= {
    "obs_names: string": of_obs_names(lambda i: i.astype("string")),
    "obs_names: string[pyarrow]": of_obs_names(lambda i: i.astype("string[pyarrow]")),
    "obs_names: categories": of_obs_names(lambda i: pd.CategoricalIndex(i)),
    "obs_names: str of pandas 3": of_obs_names(lambda i: i.astype(pd.StringDtype(na_value=np.nan))),
    "obs_names: with colons": of_obs_names(lambda i: pd.Index([f"a:{x}" for x in i])),
    "obs_names: numbers as text": of_obs_names(lambda i: pd.Index([str(int(x[4:])) for x in i])),
    "obs_names: long": of_obs_names(lambda i: pd.Index([x + "-" * 3000 for x in i])),
    "index named batch": index_named("batch"),
    "index named index": index_named("index"),
    "index named _index": index_named("_index"),
    "var_names: string[pyarrow]": var_names_as("string[pyarrow]"),
    "var_names: categories": var_names_as("category"),
}


# ---- forms of the batch column --------------------------------------------------------------------------------------


def of_batch(change: Callable[[pd.Series], Any]) -> Form:
    def form(data: Any, folder: Path) -> Any:
        data.obs["batch"] = change(data.obs["batch"].copy())
        return data

    return form


def _number(c: pd.Series) -> np.ndarray:
    return (c.astype(str) == "b1").to_numpy().astype(int)


FORMS |= {
    f"batch: {name}": of_batch(change)
    for name, change in {
        "objects": lambda c: c.astype(object),
        "numbers": _number,  # scvi-tools 3022, harmonypy 12
        "floats": lambda c: _number(c).astype(float),
        "float16": lambda c: _number(c).astype(np.float16),
        "bytes": lambda c: _number(c).astype(np.uint8),
        "booleans": lambda c: _number(c).astype(bool),
        "Int64": lambda c: pd.array(_number(c), dtype="Int64"),  # anndata 504
        "boolean": lambda c: pd.array(_number(c).astype(bool), dtype="boolean"),
        "string": lambda c: pd.array(c.astype(str), dtype="string"),
        "string[pyarrow]": lambda c: pd.array(c.astype(str), dtype="string[pyarrow]"),
        "dictionary of arrow": lambda c: _arrow(c),
        "ordered": lambda c: pd.Categorical(c, ["b0", "b1"], ordered=True),
        "the other order": lambda c: pd.Categorical(c, ["b1", "b0"]),
        "unused categories": lambda c: pd.Categorical(c, ["never", "b1", "b0", "neither"]),  # scib 379, harmonypy 12
        "number categories": lambda c: pd.Categorical(_number(c)),
        "float categories": lambda c: pd.Categorical(_number(c).astype(float)),
        "string categories": lambda c: pd.Categorical(pd.array(c.astype(str), dtype="string[pyarrow]")),
        "numpy texts": lambda c: each(len(c), *[np.str_(x) for x in c.astype(str)]),
        "dates": lambda c: pd.to_datetime("2020-01-01") + pd.to_timedelta(_number(c), unit="D"),
        "intervals": lambda c: pd.cut(_number(c), [-1, 0, 1]),
        "sparse": lambda c: pd.arrays.SparseArray(_number(c)),
        "texts with spaces": lambda c: [f" {x} : ä/" for x in c],
    }.items()
}


def _arrow(c: pd.Series) -> Any:
    import pyarrow as pa

    return pd.array(c.astype(str), dtype=pd.ArrowDtype(pa.string()))


# ---- what else an object holds --------------------------------------------------------------------------------------


def beside(add: Callable[[Any], None]) -> Form:
    def form(data: Any, folder: Path) -> Any:
        add(data)
        return data

    return form


def _columns(data: Any) -> None:
    data.obs[0] = 1
    data.obs[("a", "b")] = 2
    data.obs["lists"] = each(data.n_obs, [1], {"a": {1, 2}})
    data.obs["a column/with ä"] = pd.array(each(data.n_obs, True, None), dtype="boolean")


def _tables(data: Any) -> None:
    data.obsm["table"] = pd.DataFrame({"a": np.arange(data.n_obs)}, index=data.obs_names)
    data.obsm["sparse"] = sparse.csr_matrix(np.eye(data.n_obs, 3))
    data.obsp["graph"] = sparse.eye(data.n_obs, format="csr")
    data.uns["table"] = pd.DataFrame({"x": [1]})
    data.uns["function"] = len


def _colours(data: Any) -> None:
    """More colours than categories: what scanpy leaves."""
    data.uns["batch_colors"] = ["#fff"] * 7
    data.uns["log1p"] = {"base": None}


def _identifiers(data: Any) -> None:
    """Identifiers of another object, as anndata.concat(uns_merge=...) and adata.uns.copy() leave them."""
    data.uns["_scvi_uuid"] = _registered_uuid()
    data.uns["_scvi_manager_uuid"] = "another"


@cache
def _registered_uuid() -> str:
    other = plain("TxFM")
    made("TxFM", other)
    return str(other.uns["_scvi_uuid"])


class OwnAnnData(AnnData):
    """A subclass, as other packages have."""


class OwnMuData(MuData):
    """The same of a MuData."""


def subclass(data: Any, folder: Path) -> Any:
    if isinstance(data, MuData):
        return OwnMuData(dict(data.mod), obs=data.obs, var=data.var, obsmap=dict(data.obsmap), varmap=dict(data.varmap))
    return OwnAnnData(data.X, obs=data.obs, var=data.var)


FORMS |= {
    "strange columns": beside(_columns),
    "tables in obsm and uns": beside(_tables),
    "colours": beside(_colours),
    "identifiers of another object": beside(_identifiers),
    "a subclass": subclass,
    "copied": lambda d, f: d.copy(),
    "pickled": lambda d, f: d if isinstance(d, MuData) else pickle.loads(pickle.dumps(d)),  # mudata 0.4 pickles none
    "deeply copied": lambda d, f: d if isinstance(d, MuData) else copy.deepcopy(d),
}


# ---- forms of a MuData ----------------------------------------------------------------------------------------------


def of_mudata(change: Callable[[MuData], Any]) -> Form:
    def form(data: Any, folder: Path) -> Any:
        return change(data) if isinstance(data, MuData) else data

    return form


def _pulled(data: MuData) -> MuData:
    for part in data.mod.values():
        part.obs["n"] = 1
    data.pull_obs()
    data.push_obs(["batch"])
    data.update()
    return data


def _subset(data: MuData) -> MuData:
    """obsmap after subsetting twice, back to all."""
    order = np.random.default_rng(0).permutation(data.n_obs)
    return data[order].copy()[np.argsort(order)].copy()


def _common_features(data: MuData) -> MuData:
    """RNA and protein with a feature of one name."""
    for part in data.mod.values():
        part.var_names = ["TP53", *part.var_names[1:]]
    return data


def _batch_in_parts(data: MuData) -> MuData:
    for part in data.mod.values():
        part.obs["batch"] = data.obs["batch"].reindex(part.obs_names).to_numpy()
    del data.obs["batch"]
    return data


FORMS |= {
    "MuData: pulled and pushed": of_mudata(_pulled),  # mudata 2
    "MuData: subset": of_mudata(_subset),
    "MuData: updated twice": of_mudata(lambda d: (d.update(), d.update(), d)[-1]),
    "MuData: batch in modalities": of_mudata(_batch_in_parts),
    "MuData: with categories in parts": of_mudata(lambda d: _categories(_batch_in_parts(d))),
}


def _categories(data: MuData) -> MuData:
    for i, part in enumerate(data.mod.values()):
        part.obs["batch"] = pd.Categorical(part.obs["batch"], ["b0", "b1"] if i % 2 else ["b1", "never", "b0"])
    return data


# ---- surroundings ---------------------------------------------------------------------------------------------------


@contextmanager
def setting(set_it: Callable[[Any], Any], value: Any, before: Any) -> Iterator[None]:
    set_it(value)
    try:
        yield
    finally:
        set_it(before)


@contextmanager
def option(settings: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(settings, name)
    setattr(settings, name, value)
    try:
        yield
    finally:
        setattr(settings, name, before)


def _warnings_as_errors() -> Any:
    import warnings

    @contextmanager
    def within() -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield

    return within()


def _scvi(name: str, value: Any) -> Any:
    import scvi

    return option(scvi.settings, name, value)


@contextmanager
def _no_streams() -> Iterator[None]:
    """Standard streams that are closed or missing, as in a service."""
    import sys

    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = None
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def _no_folder() -> Iterator[None]:
    """The working directory was removed."""
    import tempfile

    before = os.getcwd()
    gone = tempfile.mkdtemp()
    os.chdir(gone)
    os.rmdir(gone)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _read_only_folder() -> Iterator[None]:
    before = os.getcwd()
    os.chdir("/proc")
    try:
        yield
    finally:
        os.chdir(before)


SURROUNDINGS |= {
    "float64 by default": lambda: setting(torch.set_default_dtype, torch.float64, torch.float32),
    "bfloat16 by default": lambda: setting(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "float16 by default": lambda: setting(torch.set_default_dtype, torch.float16, torch.float32),
    "device by default": lambda: torch.device("cpu"),
    "meta device by default": lambda: torch.device("meta"),
    "deterministic algorithms": lambda: setting(torch.use_deterministic_algorithms, True, False),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "detecting anomalies": lambda: torch.autograd.detect_anomaly(check_nan=True),
    "numpy raises": lambda: np.errstate(all="raise"),
    "warnings are errors": _warnings_as_errors,
    "pandas infers strings": lambda: pd.option_context("future.infer_string", True),
    "pandas copies on write": lambda: pd.option_context("mode.copy_on_write", True),
    "anndata keeps unused categories": lambda: option(anndata.settings, "remove_unused_categories", False),
    "anndata gives sparse arrays": lambda: option(anndata.settings, "use_sparse_array_on_read", True),
    "mudata pulls": lambda: option(mudata.settings, "pull_on_update", True),
    "scvi's seed": lambda: _scvi("seed", 3),
    "scvi's batch_size": lambda: _scvi("batch_size", 7),
    "scvi's workers": lambda: _scvi("dl_num_workers", 2),
    "no standard streams": _no_streams,
    "no working directory": _no_folder,
    "a working directory that cannot be written": _read_only_folder,
}


# ---- lives of a model -----------------------------------------------------------------------------------------------


def saved_at(name: str) -> Life:
    def life(model: Any, data: Any, folder: Path) -> Any:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
        return type(model).load(path, data).get_latent_representation()

    return life


def _os_path(model: Any, data: Any, folder: Path) -> Any:
    class OwnPath(os.PathLike):  # type: ignore[type-arg]
        def __fspath__(self) -> str:
            return str(folder / "own")

    model.save(OwnPath())
    return type(model).load(OwnPath(), data).get_latent_representation()


def _over_itself(model: Any, data: Any, folder: Path) -> Any:
    model.save(folder / "m")
    loaded = type(model).load(folder / "m", data)
    loaded.save(folder / "m", overwrite=True)
    (folder / "link").symlink_to(folder / "m")
    type(model).load(folder / "link", data).save(folder / "link", overwrite=True)
    return type(model).load(folder / "m", data).get_latent_representation()


def _in_thread(model: Any, data: Any, folder: Path) -> Any:
    found: list[Any] = []

    def act() -> None:
        try:
            found.append(model.get_latent_representation())
        except BaseException as error:  # noqa: BLE001 - raised where it is asked for
            found.append(error)

    threads = [threading.Thread(target=act) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found[-1]


def _in_loop(model: Any, data: Any, folder: Path) -> Any:
    async def act() -> Any:
        made_in = type(model)(data.copy(), model.config, batch_key="batch")
        made_in.train(1, **QUIET)
        return made_in.get_latent_representation()

    return asyncio.run(act())


def _pickled(model: Any, data: Any, folder: Path) -> Any:
    return pickle.loads(pickle.dumps(model)).get_latent_representation()


def _torch_saved(model: Any, data: Any, folder: Path) -> Any:
    torch.save(model, folder / "model.pt")
    return torch.load(folder / "model.pt", weights_only=False).get_latent_representation()


def _copied(model: Any, data: Any, folder: Path) -> Any:
    """A copy is trained on; the model must not notice."""
    before_nd = model.get_latent_representation()
    other = copy.deepcopy(model)
    other.train(1, **QUIET)
    return model.get_latent_representation() if np.isfinite(before_nd).all() else None


def _subset_of_copy(model: Any, data: Any, folder: Path) -> Any:
    """scvi-tools 1409: a subset that is copied carries the identifiers of the whole."""
    half = data[np.arange(data.n_obs) % 2 == 0].copy()
    rest = data[np.arange(data.n_obs) % 2 == 1].copy()
    z_nd = np.empty_like(model.get_latent_representation())
    z_nd[::2], z_nd[1::2] = model.get_latent_representation(half), model.get_latent_representation(rest)
    return z_nd


def _concatenated(model: Any, data: Any, folder: Path) -> Any:
    """Two registered objects, put together with all that .uns holds."""
    if isinstance(data, MuData):
        return _subset_of_copy(model, data, folder)
    first, second = data[:17].copy(), data[17:].copy()
    made_of = type(model)(first, model.config, batch_key="batch")
    made_of.get_latent_representation(second)
    whole = anndata.concat([first, second], uns_merge="first", merge="first")
    return model.get_latent_representation(whole)


def _second_model(model: Any, data: Any, folder: Path) -> Any:
    """Another model of the object, set up with another column."""
    data.obs["other"] = [f"o{i % 2}" for i in range(data.n_obs)]
    type(model).setup_mudata(data, batch_key="other") if isinstance(data, MuData) else type(model).setup_anndata(
        data, batch_key="other"
    )
    other = type(model)(data, model.config)
    other.train(1, **QUIET)
    return model.get_latent_representation()


def _renamed_observations(model: Any, data: Any, folder: Path) -> Any:
    if isinstance(data, AnnData):
        data.obs_names = [f"x{name}" for name in data.obs_names]
    return model.get_latent_representation()


def _without_uns(model: Any, data: Any, folder: Path) -> Any:
    """scvelo 204 and others clear .uns."""
    data.uns.clear()
    return model.get_latent_representation()


def _no_batch_column(model: Any, data: Any, folder: Path) -> Any:
    query = data.copy()
    del query.obs["batch"]
    return model.get_latent_representation(query)


def _other_batches(model: Any, data: Any, folder: Path) -> Any:
    query = data.copy()
    query.obs["batch"] = pd.Categorical(query.obs["batch"].astype(str), ["b1", "new", "b0"])
    return model.get_latent_representation(query)


def _permuted_features(model: Any, data: Any, folder: Path) -> Any:
    query = data.copy()
    if isinstance(query, MuData):
        return model.get_latent_representation(
            MuData({n: p[:, np.random.default_rng(0).permutation(p.n_vars)].copy() for n, p in query.mod.items()})[
                data.obs_names
            ].copy()
        )
    return model.get_latent_representation(query[:, np.random.default_rng(0).permutation(query.n_vars)].copy())


def _more_features(model: Any, data: Any, folder: Path) -> Any:
    def wider(part: AnnData) -> AnnData:
        others = AnnData(
            np.ones((part.n_obs, 3), np.float32), obs=part.obs, var=pd.DataFrame(index=["odd1", "odd2", "odd3"])
        )
        return anndata.concat([part, others], axis=1, merge="first")

    if type(model).__name__ == "IsoFormer":  # its columns are the targets
        return model.get_latent_representation()
    if isinstance(data, MuData):
        query = MuData({n: wider(p) for n, p in data.mod.items()})
        return model.get_latent_representation(query[data.obs_names].copy())
    return model.get_latent_representation(wider(data))


def _other_threads(model: Any, data: Any, folder: Path) -> Any:
    torch.set_num_threads(2)
    z_nd = model.get_latent_representation()
    torch.set_num_threads(1)
    return z_nd


def _moved(model: Any, data: Any, folder: Path) -> Any:
    model.to_device("cpu")
    model.module.train()
    z_nd = model.get_latent_representation()
    model.module.eval()
    return z_nd


def _odd_batches(model: Any, data: Any, folder: Path) -> Any:
    """scvi-tools 426, 2314, 3035: a last minibatch of one observation, and minibatches of one."""
    for size in (1, 13, 39):
        fresh = type(model)(data.copy(), model.config, batch_key="batch")
        fresh.train(1, **{**QUIET, "batch_size": size}, train_size=1.0)
        if not np.isfinite(fresh.get_latent_representation()).all():
            raise Fault("NaN", f"minibatches of {size}")
    return model.get_latent_representation()


def _single(model: Any, data: Any, folder: Path) -> Any:
    """scvi-tools 681: a batch of one observation."""
    other = data.copy()
    other.obs["batch"] = ["alone", *["b0"] * (other.n_obs - 1)]
    fresh = type(model)(other, model.config, batch_key="batch")
    fresh.train(1, **QUIET)
    if not np.isfinite(fresh.get_latent_representation()).all():
        raise Fault("NaN", "a batch of one observation")
    return model.get_latent_representation()


def _frozen_arrays(model: Any, data: Any, folder: Path) -> Any:
    """What is given back can be written into without changing what comes next."""
    z_nd = model.get_latent_representation()
    z_nd[:] = 0
    return model.get_latent_representation()


LIVES |= {
    "saved with spaces and ä": saved_at("my models/Modell ä, 漢字 (1)"),
    "saved deep": saved_at("/".join(["deep"] * 20)),
    "saved as x.pt": saved_at("x.pt"),
    "saved as a long name": saved_at("n" * 250),
    "saved under a dot": saved_at(".hidden"),
    "saved by a path of one's own": _os_path,
    "saved over itself": _over_itself,
    "pickled": _pickled,
    "saved by torch": _torch_saved,
    "deeply copied, and the copy trained": _copied,
    "in threads": _in_thread,
    "in a running loop": _in_loop,
    "halves that were copied": _subset_of_copy,
    "concatenated with uns": _concatenated,
    "a second model of another column": _second_model,
    "observations renamed": _renamed_observations,
    "uns cleared": _without_uns,
    "query without the batch column": _no_batch_column,
    "query with other categories": _other_batches,
    "query with permuted features": _permuted_features,
    "query with more features": _more_features,
    "another number of threads": _other_threads,
    "left in training mode": _moved,
    "minibatches of one": _odd_batches,
    "a batch of one observation": _single,
    "what was returned, overwritten": _frozen_arrays,
}


# ---- judging --------------------------------------------------------------------------------------------------------


@cache
def reference(family: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """A trained model of a plain object, its embedding before the training and after."""
    model = made(family, plain(family))
    before_nd = model.get_latent_representation()
    model.train(1, **QUIET)
    return model, before_nd, model.get_latent_representation()


@cache
def heads(family: str) -> tuple[np.ndarray, np.ndarray]:
    """Of heads of that model, probabilities of labels and risks."""
    return _of_heads(reference(family)[0])


def _of_heads(model: Any) -> tuple[np.ndarray, np.ndarray]:
    classifier = Classifier.from_model(model, "label")
    classifier.train()
    survival = Survival.from_model(model, "time", "died", config=RISKS)
    survival.train(progress_bar=False, accelerator="cpu", batch_size=32)
    return classifier.predict(soft=True).to_numpy(), survival.predict().to_numpy()


def close(stage: str, found: Any, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    if not isinstance(found, np.ndarray) or found.shape != expected.shape:
        raise Fault("wrong shape", f"{stage} | {getattr(found, 'shape', found)} for {expected.shape}")
    most = max(1.0, float(np.abs(expected).max(initial=0)))
    off = float(np.abs(found - expected).max(initial=0))
    if not off <= tolerance * most:
        raise Fault("order-dependent", stage, f"off by {off:.3g} of {most:.3g}")


def form_judged(family: str, name: str, folder: Path, _: bool) -> None:
    """The object in another form: embedded by the model of the plain one, and a model of its own made of it."""
    model, before_nd, after_nd = reference(family)
    try:
        data = FORMS[name](plain(family), folder)
    except Exception as error:
        raise _Said(Verdict("no object", f"{type(error).__name__}", str(error)[:100])) from error
    z_nd = _step(f"embedded, {name}", data, lambda: model.get_latent_representation(data), REGISTERED)
    close(f"embedded, {name}", z_nd, after_nd)
    try:
        data = FORMS[name](plain(family), folder)
    except Exception as error:
        raise _Said(Verdict("no object", f"{type(error).__name__}", str(error)[:100])) from error
    own = _step(f"made, {name}", data, lambda: made(family, data), REGISTERED)
    close(f"made, {name}", own.get_latent_representation(), before_nd, 1e-3)


def surrounding_judged(family: str, name: str, folder: Path, with_heads: bool) -> None:
    """All of a model's life within other surroundings."""
    _, before_nd, after_nd = reference(family)
    expected_heads = heads(family) if with_heads else None
    data = plain(family)
    with SURROUNDINGS[name]():
        model = _step(f"made, {name}", data, lambda: made(family, data), REGISTERED)
        first_nd = _step(f"embedded, {name}", data, model.get_latent_representation)
        _step(f"trained, {name}", data, lambda: model.train(1, **QUIET), (model.embedding_key,))
        second_nd = _step(f"embedded again, {name}", data, model.get_latent_representation)
        _step(f"saved, {name}", data, lambda: model.save(folder / "m"))
        loaded = _step(f"loaded, {name}", data, lambda: type(model).load(folder / "m", data), REGISTERED)
        third_nd = _step(f"embedded by loaded, {name}", data, loaded.get_latent_representation)
        found_heads = _step(f"heads, {name}", data, lambda: _of_heads(model)) if with_heads else None
    loose = 0.02 if "16" in name or "autocast" in name else 1e-3
    close(f"made, {name}", first_nd, before_nd, 1e-3)
    close(f"loaded, {name}", third_nd, second_nd)
    close(f"trained, {name}", second_nd, after_nd, loose)
    for found, expected in zip(found_heads or (), expected_heads or (), strict=True):
        close(f"heads, {name}", found, expected, 0.02)


def life_judged(family: str, name: str, folder: Path, _: bool) -> None:
    """What happens to a model: the embedding stays."""
    model, _, after_nd = reference(family)
    try:
        found = LIVES[name](model, model.adata, folder)
    except Exception as error:
        if isinstance(error, Fault):
            raise
        verdict = of_error(error, name)
        if verdict.is_fault:
            raise Fault(verdict.kind, verdict.key.split(" | ", 1)[1], verdict.text) from error
        raise _Said(verdict) from error
    close(name, found, after_nd)


KINDS = {"form": (FORMS, form_judged), "surrounding": (SURROUNDINGS, surrounding_judged), "life": (LIVES, life_judged)}


def neighbour_judged(family: str, kind: str, name: str, folder: Path, with_heads: bool = False) -> Verdict:
    """Judge one case of a family; with its heads, if asked, in other surroundings."""
    with quietly():
        try:
            KINDS[kind][1](family, name, folder, with_heads)
        except Fault as fault:
            return fault.verdict
        except _Said as said:
            return said.verdict
    return Verdict(FINE)
