import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from omicsmlm.datasets import simulate_rna
from omicsmlm.evaluation import _benchmark, baselines, benchmark
from tests.objects import multiome, rna, state_of


def raw_results():
    """What scib-metrics hands over: a metric per column, and a last row with its kind."""
    kinds = {"KMeans NMI": "Bio conservation", "cLISI": "Bio conservation", "iLISI": "Batch correction"}
    columns = {
        name: [score, score + 0.1, kind] for (name, kind), score in zip(kinds.items(), (0.2, 0.6, 0.5), strict=True)
    }
    raw = pd.DataFrame(columns, index=["a", "b", "Metric Type"]).assign(Total=[0.0, 0.0, "Aggregate score"])
    return raw.astype(object)


def test_the_total_is_six_parts_bio_and_four_parts_batch():
    table = _benchmark._totals(raw_results())
    assert table.loc["a", "Bio conservation"] == pytest.approx(0.4)
    assert table.loc["a", "Batch correction"] == pytest.approx(0.5)
    assert table.loc["a", "Total"] == pytest.approx(0.6 * 0.4 + 0.4 * 0.5)
    assert table.attrs["kinds"] == {
        "KMeans NMI": "Bio conservation",
        "cLISI": "Bio conservation",
        "iLISI": "Batch correction",
    }


def test_a_metric_that_is_nan_for_one_counts_for_none(caplog):
    raw = raw_results()
    raw.loc["b", "cLISI"] = np.nan
    table = _benchmark._totals(raw)
    assert table["Bio conservation"].tolist() == pytest.approx([0.2, 0.3])
    assert table.attrs["undefined"] == ["cLISI"]
    assert "'cLISI' cannot be computed for every embedding" in caplog.text


def test_without_batches_the_total_is_the_bio_score():
    table = _benchmark._totals(raw_results().drop(columns="iLISI"))
    assert "Batch correction" not in table
    assert table["Total"].equals(table["Bio conservation"])


def test_rows_are_scored_where_every_embedding_is_and_types_are_frequent(caplog):
    caplog.set_level(logging.INFO, "omicsmlm")
    label = np.array(["a"] * 12 + ["b"] * 12 + ["c"] * 12 + [None], dtype=object)
    whole, partial = np.zeros((37, 2)), np.zeros((37, 2))
    partial[:3, 1] = np.nan  # 9 observations of type a are left: fewer than ten
    evaluated, note = _benchmark._evaluated_observations(label, None, {"whole": whole, "partial": partial}, 10)
    assert np.array_equal(np.flatnonzero(evaluated), np.arange(12, 36))
    assert note == {"left_out": ["a"], "n_scored": 24, "n_obs": 37, "min_cells": 10}
    assert "types with fewer than 10 cells are left out of scoring: 'a'." in caplog.text
    assert (
        "3 of 37 observations lack a modality that a baseline needs; every row of the table is scored on 24."
        in caplog.text
    )


@pytest.mark.parametrize(
    ("n_dims", "requested", "names"),
    [
        (50, [], ["PCA", "PCA+LSI (50)", "PCA+CLR (50)"]),
        (12, [], ["PCA", "PCA (12)", "PCA+LSI (12)", "PCA+CLR (12)"]),
        (12, ["Harmony"], ["PCA", "PCA (12)", "PCA+LSI (12)", "PCA+CLR (12)", "Harmony"]),
    ],
)
def test_the_linear_rows_are_always_there(n_dims, requested, names):
    mdata = multiome()
    rows = _benchmark._baseline_rows(mdata, n_dims, requested, "batch")
    assert list(rows) == names
    np.testing.assert_array_equal(rows["PCA"], baselines.pca(mdata, 50))
    assert all(rows[name].shape == (72, 12) for name in names if "(12)" in name)


@pytest.fixture(scope="module")
def evaluated():
    """A small object with a good and a bad embedding, its state before, and its table."""
    adata = simulate_rna(240, 120, n_types=3, seed=1)
    types = adata.obs["cell_type"].cat.codes.to_numpy()
    noise = np.random.default_rng(0).normal(size=(240, 50))
    adata.obsm["good"] = (noise + 8 * np.eye(3, 50)[types]).astype(np.float32)
    adata.obsm["bad"] = (noise + 8 * np.eye(2, 50)[adata.obs["batch"].cat.codes]).astype(np.float32)
    before = state_of(adata, without_registry=False)
    return adata, before, benchmark(adata, ["good", "bad"], "batch", "cell_type", min_cells=5)


