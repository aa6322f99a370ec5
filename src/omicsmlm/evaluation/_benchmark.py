"""scib-metrics on AnnData or MuData, always beside the plain linear baselines."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import check_type, confounded, named, value_error
from omicsmlm._dense import dense
from omicsmlm._obs_values import obs_values
from omicsmlm._stages import Stages
from omicsmlm.evaluation import baselines as plain
from omicsmlm.evaluation.baselines._measured import roles

from ._scib_metrics import scib_table

logger = logging.getLogger(__name__)

_BATCH_WEIGHT = 0.4  # of the total, as in Luecken et al. 2022

_REQUESTED: dict[str, Callable[[ad.AnnData | md.MuData, str | None], np.ndarray]] = {
    "Harmony": lambda data, batch_key: plain.harmony(data, _required(batch_key)),
    "scVI": plain.scvi,
    "MultiVI": plain.multivi,
    "TotalVI": plain.totalvi,
}


def _required(batch_key: str | None) -> str:
    if batch_key is None:
        raise value_error("Harmony", "a batch_key", "None", 'pass batch_key= or leave "Harmony" out of baselines')
    return batch_key


def obs_column(data: ad.AnnData | md.MuData, key: str, argument: str) -> np.ndarray:
    """Return a column of ``.obs`` as text, (n,) object, None where a value is missing."""
    check_type("data", data, (ad.AnnData, md.MuData), "an AnnData or MuData", "pass the object")
    check_type(argument, key, str, "the name of a column of .obs", "pass the name as text")
    values = obs_values(data, key)
    if values is None:
        found = f"no such column among {named(data.obs.columns)}"
        raise value_error(f"{argument} {key!r}", "a column of .obs", found, "pass one of these or add it")
    column = pd.Series(list(values), dtype=object)
    return column.where(column.isna(), column.astype(str)).to_numpy()


def _embeddings(data: ad.AnnData | md.MuData, keys: Sequence[str] | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the embeddings to score by name, each (n_obs, d), finite, not constant and no two of them equal."""
    if isinstance(keys, str):
        keys = [keys]
    if not isinstance(keys, Mapping):
        missing = [key for key in keys if key not in data.obsm]
        if missing:
            found = f"only {named(data.obsm)}"
            raise value_error(f"keys {missing}", "embeddings in .obsm", found, "pass keys that are there")
        keys = {key: data.obsm[key] for key in keys}
    if not keys:
        raise value_error("keys", "at least one embedding", "none", "pass e.g. keys=['X_omics']")
    taken = {name: dense(values, np.float32) for name, values in keys.items()}
    for name, values in taken.items():
        check_embedding(name, values, data.n_obs)
    names = list(taken)
    for i, name in enumerate(names):
        for other in names[:i]:
            if np.array_equal(taken[name], taken[other]):
                raise value_error(
                    f"key {name!r}", "an embedding of its own", f"the same values as {other!r}", "leave one out"
                )
    return taken


def check_embedding(name: str, values: np.ndarray, n_obs: int) -> None:
    """Refuse an embedding that is not (n_obs, d), not finite, or the same in all observations."""
    place = f"key {name!r}"
    if values.ndim != 2 or len(values) != n_obs:
        raise value_error(place, f"an array ({n_obs}, d)", f"shape {values.shape}", "pass one row per observation")
    if not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise value_error(
            place,
            "finite values",
            f"NaN or infinity in {n_bad} of {n_obs} observations",
            "embed these observations too",
        )
    if np.ptp(values, axis=0).max() == 0:
        raise value_error(place, "rows that differ", f"the same observation {n_obs} times", "train the model first")


