"""Hostile arguments of what takes tables, files and columns: labels and numbers of OmicsMLM, tables of genes, heads, reading, figures.

Each case makes its own objects and one call; of the call must come a result of finite numbers, or one sentence and the objects as
they were.
"""

import gzip
from collections.abc import Callable, Iterator
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

import omicsmlm
from omicsmlm import Classifier, IsoFormer, OmicsMLM, Survival, evaluation, pl
from tests.hostile.judging import (
    FINE,
    REGISTERED,
    RISKS,
    Fault,
    Verdict,
    _Said,
    _step,
    differences,
    held,
    of_error,
    quietly,
)
from tests.hostile.mutations import CHANGES, each
from tests.objects import QUIET, SMALL, SMALL_ISOFORMER, SMALL_MOJO, bulk, multiome, rna, transcripts
from tests.test_contract import FAMILIES

N = 30
"""Observations of an object."""


class Case(NamedTuple):
    """A call, and what makes the objects that it is given."""

    make: Callable[[], Any]
    act: Callable[[Any, Path], Any]


SURFACE: dict[str, Case] = {}
NOTHING: dict[str, Any] = {
    "None": None, "a number": 3, "NaN": np.nan, "a text": "nothing", "empty": "", "a list": [1], "a dict": {"a": 1}, "a class": dict,
    "a tuple": ("a", "b"), "a negative": -1, "True": True, "an array": np.zeros(3),
}  # fmt: skip
"""What an argument may be in the place of what it should be."""


# ---- columns that OmicsMLM reads ------------------------------------------------------------------------------------


def columned() -> AnnData:
    """RNA with a column of each kind."""
    data = rna(N)
    number = np.arange(N)
    data.obs["label"] = [f"t{i % 3}" for i in number]
    data.obs["age"] = 20.0 + number
    data.obs["size"] = 1.0 + number % 4
    return data


KEYS = {"label": "labels_key", "age": "continuous_covariate_keys", "size": "size_factor_key"}


def trained_with(data: AnnData, **keys: Any) -> np.ndarray:
    OmicsMLM.setup_anndata(data, batch_key="batch", **keys)
    model = OmicsMLM(data, SMALL)
    model.train(1, **QUIET)
    return model.get_latent_representation()


def with_column(column: str, change: Callable[..., Any]) -> Callable[[], AnnData]:
    def make() -> AnnData:
        data = columned()
        data.obs[column] = change(data.obs[column].copy(), np.random.default_rng(0))
        return data

    return make


NUMBERS: dict[str, Callable[..., Any]] = {
    "as text": lambda c, r: [f"{i}.5" for i in range(len(c))],
    "with a comma": lambda c, r: [f"{i},5" for i in range(len(c))],
    "one missing": lambda c, r: np.where(np.arange(len(c)) == 3, np.nan, np.arange(len(c)) + 1.0),
    "huge": lambda c, r: 1e300 * (1 + np.arange(len(c))),
    "beyond float32": lambda c, r: np.where(np.arange(len(c)) == 3, 1e39, 1.0 + np.arange(len(c))),
    "tiny": lambda c, r: 1e-300 * (1 + np.arange(len(c))),
    "complex": lambda c, r: np.arange(len(c)) * 1j,
    "Int64 with NA": lambda c, r: pd.array([None, *range(1, len(c))], dtype="Int64"),
}
for column, key in KEYS.items():
    for name, change in {**CHANGES, **NUMBERS}.items():
        SURFACE[f"{key}: {name}"] = Case(
            with_column(column, change),
            lambda d, f, k=key, c=column: trained_with(d, **{k: [c] if k.startswith("cont") else c}),
        )
    for name, value in NOTHING.items():
        SURFACE[f"{key} is {name}"] = Case(columned, lambda d, f, k=key, v=value: trained_with(d, **{k: v}))