def test_good_is_good_and_bad_is_bad(evaluated):
    table = evaluated[2]
    assert list(table.index) == ["good", "bad", "PCA"]
    assert table.loc["good", "KMeans ARI"] > 0.9 > 0.3 > table.loc["bad", "KMeans ARI"]
    assert table.loc["good", "iLISI"] > 0.7 > 0.1 > table.loc["bad", "iLISI"]
    assert table["Total"].idxmax() == "good"
    assert table["Total"].equals(0.4 * table["Batch correction"] + 0.6 * table["Bio conservation"])


def test_the_object_stays_as_it_was(evaluated):
    assert state_of(evaluated[0], without_registry=False) == evaluated[1]


def test_scores_agree_with_scib_metrics_itself(evaluated):
    import scib_metrics

    adata, _, table = evaluated
    kept = ~adata.obs["cell_type"].isin(table.attrs["left_out"]).to_numpy()
    label = adata.obs["cell_type"].astype(str).to_numpy()[kept]
    batch = adata.obs["batch"].astype(str).to_numpy()[kept]
    x = adata.obsm["good"][kept]
    assert table.attrs["n_scored"] == kept.sum()
    assert table.loc["good", "Silhouette label"] == pytest.approx(scib_metrics.silhouette_label(x, label), abs=1e-4)
    before = baselines.pca(adata, 50, scale=False)[kept]
    pcr = scib_metrics.pcr_comparison(before, x, batch, categorical=True)
    assert table.loc["good", "PCR comparison"] == pytest.approx(pcr, abs=1e-4)
    distances, indices = NearestNeighbors(n_neighbors=90).fit(x).kneighbors(x)
    lisi = scib_metrics.ilisi_knn(scib_metrics.nearest_neighbors.NeighborsResults(indices, distances), batch)
    assert table.loc["good", "iLISI"] == pytest.approx(lisi, abs=1e-3)


@pytest.mark.slow
def test_unpaired_rows_and_no_batch():
    from omicsmlm.datasets import simulate_multiome

    mdata = simulate_multiome(300, 100, 200, n_types=3, seed=1)
    random = {"random": np.random.default_rng(0).normal(size=(300, 8))}
    table = benchmark(mdata, random, None, "cell_type", min_cells=5)
    assert list(table.index) == ["random", "PCA", "PCA (8)", "PCA+LSI (8)"]
    assert "Batch correction" not in table
    assert "Isolated labels" not in table
    assert table.attrs["n_scored"] <= 150  # half of the observations have both modalities


def with_embedding(values):
    adata = rna()
    adata.obs["one"] = "b"
    adata.obsm["X"] = np.random.default_rng(0).normal(size=(72, 4))
    adata.obsm["Y"] = values(adata.obsm["X"].copy())
    return adata


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            lambda x: np.where(x > 2, np.nan, x),
            "key 'Y': expected finite values, got NaN or infinity in .* of 72 observations",
        ),
        (lambda x: np.ones_like(x), "key 'Y': expected rows that differ, got the same observation 72 times"),
        (lambda x: x, "key 'Y': expected an embedding of its own, got the same values as 'X'"),
    ],
)
def test_a_bad_embedding_is_named(values, words):
    with pytest.raises(ValueError, match=words):
        benchmark(with_embedding(values), ["X", "Y"], "batch", "type")


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((["Z"], "batch", "type"), {}, r"keys \['Z'\]: expected embeddings in .obsm, got only 'X', 'Y'"),
        (([], "batch", "type"), {}, "keys: expected at least one embedding"),
        (({"w": np.zeros((3, 2))}, "batch", "type"), {}, r"key 'w': expected an array \(72, d\), got shape \(3, 2\)"),
        (
            (["X"], "lab", "type"),
            {},
            "batch_key 'lab': expected a column of .obs, got no such column among 'type'",
        ),
        ((["X"], "batch", "cell"), {}, "label_key 'cell': expected a column of .obs"),
        (
            (["X"], "batch", "type"),
            {"baselines": ["VI"]},
            r"baselines \['VI'\]: expected names among \['Harmony', 'scVI'",
        ),
        (
            (["X"], "one", "type"),
            {},
            "batch_key: expected at least two batches, got only 'b' in the observations to score",
        ),
        ((["X"], None, "type"), {"baselines": ["Harmony"]}, "Harmony: expected a batch_key, got None"),
        (
            (["X"], "batch", "type"),
            {"min_cells": 50},
            r"benchmark: expected at least two types to score, got 0 type\(s\)",
        ),
    ],
)
def test_wrong_input_gets_a_sentence(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        benchmark(with_embedding(lambda x: -x), *arguments, **options)
