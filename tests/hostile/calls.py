"""Hostile calls of a good model, and changes of its object behind its back: one sentence, or the right numbers."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm import Classifier, Survival
from tests.hostile.judging import FINE, RISKS, Fault, Verdict, _compare, _Said, _step, quietly
from tests.hostile.mutations import each
from tests.hostile.recipes import BASES, Recipe
from tests.objects import QUIET
from tests.test_contract import FAMILIES

Call = Callable[[Any, Any, Path], Any]
WRONG: dict[str, Call] = {}
"""Calls that make no sense: a sentence must come, or what is said to be fine."""
CHANGES: dict[str, Call] = {}
"""What is done to the object after training: then the embedding is as it was, or a sentence comes."""
MAY_SUCCEED = {
    "train: max_steps=1",
    "train: limit_val_batches=0",
    "indices: none",
    "indices: repeated",
    "batch_size 1e9",
}


def getter(**how: Any) -> Call:
    return lambda m, d, f: m.get_latent_representation(**how)


def training(**how: Any) -> Call:
    return lambda m, d, f: m.train(**{"max_epochs": 1, **QUIET, **how})


def made_with(**how: Any) -> Call:
    return lambda m, d, f: type(m)(BASES_OF[type(m).__name__](), **how)


BASES_OF = {FAMILIES[name].model.__name__: make for name, make in BASES.items()}
WRONG |= {
    f"indices: {name}": getter(indices=value)
    for name, value in {
        "too large": [10**6], "too small": [-(10**6)], "half": [0.5], "texts": ["cell001"], "two axes": [[0, 1]],
        "other booleans": [True, False], "a number": 3, "None in it": [None], "a dict": {}, "NaN": [np.nan],
        "2 ** 70": [2**70], "a set": {1, 2}, "a text": "abc", "a function": len,
    }.items()
}  # fmt: skip
WRONG |= {"indices: none": getter(indices=[]), "indices: repeated": getter(indices=[0, 0, -1])}
WRONG |= {
    f"batch_size {value!r}": getter(batch_size=value)
    for value in (0, -1, 1.5, "16", None.__class__, [4], np.nan, np.inf, 10**9, 2**70)
}
WRONG |= {
    f"data: {name}": getter(data=value)
    for name, value in {
        "a text": "file.h5ad", "an array": np.zeros((3, 3)), "a frame": pd.DataFrame({"a": [1]}), "a number": 3,
        "another object": AnnData(np.ones((4, 3), dtype=np.float32)), "a sparse matrix": sparse.eye(3),
        "no X": AnnData(obs=pd.DataFrame(index=["a", "b"])), "a list": [1], "a class": AnnData, "empty": AnnData(),
        "a MuData of others": MuData({"x": AnnData(np.ones((4, 3), dtype=np.float32))}),
    }.items()
}  # fmt: skip
WRONG |= {
    f"train: {name}={value!r}": training(**{name: value})
    for name, values in {
        "max_epochs": (0, -1, 1.5, "3", [1], True, np.nan, 2**70),
        "batch_size": (0, -1, 1.5, "16", [4], np.nan, 2**70, True),
        "train_size": (0, -1, 2, "0.9", np.nan, None, [0.9]),
        "max_steps": (0, 1, 1.5, "3"),
        "key_added": (1, "", ("a", "b"), "a/b", "rna", [1]),
        "precision": ("64", "16", 7, "bf17"),
        "accelerator": ("gpu9", 1, None),
        "devices": (0, "two", [], -5),
        "early_stopping": ("yes", None),
        "checkpoint_dir": (1, "/proc/nothing", "/dev/null", "\0"),
        "resume_from": (1, "/proc/nothing", "/dev/zero", "/dev/null"),
        "limit_val_batches": (0, -1, "all"),
        "limit_train_batches": (0, -1),
        "gradient_clip_val": (-1, "x"),
        "callbacks": (3, [3]),
        "logger": (3,),
        "validation_size": (0.1,),
        "lr": (1e-3,),
        "plan_kwargs": ({"lr": 1e-3},),
        "use_gpu": (True,),
        "check_val_every_n_epoch": (1,),
        "n_epochs": (3,),
        "early_stopping_patience": (3,),
        "min_epochs": (5,),
        "accumulate_grad_batches": (2,),
        "profiler": ("simple",),
        "strategy": ("nothing",),
        "val_check_interval": (0.5,),
    }.items()
    for value in values
}
MAY_SUCCEED |= {f"train: {name}" for name in (
    "max_epochs=True", "batch_size=True", "batch_size=1180591620717411303424", "early_stopping=None",
    "check_val_every_n_epoch=1", "min_epochs=5", "profiler='simple'", "limit_val_batches=0", "max_steps=1", "accumulate_grad_batches=2",
    "key_added='rna'", "key_added='a/b'", "key_added=''", "accelerator=None", "batch_size 1180591620717411303424",
)}  # fmt: skip
WRONG |= {f"config {value!r}": made_with(config=value) for value in ({}, {"width": 16}, "small", 3, [], object)} | {
    f"batch_key {value!r}": made_with(batch_key=value)
    for value in ("none of it", 3, ["batch", "none"], ("batch",), {"batch"}, [], [3], b"batch", "", "batch & batch")
}
MAY_SUCCEED |= {"batch_key ('batch',)", "batch_key []", "batch_key 'batch & batch'", "batch_key {'batch'}"}
WRONG |= {
    "save: None": lambda m, d, f: m.save(None),
    "save: a number": lambda m, d, f: m.save(3),
    "save: into /proc": lambda m, d, f: m.save("/proc/model"),
    "save: a NUL": lambda m, d, f: m.save("a\0b"),
    "save: onto itself": lambda m, d, f: (m.save(f / "m"), m.save(f / "m")),
    "load: nothing": lambda m, d, f: type(m).load(f),
    "load: a file": lambda m, d, f: type(m).load("/dev/null"),
    "load: None": lambda m, d, f: type(m).load(None),
    "load: with another object": lambda m, d, f: (
        m.save(f / "m"),
        type(m).load(f / "m", AnnData(np.ones((4, 3), dtype=np.float32))),
    ),
    "load: with a text": lambda m, d, f: (m.save(f / "m"), type(m).load(f / "m", "data")),
    "impute: another modality": lambda m, d, f: m.impute(modality="none of them"),
    "impute: a number": lambda m, d, f: m.impute(modality=3),
    "get_feature_embedding: another": lambda m, d, f: m.get_feature_embedding("none of them"),
    "to_device: another": lambda m, d, f: m.to_device("tpu9"),
    "write: a folder": lambda m, d, f: m.write_latent_representation(f),
    "write: another ending": lambda m, d, f: m.write_latent_representation(f / "x.csv"),
    "write: None": lambda m, d, f: m.write_latent_representation(None),
    "load_query_data: a text": lambda m, d, f: type(m).load_query_data("x", m),
    "load_query_data: no reference": lambda m, d, f: type(m).load_query_data(d, None),
    "load_query_data: a folder without": lambda m, d, f: type(m).load_query_data(d, f),
    "from_model: no column": lambda m, d, f: Classifier.from_model(m, "none"),
    "from_model: a number": lambda m, d, f: Classifier.from_model(m, 3),
    "from_model: a list": lambda m, d, f: Classifier.from_model(m, ["label"]),
    "from_model: no model": lambda m, d, f: Classifier.from_model(d, "label"),
    "from_model: dict": lambda m, d, f: Classifier.from_model(m, "label", config={"n_folds": 2}),
    "from_model: unlabeled None": lambda m, d, f: Classifier.from_model(m, "label", None),
    "Survival: no column": lambda m, d, f: Survival.from_model(m, "none", "died", config=RISKS),
    "Survival: a list": lambda m, d, f: Survival.from_model(m, ["time"], "died", config=RISKS),
    "Survival: labels for times": lambda m, d, f: Survival.from_model(m, "label", "died", config=RISKS),
    "Survival: times for events": lambda m, d, f: Survival.from_model(m, "time", "time", config=RISKS),
}
TIMES = {
    "unsorted": [3.0, 1.0], "repeated": [1.0, 1.0], "negative": [-1.0], "NaN": [np.nan], "infinite": [np.inf],
    "none": [], "texts": ["a"], "a number": 3.0, "two axes": [[1.0], [2.0]], "whole": [1, 2], "huge": [1e300],
}  # fmt: skip


def _survival(m: Any) -> Survival:
    head = Survival.from_model(m, "time", "died", config=RISKS)
    head.train(progress_bar=False, accelerator="cpu", batch_size=32)
    return head


WRONG |= {
    f"predict_survival: {name}": lambda m, d, f, times=times: _finite(_survival(m).predict_survival(times))
    for name, times in TIMES.items()
}
MAY_SUCCEED |= {f"predict_survival: {name}" for name in ("unsorted", "repeated", "none", "a number", "whole", "huge", "infinite", "negative")}  # fmt: skip
MAY_SUCCEED |= {"to_device: another", "from_model: unlabeled None", "batch_size 1000000000", "batch_size 1180591620717411303424"}  # fmt: skip


def _finite(table: pd.DataFrame) -> None:
    if not np.isfinite(table.to_numpy(dtype=float)).all():
        raise Fault("NaN", "predict_survival")


# ---- changes behind the model's back --------------------------------------------------------------------------------


def _part(data: Any) -> AnnData:
    return next(iter(data.mod.values())) if isinstance(data, MuData) else data


def _in_place(change: Callable[[np.ndarray], np.ndarray]) -> Call:
    def act(m: Any, d: Any, f: Path) -> None:
        x = _part(d).X
        values = x.data if sparse.issparse(x) else x
        values[...] = change(values)

    return act


def _set_names(axis: str, change: Callable[[Any], Any]) -> Call:
    def act(m: Any, d: Any, f: Path) -> None:
        table = getattr(_part(d), axis)
        table.index = pd.Index(change(list(table.index)))

    return act


def _set_batch(change: Callable[[Any], Any]) -> Call:
    def act(m: Any, d: Any, f: Path) -> None:
        d.obs["batch"] = change(d.obs["batch"])

    return act


def _no_batch(m: Any, d: Any, f: Path) -> None:
    del d.obs["batch"]


CHANGES |= {
    "features renamed": _set_names("var", lambda names: [f"ENSG{i}" for i in range(len(names))]),
    "features in another order": _set_names("var", lambda names: names[::-1]),
    "features of one name": _set_names("var", lambda names: [names[0]] * len(names)),
    "logged in place": _in_place(np.log1p),
    "NaN in place": _in_place(lambda x: np.where(np.arange(x.size).reshape(x.shape) == 0, np.nan, x)),
    "infinity in place": _in_place(lambda x: np.where(np.arange(x.size).reshape(x.shape) == 0, np.inf, x)),
    "negative in place": _in_place(lambda x: -x),
    "times 1e30 in place": _in_place(lambda x: x * 1e30),
}
BATCHES: dict[str, Call] = {
    "batch renamed": _set_batch(lambda c: [f"new {v}" for v in c]),
    "batch as tuples": _set_batch(lambda c: each(len(c), ("a", 1), ("b", 2))),
    "batch of one value": _set_batch(lambda c: ["b0"] * len(c)),
    "batch missing": _set_batch(lambda c: [None] * len(c)),
    "no batch": _no_batch,
}
"""What the embedding does not depend on, but another training would: it must say so."""
CALLS = {**WRONG, **CHANGES, **BATCHES}


@cache
def _good(family: str) -> Any:
    """A trained model, which no call may change: each is made in a process of its own."""
    data = Recipe(family, 40, 0, (), "batch").build()
    model = FAMILIES[family].model(data, FAMILIES[family].config, batch_key="batch")
    model.train(1, **QUIET)
    return model


def call_judged(family: str, name: str, folder: Path) -> Verdict:
    """Make a hostile call of a good model, and judge it."""
    with quietly():
        model = _good(family)
        data, before_nd = model.adata, model.get_latent_representation()
        try:
            return _outcome(model, data, before_nd, name, folder)
        except Fault as fault:
            return fault.verdict
        except _Said as said:
            return said.verdict


def _outcome(model: Any, data: Any, before_nd: np.ndarray, name: str, folder: Path) -> Verdict:
    label = f"call {name}"
    if name in WRONG:
        if name.startswith(("impute", "get_feature")) and not hasattr(model, name.split(":")[0]):
            return Verdict(FINE)
        if name.startswith("load_query_data") and not hasattr(model, "load_query_data"):
            return Verdict(FINE)
        try:
            written = (model.embedding_key, "rna") if "key_added='rna'" in name else (model.embedding_key,)  # as asked
            _step(label, data, lambda: WRONG[name](model, data, folder), written)
        except _Said:
            _compare(label, "changed", model.get_latent_representation(), before_nd)
            raise
        if name not in MAY_SUCCEED and name.split(":")[0] != "save" or name in ("save: onto itself",):
            raise Fault("wrong shape", f"{label} | accepted without a word")
        return Verdict(FINE)
    CALLS[name](model, data, folder)
    if name in BATCHES:
        _step(label, data, lambda: model.train(1, **QUIET), (model.embedding_key,))
        raise Fault("wrong shape", f"{label} | trained on as if nothing was")
    after_nd = _step(label, data, model.get_latent_representation)
    if not np.isfinite(after_nd).all():
        raise Fault("NaN", label)
    _compare(label, "order-dependent", after_nd, before_nd)
    return Verdict(FINE)