for name, value in {**NOTHING, "a label": "t0", "all labels": ["t0", "t1", "t2"]}.items():
    SURFACE[f"unlabeled_category is {name}"] = Case(
        columned, lambda d, f, v=value: trained_with(d, labels_key="label", unlabeled_category=v)
    )
SURFACE["size_factor_key: of fractions"] = Case(
    lambda: _with_size(multiome(N)), lambda d, f: _trained_mudata(d, size_factor_key="size", kinds={"rna": "real"})
)


def _with_size(data: MuData) -> MuData:
    data.obs["size"] = 1.0
    return data


def _trained_mudata(data: MuData, **keys: Any) -> np.ndarray:
    OmicsMLM.setup_mudata(data, batch_key="batch", **keys)
    model = OmicsMLM(data, SMALL)
    model.train(1, **QUIET)
    return model.get_latent_representation()


# ---- queries of a reference with such columns -----------------------------------------------------------------------


@cache
def reference() -> OmicsMLM:
    """A trained model with labels, an age, a size factor, and batches."""
    data = columned()
    OmicsMLM.setup_anndata(
        data, batch_key="batch", labels_key="label", continuous_covariate_keys=["age"], size_factor_key="size"
    )
    model = OmicsMLM(data, SMALL)
    model.train(1, **QUIET)
    return model


def mapped(query: AnnData, folder: Path, **how: Any) -> np.ndarray:
    model = OmicsMLM.load_query_data(query, reference(), **how)
    before_nd = model.get_latent_representation()
    model.train(1, **QUIET)
    after_nd = model.get_latent_representation()
    return np.concatenate([before_nd, after_nd, model.impute(modality="rna").to_numpy(np.float32)], axis=1)


def _query(change: Callable[[AnnData], Any]) -> Callable[[], AnnData]:
    def make() -> AnnData:
        data = columned()
        data.obs["batch"] = "new"
        data.obs_names = [f"query{i}" for i in range(N)]
        return change(data) or data

    return make


def _without(column: str) -> Callable[[AnnData], Any]:
    def change(data: AnnData) -> None:
        del data.obs[column]

    return change


for column in (*KEYS, "batch"):
    SURFACE[f"query without {column}"] = Case(_query(_without(column)), mapped)
    for name, change in {**CHANGES, **(NUMBERS if column in ("age", "size") else {})}.items():
        SURFACE[f"query with {column}: {name}"] = Case(
            _query(lambda d, c=column, g=change: d.obs.__setitem__(c, g(d.obs[c].copy(), np.random.default_rng(0)))),
            mapped,
        )
SURFACE |= {
    "query of one observation": Case(_query(lambda d: d[:1].copy()), mapped),
    "query of none": Case(_query(lambda d: d[:0].copy()), mapped),
    "query of other genes": Case(_query(lambda d: setattr(d, "var_names", [f"x{i}" for i in range(d.n_vars)])), mapped),
    "query with more genes": Case(
        _query(lambda d: setattr(d, "var_names", [*d.var_names[:15], *(f"x{i}" for i in range(15))])),
        lambda d, f: mapped(d, f, extend_vocabulary=True),
    ),
    "query of fractions": Case(
        _query(lambda d: setattr(d, "X", (d.X.toarray() / 100).astype(np.float32))), mapped
    ),
}  # fmt: skip
SURFACE |= {
    f"query, extend_vocabulary is {name}": Case(
        _query(lambda d: None), lambda d, f, v=value: mapped(d, f, extend_vocabulary=v)
    )
    for name, value in NOTHING.items()
}


# ---- MOJO -----------------------------------------------------------------------------------------------------------


def _genes(width: int = 16, **how: Any) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(0).normal(size=(30, width)), [f"gene{j}" for j in range(30)], **how)


def _mojo(data: MuData, folder: Path, **how: Any) -> np.ndarray:
    model = omicsmlm.MOJO(data, how.pop("config", SMALL_MOJO), **how)
    model.train(1, **QUIET)
    return model.get_latent_representation()


