"""What is done to a good object to make it hostile; each by a name, which a failure is reported by."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

Random = np.random.Generator
Mutation = Callable[[Any, Random], Any]
VALUES: dict[str, Mutation] = {}
NAMES: dict[str, Mutation] = {}
COLUMNS: dict[str, Mutation] = {}
STRUCTURE: dict[str, Mutation] = {}
SEQUENCES: dict[str, Mutation] = {}


def dense(adata: AnnData) -> np.ndarray:
    return adata.X.toarray() if sparse.issparse(adata.X) else np.array(adata.X)


def a_part(data: Any, rng: Random) -> tuple[str | None, AnnData]:
    if isinstance(data, AnnData):
        return None, data
    name = list(data.mod)[int(rng.integers(len(data.mod)))]
    return name, data[name]


def put(data: Any, name: str | None, part: AnnData) -> Any:
    """The object with another part."""
    if name is None:
        return part
    return whole({m: part if m == name else other for m, other in data.mod.items()}, data.obs)


def whole(parts: dict[str, Any], obs: pd.DataFrame, **how: Any) -> MuData:
    made = MuData(parts, **how)
    for column in ("type", "batch", "label", "time", "died"):
        if column in obs:
            made.obs[column] = obs[column].reindex(made.obs_names) if obs.index.is_unique else obs[column].iloc[0]
    return made


# ---- values -------------------------------------------------------------------------------------------------------


def of_values(change: Callable[[np.ndarray, Random], Any]) -> Mutation:
    def mutate(data: Any, rng: Random) -> Any:
        name, part = a_part(data, rng)
        part = part.copy()
        part.X = change(dense(part), rng)
        return put(data, name, part)

    return mutate


def some(x: np.ndarray, rng: Random, value: float, kind: Any = None) -> np.ndarray:
    x = x.astype(kind or x.dtype)
    at = rng.integers(0, x.size, 3) if x.size else []
    x.flat[at] = value
    return x


def first_rows(x: np.ndarray, n: int) -> np.ndarray:
    return x[np.arange(len(x)) % n] if len(x) else x


def unsorted(x: np.ndarray, rng: Random) -> sparse.csr_matrix:
    made = sparse.csr_matrix(x)
    for i in range(made.shape[0]):
        at = slice(made.indptr[i], made.indptr[i + 1])
        made.indices[at], made.data[at] = made.indices[at][::-1].copy(), made.data[at][::-1].copy()
    made.has_sorted_indices = False
    return made


def repeated(x: np.ndarray, rng: Random) -> sparse.csr_matrix:
    """Each entry stored as two that add up to it."""
    made = sparse.csr_matrix(x)
    indices, values = np.repeat(made.indices, 2), np.repeat(made.data, 2)
    values[::2], values[1::2] = made.data - 1, 1
    return sparse.csr_matrix((values, indices, 2 * made.indptr), shape=x.shape)


def wrong_index(index: int) -> Callable[[np.ndarray, Random], Any]:
    def change(x: np.ndarray, rng: Random) -> sparse.csr_matrix:
        made = sparse.csr_matrix(x)
        if made.nnz:
            made.indices[made.nnz // 2] = index
        return made

    return change


def stored_zeros(x: np.ndarray, rng: Random) -> sparse.csr_matrix:
    made = sparse.csr_matrix(x)
    made.data[::3] = 0
    return made


def lazily(x: np.ndarray, rng: Random) -> Any:
    import dask.array as da

    return da.from_array(x, chunks=(max(1, len(x) // 2), x.shape[1]))


VALUES |= {
    name: of_values(change)
    for name, change in {
        "NaN": lambda x, r: some(x, r, np.nan),
        "NaN everywhere": lambda x, r: np.full_like(x, np.nan),
        "infinity": lambda x, r: some(x, r, np.inf),
        "minus infinity": lambda x, r: some(x, r, -np.inf),
        "1e39": lambda x, r: some(x, r, 1e39, float),
        "1e200": lambda x, r: some(x, r, 1e200, float),
        "1e200, sparse": lambda x, r: sparse.csr_matrix(some(x, r, 1e200, float)),
        "3e38": lambda x, r: some(x, r, 3e38),
        "negative": lambda x, r: some(x, r, -1),
        "one half": lambda x, r: some(x, r, 0.5),
        "2 ** 40, whole": lambda x, r: some(np.nan_to_num(x), r, 2**40, np.int64),
        "tiny": lambda x, r: (x * 1e-40).astype(np.float32),
        "float16": lambda x, r: x.astype(np.float16),
        "float16, sparse": lambda x, r: sparse.csr_matrix(x.astype(np.float32)).astype(np.float16),
        "float128": lambda x, r: x.astype(np.longdouble),
        "booleans": lambda x, r: np.nan_to_num(x) > 0,
        "bytes": lambda x, r: np.clip(np.nan_to_num(x), 0, 255).astype(np.uint8),
        "uint64": lambda x, r: np.abs(np.nan_to_num(x)).astype(np.uint64),
        "objects": lambda x, r: x.astype(object),
        "texts": lambda x, r: x.astype(str),
        "complex": lambda x, r: x.astype(complex),
        "CSC": lambda x, r: sparse.csc_matrix(x),
        "a sparse array": lambda x, r: sparse.csr_array(x),
        "Fortran order": lambda x, r: np.asfortranarray(x),
        "big-endian": lambda x, r: x.astype(">f4"),
        "not contiguous": lambda x, r: np.repeat(x, 2, axis=1)[:, ::2],
        "masked": lambda x, r: np.ma.masked_less(x, 1),
        "dask": lazily,
        "unsorted indices": unsorted,
        "repeated entries": repeated,
        "stored zeros": stored_zeros,
        "64-bit indices": lambda x, r: _wide(sparse.csr_matrix(x)),
        "all zero": lambda x, r: np.zeros_like(x),
        "all one": lambda x, r: np.ones_like(x),
        "empty rows": lambda x, r: x * (np.arange(len(x)) % 2)[:, None],
        "three distinct rows": lambda x, r: first_rows(x, 3),
        "one distinct row": lambda x, r: first_rows(x, 1),
        "repeated features": lambda x, r: x[:, np.arange(x.shape[1]) % 3],
        "constant features": lambda x, r: np.where(np.arange(x.shape[1]) % 2, x, 1).astype(x.dtype),
        "rank one": lambda x, r: np.outer(np.arange(len(x)) % 5, np.arange(x.shape[1]) % 4).astype(x.dtype),
        "one entry": lambda x, r: np.eye(*x.shape, dtype=x.dtype) * (np.arange(len(x)) == 0)[:, None],
        "logged": lambda x, r: np.log1p(np.abs(x)),
        "percent": lambda x, r: np.clip(x, 0, 100) * 100,
    }.items()
}
UNSAFE: dict[str, Mutation] = {
    f"column index {index}": of_values(wrong_index(index)) for index in (1000, -1, 2**31 - 1, -(2**31))
}
"""Those that compiled code may crash on: only for a process of their own."""


def _wide(x: sparse.csr_matrix) -> sparse.csr_matrix:
    x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    return x


# ---- names --------------------------------------------------------------------------------------------------------


def of_names(axis: str, change: Callable[[list[str]], list[Any]]) -> Mutation:
    def mutate(data: Any, rng: Random) -> Any:
        name, part = a_part(data, rng)
        part = part.copy()
        table = getattr(part, axis)
        table.index = pd.Index(change(list(table.index)))
        return put(data, name, part)

    return mutate


NAMES |= {
    "duplicate features": of_names("var", lambda names: [names[0], *names[:-1]]),
    "features of one name": of_names("var", lambda names: ["x"] * len(names)),
    "duplicate rows": of_names("obs", lambda names: [names[0], *names[:-1]]),
    "rows of another lane": of_names("obs", lambda names: [f"{name}-1" for name in names]),
    "features by number": of_names("var", lambda names: list(range(len(names)))),
    "rows by number": of_names("obs", lambda names: list(range(len(names)))),
    "features named nan": of_names("var", lambda names: ["nan", "", *names[2:]]),
    "features with strange letters": of_names("var", lambda names: [f"{name}\n/é\0" for name in names]),
    "other features": of_names("var", lambda names: [f"other{i}" for i in range(len(names))]),
}


# ---- columns of obs -------------------------------------------------------------------------------------------------


def of_column(key: str, change: Callable[[pd.Series, Random], Any]) -> Mutation:
    def mutate(data: Any, rng: Random) -> Any:
        data.obs[key] = change(data.obs[key].copy(), rng)
        return data

    return mutate


def each(n: int, *values: Any) -> pd.Series:
    made = np.empty(n, dtype=object)
    for i in range(n):
        made[i] = values[i % len(values)]
    return made


CHANGES: dict[str, Callable[[pd.Series, Random], Any]] = {
    "half missing": lambda c, r: c.where(np.arange(len(c)) % 2 == 0),
    "all missing": lambda c, r: np.full(len(c), np.nan),
    "missing as text": lambda c, r: each(len(c), "a", "b", "nan", "NA", "None", "", "<NA>"),
    "pandas NA": lambda c, r: pd.array(each(len(c), "a", "b", pd.NA), dtype="string"),
    "1 and 1.0": lambda c, r: each(len(c), 1, 1.0, "1", 2, True),
    "one value": lambda c, r: ["same"] * len(c),
    "all distinct": lambda c, r: [f"v{i}" for i in range(len(c))],
    "numbers": lambda c, r: np.arange(len(c)) % 3,
    "floats": lambda c, r: (np.arange(len(c)) % 3) / 3,
    "infinite": lambda c, r: np.where(np.arange(len(c)) % 3, 1.0, np.inf),
    "booleans": lambda c, r: np.arange(len(c)) % 2 == 0,
    "nullable booleans": lambda c, r: pd.array(each(len(c), True, False, pd.NA), dtype="boolean"),
    "dates": lambda c, r: pd.to_datetime("2020-01-01") + pd.to_timedelta(np.arange(len(c)) % 3, unit="D"),
    "tuples": lambda c, r: each(len(c), ("a", 1), ("b", 2), ("c", 3)),
    "lists": lambda c, r: each(len(c), ["a"], ["b"]),
    "unused categories": lambda c, r: c.astype("category").cat.add_categories(["never"]),
    "number categories": lambda c, r: pd.Categorical(np.arange(len(c)) % 2, categories=[1, 0]),
    "other values": lambda c, r: [f"renamed {value}" for value in c],
    "rare values": lambda c, r: ["rare" if i == 0 else "usual" if i % 2 else "other" for i in range(len(c))],
    "negative": lambda c, r: -np.arange(len(c), dtype=float),
    "zero": lambda c, r: np.zeros(len(c)),
    "ones": lambda c, r: np.ones(len(c)),
    "whole years": lambda c, r: 1.0 + np.arange(len(c)) % 3,
    "one event": lambda c, r: (np.arange(len(c)) == 3).astype(int),
    "yes and no": lambda c, r: each(len(c), "yes", "no"),
}
COLUMNS |= {
    f"{key}: {name}": of_column(key, change)
    for key in ("batch", "label", "time", "died")
    for name, change in CHANGES.items()
}


def without(key: str) -> Mutation:
    def mutate(data: Any, rng: Random) -> Any:
        del data.obs[key]
        return data

    return mutate


def twice(data: Any, rng: Random) -> Any:
    part = data if isinstance(data, AnnData) else next(iter(data.mod.values()))
    obs = part.obs if isinstance(data, MuData) else data.obs
    if "batch" in obs:
        part.obs = pd.concat([obs, obs[["batch"]]], axis=1)
    return data


COLUMNS |= {"no batch": without("batch"), "batch twice": twice}


# ---- the object as a whole --------------------------------------------------------------------------------------------


def rows(choose: Callable[[int], Any], copied: bool = True) -> Mutation:
    def mutate(data: Any, rng: Random) -> Any:
        found = data[choose(data.n_obs)]
        return found.copy() if copied else found

    return mutate


def features(choose: Callable[[int], Any]) -> Mutation:
    def mutate(data: Any, rng: Random) -> Any:
        name, part = a_part(data, rng)
        return put(data, name, part[:, choose(part.n_vars)].copy())

    return mutate


def with_raw(data: Any, rng: Random) -> Any:
    _, part = a_part(data, rng)
    part.raw = part.copy()
    return data


def with_alias(data: Any, rng: Random) -> Any:
    _, part = a_part(data, rng)
    part.layers["counts"] = part.X
    return data


def without_x(data: Any, rng: Random) -> Any:
    name, part = a_part(data, rng)
    made = AnnData(None, obs=part.obs.copy(), var=part.var.copy(), layers={"counts": part.X})
    return put(data, name, made)


def with_profiled(values: Callable[[int], Any]) -> Mutation:
    def mutate(data: Any, rng: Random) -> Any:
        _, part = a_part(data, rng)
        part.varm["profiled"] = values(part.n_vars)
        return data

    return mutate


def with_embedding(data: Any, rng: Random) -> Any:
    for key in ("X_omics", "X_scmbert", "X_mojo", "X_txfm", "X_isoformer"):
        data.obsm[key] = np.full((data.n_obs, 3), "text")
    return data


def with_uns(data: Any, rng: Random) -> Any:
    data.uns["nested"] = {"a": {"b": [1, np.arange(3)]}, 1: (2,)}
    data.uns["_scvi_uuid"] = "an identifier that nobody knows"
    data.uns["_scvi_manager_uuid"] = "another"
    return data


def along_observations(data: Any, rng: Random) -> Any:
    """Groups of cells over the same features."""
    _, part = a_part(data, rng)
    half = part.n_obs // 2
    return whole({"donor1": part[:half].copy(), "donor2": part[half:].copy()}, data.obs, axis=1)


def nested(data: Any, rng: Random) -> Any:
    if isinstance(data, AnnData):
        return whole({"outer": MuData({"rna": data})}, data.obs)
    return whole({"outer": MuData(dict(data.mod)), "other": next(iter(data.mod.values())).copy()}, data.obs)


def as_mudata(names: list[str]) -> Mutation:
    def mutate(data: Any, rng: Random) -> Any:
        parts = {"rna": data} if isinstance(data, AnnData) else dict(data.mod)
        return whole(dict(zip([*names, *parts], parts.values(), strict=False)), data.obs)

    return mutate


def no_shared_rows(data: Any, rng: Random) -> Any:
    if isinstance(data, AnnData):
        return data
    parts = {}
    for name, part in data.mod.items():
        parts[name] = part.copy()
        parts[name].obs_names = [f"{row}-{name}" for row in part.obs_names]
    made = MuData(parts)
    for column in ("batch", "label", "time", "died", "type"):
        if column in data.obs:
            made.obs[column] = np.resize(data.obs[column].to_numpy(), made.n_obs)
    return made


def an_empty_modality(data: Any, rng: Random) -> Any:
    name, part = a_part(data, rng)
    return put(data, name, part[:0].copy())


def not_updated(data: Any, rng: Random) -> Any:
    """A modality that lost rows after the whole was made."""
    if isinstance(data, MuData):
        name = next(iter(data.mod))
        data.mod[name] = data.mod[name][5:].copy()
    return data


STRUCTURE |= {
    "no observation": rows(lambda n: slice(0, 0)),
    "one observation": rows(lambda n: slice(0, 1)),
    "two observations": rows(lambda n: slice(0, 2)),
    "five observations": rows(lambda n: slice(0, 5)),
    "a view": rows(lambda n: np.arange(n) % 3 > 0, copied=False),
    "a view of repeated rows": rows(lambda n: np.arange(n) // 2, copied=False),
    "no feature": features(lambda g: slice(0, 0)),
    "one feature": features(lambda g: slice(0, 1)),
    "two features": features(lambda g: slice(0, 2)),
    "raw": with_raw,
    "a layer that is X": with_alias,
    "no X": without_x,
    "nothing profiled": with_profiled(lambda g: np.zeros((g, 1), dtype=bool)),
    "profiled as numbers": with_profiled(lambda g: np.full((g, 2), 0.5)),
    "an embedding of texts": with_embedding,
    "strange uns": with_uns,
    "along observations": along_observations,
    "nested": nested,
    "a modality named /": as_mudata(["a/b"]),
    "a modality named X_omics": as_mudata(["X_omics"]),
    "no shared rows": no_shared_rows,
    "an empty modality": an_empty_modality,
    "not updated": not_updated,
}


# ---- sequences ----------------------------------------------------------------------------------------------------------


def of_sequences(*values: Any) -> Mutation:
    def mutate(data: Any, rng: Random) -> Any:
        keys = [key for key in ("dna", "protein") if key in data.obs]
        if keys:
            key = keys[int(rng.integers(len(keys)))]
            found = data.obs[key].to_numpy(dtype=object).copy()
            found[::3] = each(len(found[::3]), *values)
            data.obs[key] = found
        return data

    return mutate


SEQUENCES |= {
    "sequences: missing as text": of_sequences("nan", "NA", "None", "", "<NA>"),
    "sequences: NaN": of_sequences(np.nan, None, pd.NA),
    "sequences: empty": of_sequences(""),
    "sequences: blanks": of_sequences(" ", "AC GT", "\n"),
    "sequences: lower case": of_sequences("acgt", "acgtacgt"),
    "sequences: no letters": of_sequences("1234", "!!", "漢字"),
    "sequences: gaps and stops": of_sequences("ACD-*", "AC.GT", "MKV*"),
    "sequences: numbers": of_sequences(1, 2.5),
    "sequences: bytes": of_sequences(b"ACGT"),
    "sequences: lists": of_sequences(["A", "C"]),
    "sequences: long": of_sequences("ACGT" * 5000),
    "sequences: one letter": of_sequences("A"),
    "sequences: all alike": of_sequences("ACGTACGTACGT"),
}
MUTATIONS = VALUES | NAMES | COLUMNS | STRUCTURE | SEQUENCES