def _baseline_rows(
    data: ad.AnnData | md.MuData, n_dims: int, requested: Sequence[str], batch_key: str | None
) -> dict[str, np.ndarray]:
    """Compute PCA of 50 and of `n_dims` dimensions, RNA with the second modality, and the rows asked for."""
    unknown = [name for name in requested if name not in _REQUESTED]
    if unknown:
        raise value_error(f"baselines {unknown}", f"names among {list(_REQUESTED)}", "others", "pass these names only")
    rows = {"PCA": plain.pca(data, 50)}
    if n_dims != 50:
        rows[f"PCA ({n_dims})"] = plain.pca(data, n_dims)
    found = roles(data)
    if {"rna", "atac"} <= found.keys():
        rows[f"PCA+LSI ({n_dims})"] = plain.pca_lsi(data, n_dims)
    if {"rna", "protein"} <= found.keys():
        rows[f"PCA+CLR ({n_dims})"] = plain.pca_clr(data, n_dims)
    for name in requested:
        logger.info("benchmark: training %s.", name)
        rows[name] = _REQUESTED[name](data, batch_key)
    return rows


def _evaluated_observations(
    label_n: np.ndarray, batch_n: np.ndarray | None, embeddings: dict[str, np.ndarray], min_cells: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return which observations have a label, a batch, every embedding, and a type that `min_cells` of them have."""
    covered_n = np.logical_and.reduce([np.isfinite(values).all(axis=1) for values in embeddings.values()])
    usable_n = covered_n & ~pd.isna(label_n)
    if batch_n is not None:
        usable_n &= ~pd.isna(batch_n)
    counts = pd.Series(label_n[usable_n]).value_counts()
    rare = sorted(str(label) for label in counts.index[counts < min_cells])
    evaluated_n = usable_n & (pd.Series(label_n).map(counts).fillna(0).to_numpy() >= max(min_cells, 1))
    note = {"left_out": rare, "n_scored": int(evaluated_n.sum()), "n_obs": len(label_n), "min_cells": min_cells}
    if rare:
        logger.info("benchmark: types with fewer than %d cells are left out of scoring: %s.", min_cells, named(rare))
    if not covered_n.all():
        message = "benchmark: %d of %d observations lack a modality that a baseline needs; every row of the table is scored on %d."
        logger.info(message, int((~covered_n).sum()), len(label_n), note["n_scored"])
    if batch_n is not None and len(pd.unique(batch_n[evaluated_n])) == 1:
        found = f"only {batch_n[evaluated_n][0]!r} in the observations to score"
        raise value_error("batch_key", "at least two batches", found, "pass batch_key=None")
    if len(np.unique(label_n[evaluated_n].astype(str))) < 2:
        found = (
            f"{len(counts) - len(rare)} type(s) with {min_cells} cells or more in {usable_n.sum()} usable observations"
        )
        raise value_error("benchmark", "at least two types to score", found, "pass other labels or a smaller min_cells")
    return evaluated_n, note


def _totals(raw: pd.DataFrame) -> pd.DataFrame:
    """Average the metrics of each kind; a metric that is NaN for any embedding counts for none."""
    kinds = raw.loc["Metric Type"]
    kinds = kinds[kinds != "Aggregate score"]
    scores = raw.drop(index="Metric Type")[list(kinds.index)].astype(float)
    undefined = [str(column) for column in scores if scores[column].isna().any()]
    if undefined:
        logger.warning("benchmark: %s cannot be computed for every embedding and count for none.", named(undefined))
    for kind in ("Batch correction", "Bio conservation"):
        columns = [column for column in kinds.index[kinds == kind] if column not in undefined]
        if columns:
            scores[kind] = scores[columns].mean(axis=1)
    bio = scores["Bio conservation"]
    has_batches = "Batch correction" in scores
    scores["Total"] = _BATCH_WEIGHT * scores["Batch correction"] + (1 - _BATCH_WEIGHT) * bio if has_batches else bio
    scores.attrs.update(kinds={str(name): str(kind) for name, kind in kinds.items()}, undefined=undefined)
    return scores


@in_one_sentence_of_types
def benchmark(
    data: ad.AnnData | md.MuData,
    keys: Sequence[str] | Mapping[str, np.ndarray],
    batch_key: str | None,
    label_key: str,
    *,
    baselines: Sequence[str] = (),
    min_cells: int = 10,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Score embeddings with scib-metrics, beside the linear baselines.

    Every table has the rows ``PCA`` (50 dimensions) and ``PCA (d)`` (as many as the first embedding), and with RNA and
    ATAC or protein also ``PCA+LSI (d)`` or ``PCA+CLR (d)``. Batch removal is compared with the components of
    log(1 + 10,000 count / total), not standardised, as scib-metrics does itself. NMI and ARI of k-means are means over ten
    starts, of every embedding, where scib-metrics takes one. The total is 0.4 batch + 0.6 bio (Luecken et al. 2022).

    Parameters
    ----------
    data
        AnnData or MuData with raw counts in ``X``; modalities by name (``rna``; ``atac``, ``peaks``; ``adt``,
        ``prot``). Not changed.
    keys
        Keys of ``.obsm``, or a mapping from names to arrays (n_obs, d).
    batch_key
        Column of the top-level ``.obs``; None scores bio conservation only, without isolated labels (which are defined
        by batches), and the total is the bio score.
    label_key
        Column of the top-level ``.obs``; observations without a label are left out.
    baselines
        Further rows, trained now: ``"Harmony"``, ``"scVI"``, ``"MultiVI"``, ``"TotalVI"``.
    min_cells
        Types with fewer cells are left out of scoring, named in ``attrs["left_out"]`` and logged.
    n_jobs
        Threads of the neighbour search.

    Returns
    -------
    DataFrame
        Index: the embeddings, then the baselines. Columns: the metrics, ``Batch correction``, ``Bio conservation``,
        ``Total``. Where observations lack a modality that a baseline needs, every row of the table is scored on the
        observations that all embeddings cover: ``attrs["n_scored"]`` of ``attrs["n_obs"]``. ``attrs["kinds"]`` is the
        kind of each metric, ``attrs["undefined"]`` the metrics that are NaN for some embedding and therefore count for
        none.

    Raises
    ------
    ValueError
        If a key or a column is not there, an embedding is not finite, constant or the same as another, or fewer than
        two types are left.
    ImportError
        If scib-metrics is not installed.
    """
    label_n = obs_column(data, label_key, "label_key")
    batch_n = None if batch_key is None else obs_column(data, batch_key, "batch_key")
    alone = [] if batch_n is None else confounded(pd.Series(label_n), pd.Series(batch_n))
    if alone:
        logger.warning(
            "benchmark: types that one batch alone has, %s: they cannot mix, and lower the batch scores.", named(alone)
        )
    evaluated = _embeddings(data, keys)
    n_dims = next(iter(evaluated.values())).shape[1]
    with Stages("benchmark", 2, redraws=True) as stages:
        stages("plain baselines")
        evaluated |= _baseline_rows(data, n_dims, baselines, batch_key)
        reference = {"not integrated": plain.pca(data, 50, n_top_genes=10**9, scale=False)}
        evaluated_n, note = _evaluated_observations(label_n, batch_n, evaluated | reference, min_cells)
        batch_of = np.repeat("one", len(label_n)) if batch_n is None else batch_n
        obs = pd.DataFrame({"label": label_n[evaluated_n], "batch": batch_of[evaluated_n]}, dtype="category")
        light = ad.AnnData(obs=obs.set_axis(np.asarray(data.obs_names)[evaluated_n]))
        for name, values in (evaluated | reference).items():
            light.obsm[name] = np.ascontiguousarray(values[evaluated_n])
        stages(f"scores of {len(evaluated)} embeddings")
        table = _totals(scib_table(light, list(evaluated), batch_n is not None, n_jobs))
    table.index.name = "embedding"
    table.columns.name = None
    table.attrs.update(note)
    return table