TABLES: dict[str, Any] = {
    **NOTHING,
    "too narrow": _genes(3),
    "with NaN": _genes().where(lambda t: t < 1),
    "with 1e200": _genes() * 1e200,
    "beyond float32": _genes() * 1e39,
    "of zeros": _genes() * 0,
    "of one gene": _genes().iloc[:1],
    "of none": _genes().iloc[:0],
    "of other genes": _genes().add_prefix("x", axis=0),
    "of integers": (_genes() * 10).astype(int),
    "of booleans": _genes() > 0,
    "of texts": _genes().astype(str),
    "with duplicate columns": _genes().set_axis(["a"] * 16, axis=1),
    "with duplicate genes": _genes().set_axis(["gene1"] * 30, axis=0),
    "by number": _genes().reset_index(drop=True),
    "of two levels": pd.concat({"a": _genes()}),
    "nullable": _genes().astype("Float64").mask(lambda t: t > 1),
}
SURFACE |= {
    f"gene_embedding {name}": Case(lambda: bulk(N), lambda d, f, v=value: _mojo(d, f, gene_embedding=v))
    for name, value in TABLES.items()
}


# ---- IsoFormer ------------------------------------------------------------------------------------------------------

CODING: dict[str, list[Any]] = {
    "not of threes": ["ATGA", "ATGAAAC", "ATGAA"],
    "stops": ["ATGTAGAAA", "TAG", "ATGTAA"],
    "odd letters": ["ATGNNN", "ATGRYK", "ATG---", "ATG*AA"],
    "lower case": ["atgaaacgt"],
    "of U": ["AUGAAACGU"],
    "of amino acids": ["MKVLAA", "MSTNPKPQRK"],
    "empty": ["", None],
    "missing as text": ["nan", "NA", None],
    "blanks": ["ATG AAA", " ATGAAA", "ATGAAA\n"],
    "numbers": [1, 2.5],
    "bytes": [b"ATGAAA"],
    "other alphabets": ["АТГААА", "漢字漢"],
    "NUL": ["ATG\0AA"],
    "long": ["ATG" + "AAA" * 20_000],
    "only starts": ["ATG"],
    "all alike": ["ATGAAACGT"],
}


def _coding(values: list[Any]) -> Callable[[], AnnData]:
    def make() -> AnnData:
        data = transcripts(N)
        data.obs["cds"] = each(N, *values)
        data.obsm["beta"] = np.random.default_rng(0).random((N, 3))
        return data

    return make


def _isoformer(data: AnnData, folder: Path, **how: Any) -> np.ndarray:
    IsoFormer.setup_anndata(data, **{"rna_key": "cds", **how})
    model = IsoFormer(data, SMALL_ISOFORMER)
    model.train(1, **QUIET)
    return np.concatenate([model.get_latent_representation(), model.predict().to_numpy()], axis=1)


for name, values in CODING.items():
    SURFACE[f"coding sequences: {name}"] = Case(_coding(values), _isoformer)
    SURFACE[f"coding sequences beside proteins: {name}"] = Case(
        _coding(values), lambda d, f: _isoformer(d, f, protein_key="protein", dna_key="dna")
    )
for argument in ("dna_key", "rna_key", "protein_key", "vector_keys", "group_key", "translate", "layer"):
    for name, value in NOTHING.items():
        SURFACE[f"IsoFormer, {argument} is {name}"] = Case(
            _coding(["ATGAAACGT", "ATGCCC"]), lambda d, f, a=argument, v=value: _isoformer(d, f, **{a: v})
        )


# ---- heads ----------------------------------------------------------------------------------------------------------


@cache
def classifier() -> Classifier:
    made = Classifier.from_model(reference(), "label")
    made.train()
    return made


@cache
def survival() -> Survival:
    data = columned()
    data.obs["time"], data.obs["died"] = 1.0 + np.arange(N), np.arange(N) % 2
    data.obs["cohort"] = np.where(np.arange(N) < N // 2, "a", "b")
    made = Survival.from_model(OmicsMLM(data, SMALL), "time", "died", "cohort", "age", config=RISKS)
    made.train(progress_bar=False, accelerator="cpu", batch_size=32)
    return made


def _patients() -> AnnData:
    data = columned()
    data.obs["time"], data.obs["died"] = 1.0 + np.arange(N), np.arange(N) % 2
    data.obs["cohort"] = np.where(np.arange(N) < N // 2, "a", "b")
    return data


def _fitted(data: AnnData, folder: Path, **how: Any) -> pd.Series:
    keys = {"time_key": "time", "event_key": "died", "config": RISKS, **how}
    made = Survival.from_model(OmicsMLM(data, SMALL), **keys)
    made.train(progress_bar=False, accelerator="cpu", batch_size=32)
    return made.predict()


for argument in ("soft", "indices", "batch_size", "majority_voting", "min_prop"):
    for name, value in NOTHING.items():
        SURFACE[f"Classifier.predict, {argument} is {name}"] = Case(
            columned, lambda d, f, a=argument, v=value: classifier().predict(d, **{a: v})
        )
for name, value in NOTHING.items():
    SURFACE |= {
        f"Classifier.evaluate, labels_key is {name}": Case(
            columned, lambda d, f, v=value: classifier().evaluate(d, labels_key=v)
        ),
        f"Survival, stratum_key is {name}": Case(_patients, lambda d, f, v=value: _fitted(d, f, stratum_key=v)),
        f"Survival, covariate_keys is {name}": Case(_patients, lambda d, f, v=value: _fitted(d, f, covariate_keys=v)),
        f"Classifier.predict, data is {name}": Case(columned, lambda d, f, v=value: classifier().predict(v)),
        f"Survival.predict, data is {name}": Case(_patients, lambda d, f, v=value: survival().predict(v)),
        f"Survival.evaluate, data is {name}": Case(_patients, lambda d, f, v=value: (survival().evaluate(v), None)[1]),
        f"Classifier.load_query_data, query is {name}": Case(
            columned, lambda d, f, v=value: Classifier.load_query_data(v, classifier())
        ),
    }
for column in ("age", "cohort", "time", "died"):
    for name, change in {**CHANGES, **NUMBERS}.items():
        SURFACE[f"Survival of others, {column}: {name}"] = Case(
            lambda c=column, g=change: _changed(_patients(), c, g), lambda d, f: survival().predict(d)
        )
        SURFACE[f"Survival, {column}: {name}"] = Case(
            lambda c=column, g=change: _changed(_patients(), c, g),
            lambda d, f: _fitted(d, f, stratum_key="cohort", covariate_keys="age"),
        )


def _changed(data: AnnData, column: str, change: Callable[..., Any]) -> AnnData:
    data.obs[column] = change(data.obs[column].copy(), np.random.default_rng(0))
    return data


# ---- reading --------------------------------------------------------------------------------------------------------

GOOD = "gene\ts1\ts2\ts3\n" + "".join(f"ENSG0000014{j:04d}\t{j}\t{2 * j}\t{j % 3}\n" for j in range(1, 9))
FILES: dict[str, bytes] = {
    "nothing": b"",
    "a blank line": b"\n\n",
    "a header alone": b"gene\ts1\ts2\n",
    "one column": b"gene\nTP53\n",
    "one number": b"7",
    "NULs": b"\0" * 100,
    "a NUL within": GOOD.replace("s2", "s\0").encode(),
    "random bytes": np.random.default_rng(0).bytes(2000),
    "not UTF-8": GOOD.replace("gene", "gène").encode("latin-1"),
    "UTF-16": GOOD.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "ragged rows": GOOD.encode() + b"TP53\t1\t2\t3\t4\t5\nEGFR\t1\n",
    "an open quote": GOOD.replace("\t2", '\t"2', 1).encode(),
    "decimal commas": GOOD.replace("\t4", "\t4,5").encode(),
    "texts for numbers": GOOD.replace("\t2\n", "\tmany\n").encode(),
    "duplicate genes": (GOOD + GOOD.split("\n", 1)[1]).encode(),
    "duplicate samples": GOOD.replace("s3", "s1").encode(),
    "no names": GOOD.replace("gene\ts1\ts2\ts3", "\t\t\t").encode(),
    "NaN": GOOD.replace("\t4", "\tNA").encode(),
    "infinity": GOOD.replace("\t4", "\tinf").encode(),
    "1e200": GOOD.replace("\t4", "\t1e200").encode(),
    "1e999": GOOD.replace("\t4", "\t1e999").encode(),
    "negative": GOOD.replace("\t4", "\t-4").encode(),
    "long integers": GOOD.replace("\t4", "\t" + "9" * 400).encode(),
    "Windows lines": GOOD.replace("\n", "\r\n").encode(),
    "old Macintosh lines": GOOD.replace("\n", "\r").encode(),
    "HTML": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "JSON": b'{"genes": [1, 2]}',
    "a spreadsheet": b"PK\x03\x04" + bytes(200),
}


def _written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _read(path: Any, **how: Any) -> np.ndarray:
    found = omicsmlm.read(rna=path, **how)
    for column in found.obs:
        found.obs[column].to_numpy()
    return np.zeros(1)


ENDINGS = (".tsv", ".csv", ".gct", ".parquet", ".h5ad", ".h5", ".tsv.gz")
for name, content in FILES.items():
    for ending in ENDINGS if name in ("nothing", "random bytes", "HTML") else (".tsv", ".csv"):
        SURFACE[f"read {name}, {ending}"] = Case(
            lambda: None, lambda d, f, c=content, e=ending: _read(_written(f, f"x{e}", c))
        )
    SURFACE[f"read {name}, obs"] = Case(
        lambda: None,
        lambda d, f, c=content: _read(_written(f, "x.tsv", GOOD.encode()), obs=_written(f, "obs.tsv", c)),
    )
SURFACE |= {
    "read a cut gzip": Case(
        lambda: None, lambda d, f: _read(_written(f, "x.tsv.gz", gzip.compress(GOOD.encode() * 50)[:200]))
    ),
    "read a folder": Case(lambda: None, lambda d, f: _read(f)),
    "read /dev/null": Case(lambda: None, lambda d, f: _read("/dev/null")),
    "read no file": Case(lambda: None, lambda d, f: _read(f / "none.tsv")),
    "read a NUL": Case(lambda: None, lambda d, f: _read("a\0b.tsv")),
}
for name, value in NOTHING.items():
    for argument in ("obs", "units", "observations_on", "batch_key", "strip_versions", "protein"):
        SURFACE[f"read, {argument} is {name}"] = Case(
            lambda: None, lambda d, f, a=argument, v=value: _read(_written(f, "x.tsv", GOOD.encode()), **{a: v})
        )
    SURFACE[f"read {name}"] = Case(lambda: None, lambda d, f, v=value: _read(v))
    SURFACE[f"read a list of {name}"] = Case(lambda: None, lambda d, f, v=value: _read([v]))
    SURFACE[f"read a dict of {name}"] = Case(lambda: None, lambda d, f, v=value: _read({"s": v}))
    SURFACE[f"read, units of {name}"] = Case(
        lambda: None, lambda d, f, v=value: _read(_written(f, "x.tsv", GOOD.encode()), units={"rna": v})
    )
FRAMES: dict[str, pd.DataFrame] = {
    "empty": pd.DataFrame(),
    "without columns": pd.DataFrame(index=["a", "b"]),
    "of texts": pd.DataFrame({"s1": ["a", "b"]}, index=["TP53", "EGFR"]),
    "of two levels": pd.DataFrame({"s1": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
    "of two levels of columns": pd.DataFrame([[1, 2]], index=["TP53"], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
    "of dates": pd.DataFrame({"s1": pd.to_datetime(["2020-01-01", "2020-01-02"])}, index=["TP53", "EGFR"]),
    "of objects": pd.DataFrame({"s1": each(2, [1], {})}, index=["TP53", "EGFR"]),
    "of complex numbers": pd.DataFrame({"s1": [1j, 2]}, index=["TP53", "EGFR"]),
    "of NaN": pd.DataFrame({"s1": [np.nan] * 2, "s2": [np.nan] * 2}, index=["TP53", "EGFR"]),
    "named NaN": pd.DataFrame({"s1": [1, 2], "s2": [2, 3]}, index=[np.nan, None]),
    "by number": pd.DataFrame(np.ones((4, 3))),
    "of booleans": pd.DataFrame({"s1": [True, False], "s2": [True, True]}, index=["TP53", "EGFR"]),
    "nullable": pd.DataFrame({"s1": pd.array([1, None], dtype="Int64")}, index=["TP53", "EGFR"]),
}  # fmt: skip
SURFACE |= {
    f"read a table {name}": Case(lambda v=value: v.copy(), lambda d, f: _read(d)) for name, value in FRAMES.items()
}
SURFACE |= {
    f"read, obs {name}": Case(lambda v=value: v.copy(), lambda d, f: _read(_written(f, "x.tsv", GOOD.encode()), obs=d))
    for name, value in FRAMES.items()
}


# ---- tests of features, figures, the hub ----------------------------------------------------------------------------


def _donors() -> AnnData:
    data = rna(90)
    data.obs["donor"] = [f"d{i % 5}" for i in range(90)]
    data.obsm["X_omics"] = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    return data


def _table(table: pd.DataFrame) -> np.ndarray:
    return table[["log2_fold_change", "p_value", "q_value"]].to_numpy(float)


for argument in ("groupby", "sample_key", "reference", "modality", "min_cells", "min_count"):
    for name, value in NOTHING.items():
        SURFACE[f"differential_features, {argument} is {name}"] = Case(
            _donors,
            lambda d, f, a=argument, v=value: _table(
                evaluation.differential_features(
                    d, **{"groupby": "type", "sample_key": "donor", "min_cells": 1, "min_count": 1, a: v}
                )
            ),
        )
for name, change in CHANGES.items():
    for column in ("type", "donor"):
        SURFACE[f"differential_features, {column}: {name}"] = Case(
            lambda c=column, g=change: _changed(_donors(), c, g),
            lambda d, f: _table(evaluation.differential_features(d, "type", "donor", min_cells=1, min_count=1)),
        )
SURFACE |= {
    f"differential_features of {name}": Case(
        lambda: None, lambda d, f, v=value: evaluation.differential_features(v, "type", "donor")
    )
    for name, value in NOTHING.items()
}


def _drawn(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.zeros(1)


CURVES = {"train_loss": [3.0, 2.0, 1.0], "validation_loss": [3.0, 2.5, 2.4]}
RELIABILITY = pd.DataFrame({"confidence": [0.3, 0.9], "accuracy": [0.2, 0.8], "n": [5, 7]})
ATTRIBUTIONS = pd.DataFrame(
    {"label": ["a", "a", "b"], "modality": ["rna"] * 3, "feature": ["x", "y", "x"], "attribution": [1.0, -0.5, 0.2]}
)
SCORES = pd.DataFrame({"both": [0.5, 0.6], "RNA only": [0.4, 0.2]}, index=["a", "b"])
FIGURES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "attributions": (pl.attributions, {"table": ATTRIBUTIONS, "n_features": 2}),
    "confusion": (pl.confusion, {"table_or_truth": ["a", "b", "a"], "predicted": ["a", "b", "b"], "unknown": "Unknown"}),
    "dropout_table": (pl.dropout_table, {"table": SCORES, "digits": 3}),
    "embedding": (pl.embedding, {"data": _donors, "key": "X_omics", "color": "type", "imputed": None}),
    "history": (pl.history, {"history": CURVES, "marks": None}),
    "marker_dots": (pl.marker_dots, {"data": _donors, "markers": ["gene0", "gene1"], "groupby": "type", "imputed": None}),
    "missing_modalities": (pl.missing_modalities, {"mdata": lambda: multiome(N), "groupby": None}),
    "reliability": (pl.reliability, {"table": RELIABILITY}),
    "survival": (pl.survival, {"time": [1.0, 2.0, 3.0, 4.0], "event": [1, 0, 1, 1], "group": ["a", "b", "a", "b"]}),
    "benchmark_table": (pl.benchmark_table, {"table": SCORES}),
}  # fmt: skip


def _figure(name: str, argument: str | None, value: Any, folder: Path) -> np.ndarray:
    draw, arguments = FIGURES[name]
    made = {key: given() if callable(given) else given for key, given in arguments.items()}
    return _drawn(draw(**made, **{}) if argument is None else draw(**{**made, argument: value}))


BAD_TABLES = {
    "an empty table": pd.DataFrame(),
    "a table of texts": pd.DataFrame({"a": ["x"]}),
    "a table of NaN": SCORES * np.nan,
}
for name, (_, arguments) in FIGURES.items():
    for argument in [
        *arguments,
        "save",
        *(["title"] if name not in ("embedding", "history", "missing_modalities") else []),
    ]:
        for what, value in {**NOTHING, **BAD_TABLES}.items():
            SURFACE[f"pl.{name}, {argument} is {what}"] = Case(
                lambda: None, lambda d, f, n=name, a=argument, v=value: _figure(n, a, v, f)
            )
    for what, path in {"a folder": ".", "no folder": "none/x.png", "no ending": "x", "another ending": "x.xyz"}.items():
        SURFACE[f"pl.{name}, save to {what}"] = Case(
            lambda: None, lambda d, f, n=name, p=path: _figure(n, "save", f / p, f)
        )
for name, value in {**NOTHING, "NaN everywhere": np.full((90, 4), np.nan), "one column": np.zeros((90, 1)), "alike": np.zeros((90, 2))}.items():  # fmt: skip
    if isinstance(value, np.ndarray) and len(value) == 90:
        SURFACE[f"pl.embedding of {name}"] = Case(
            lambda v=value: _with_obsm(v), lambda d, f: _drawn(pl.embedding(d, "X_omics", "type"))
        )
    SURFACE[f"pl.report, path is {name}"] = Case(lambda: None, lambda d, f, v=value: _reported(v, f))
    SURFACE[f"pl.report, color is {name}"] = Case(
        lambda: None, lambda d, f, v=value: _reported(f / "x.html", f, color=v)
    )
    SURFACE[f"pl.report, table is {name}"] = Case(
        lambda: None, lambda d, f, v=value: _reported(f / "x.html", f, table=v)
    )
    SURFACE[f"pl.report, figures is {name}"] = Case(
        lambda: None, lambda d, f, v=value: _reported(f / "x.html", f, figures=v)
    )
    SURFACE[f"pl.report, title is {name}"] = Case(
        lambda: None, lambda d, f, v=value: _reported(f / "x.html", f, title=v)
    )
    SURFACE[f"pl.report of {name}"] = Case(lambda: None, lambda d, f, v=value: pl.report(v, f / "x.html"))
    SURFACE[f"pl.remarks of {name}"] = Case(lambda: None, lambda d, f, v=value: pl.remarks(v))
    for argument in ("description", "license", "metrics", "private", "overwrite"):
        SURFACE[f"save_to_hub, {argument} is {name}"] = Case(
            lambda: None, lambda d, f, a=argument, v=value: reference().save_to_hub(f / "m", **{a: v})
        )
    SURFACE[f"save_to_hub, repository is {name}"] = Case(lambda: None, lambda d, f, v=value: reference().save_to_hub(v))
    SURFACE[f"from_hub, repository is {name}"] = Case(lambda: None, lambda d, f, v=value: OmicsMLM.from_hub(v))
SURFACE |= {
    f"save_to_hub, metrics {name}": Case(
        lambda: None, lambda d, f, v=value: reference().save_to_hub(f / "m", metrics=v)
    )
    for name, value in FRAMES.items()
}


def _with_obsm(value: np.ndarray) -> AnnData:
    data = _donors()
    data.obsm["X_omics"] = value
    return data


def _reported(path: Any, folder: Path, **how: Any) -> np.ndarray:
    pl.report(reference(), path, **how)
    return np.zeros(1)


MAY_WRITE = ("X_omics", "X_isoformer", "X_mojo")


def surface_judged(name: str, folder: Path) -> Verdict:
    """Make the objects of a case, and its call, and judge what comes."""
    case = SURFACE[name]
    with quietly(), chdir(folder):  # some write beside where they are
        try:
            data = case.make()
        except Exception as error:  # noqa: BLE001 - such an object cannot be made
            return Verdict("no object", type(error).__name__)
        try:
            if isinstance(data, AnnData | MuData):
                found = _asked(name, data, lambda: case.act(data, folder))
            else:
                before = None if data is None else data.to_csv()
                found = _step(name, _EMPTY, lambda: case.act(data, folder))
                if data is not None and data.to_csv() != before:
                    raise Fault("changed", name)
            _check_finite(name, found)
        except Fault as fault:
            return fault.verdict
        except _Said as said:
            return said.verdict
    return Verdict(FINE)


def _asked(name: str, data: Any, act: Callable[[], Any]) -> Any:
    """Do it; what steps before one that failed wrote into the object, as they should, does not count."""
    before = held(data)
    allowed = (*REGISTERED, *MAY_WRITE)
    try:
        found = act()
    except Exception as error:
        verdict = of_error(error, name)
        if verdict.is_fault:
            raise Fault(verdict.kind, verdict.key.split(" | ", 1)[1], verdict.text) from error
        if changed := differences(before, held(data), allowed):
            raise Fault("changed", f"{name} | {changed[:3]}", verdict.text) from error
        raise _Said(verdict) from error
    if changed := differences(before, held(data), allowed):
        raise Fault("changed", f"{name}, which succeeded | {changed[:3]}")
    return found


_EMPTY = AnnData(np.zeros((1, 1), dtype=np.float32))


def _check_finite(name: str, found: Any) -> None:
    numbers = found.to_numpy() if isinstance(found, pd.DataFrame | pd.Series) else found
    if isinstance(numbers, np.ndarray) and numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        raise Fault("NaN", name)


# ---- hyper-parameters -----------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "-1": -1, "0": 0, "1": 1, "1.5": 1.5, "text": "a", "NaN": np.nan, "infinite": np.inf, "None": None, "True": True, "list": [1],
    "pair": (2, 1), "NaN pair": (0.1, np.nan), "text pair": ("a", "b"), "three": (0.1, 0.2, 0.3), "dict": {}, "2 ** 70": 2**70,
    "1e-30": 1e-30, "1e30": 1e30, "half": 0.5, "array": np.zeros(2), "class": int, "complex": 1j,
}  # fmt: skip
"""What a hyper-parameter may be given as."""


def configs() -> Iterator[tuple[str, type, dict[str, Any], str, Any]]:
    """Go through every hyper-parameter and every value: of which class, with which others, its name and the value."""
    classes = {type(family.config): family.config for name, family in FAMILIES.items() if "Toy" not in name}
    classes |= {omicsmlm.ClassifierConfig: omicsmlm.ClassifierConfig(), omicsmlm.SurvivalConfig: RISKS}
    classes[omicsmlm.SequenceEncoder] = omicsmlm.SequenceEncoder()
    for config_class, config in classes.items():
        for field in config_class.__dataclass_fields__:
            for name, value in VALUES.items():
                yield f"{config_class.__name__}: {field} = {name}", config_class, vars(config), field, value
