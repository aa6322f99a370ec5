"""scib-metrics as it is used: exact neighbours, and metrics that are undefined."""

import gc

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from omicsmlm.evaluation import _scib_metrics
from tests.test_bad_input import refused


def test_exact_neighbours_are_the_nearest(rng):
    x = rng.normal(size=(40, 3))
    found = _scib_metrics._exact_neighbors(x, 5)
    distance = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    assert np.array_equal(found.indices, np.argsort(distance, axis=1)[:, :5])
    np.testing.assert_allclose(found.distances, np.sort(distance, axis=1)[:, :5], atol=1e-6)


def test_scib_metrics_is_put_back():
    from scib_metrics import nearest_neighbors

    approximate = nearest_neighbors.pynndescent
    with _scib_metrics._exact_and_quick(exact=True):
        assert nearest_neighbors.pynndescent is _scib_metrics._exact_neighbors
    assert nearest_neighbors.pynndescent is approximate


@pytest.mark.parametrize("is_frozen", [False, True])
def test_what_the_caller_froze_stays_out_of_garbage_collections_and_nothing_else_does(is_frozen):
    gc.unfreeze()
    if is_frozen:
        gc.freeze()
    try:
        with _scib_metrics._exact_and_quick(exact=True):
            assert gc.get_freeze_count() > 0
        assert (gc.get_freeze_count() > 0) == is_frozen
    finally:
        gc.freeze()  # as tests/conftest.py does


def light(batch_of_type):
    """Two types of 60 cells, whose batches follow from type and number."""
    rng = np.random.default_rng(0)
    label = np.repeat(["a", "b"], 60)
    batch = np.array([batch_of_type(kind, i) for i, kind in enumerate(label)])
    obs = pd.DataFrame({"label": label, "batch": batch}, dtype="category").set_axis([f"c{i}" for i in range(120)])
    made = ad.AnnData(obs=obs)
    made.obsm["z"] = (rng.normal(size=(120, 3)) + 3 * (label == "a")[:, None]).astype(np.float32)
    made.obsm["not integrated"] = (made.obsm["z"] + 1).astype(np.float32)
    return made


def test_what_is_undefined_where_each_type_has_its_own_batch_is_nan_and_the_rest_is_there(caplog):
    pytest.importorskip("scib_metrics")
    table = _scib_metrics.scib_table(light(lambda kind, i: kind), ["z"], True, 1)
    assert set(table.loc["Metric Type"]) >= {"Bio conservation", "Batch correction"}
    names = {name for columns in _scib_metrics._COLUMNS.values() for name in columns} | set(_scib_metrics._KMEANS)
    assert names <= set(table.columns)
    assert np.isfinite(float(table.loc["z", "Silhouette label"]))
    undefined = [name for name in names if np.isnan(float(table.loc["z", name]))]
    assert undefined
    assert "cannot be computed for these labels and batches" in caplog.text


@pytest.fixture(scope="module")
def mixed():
    """Six types in two batches, and their table."""
    pytest.importorskip("scib_metrics")
    made = light(lambda kind, i: f"b{i % 2}")
    made.obs["label"] = pd.Categorical([f"{label}{i % 3}" for i, label in enumerate(made.obs["label"])])
    return made, _scib_metrics.scib_table(made, ["z", "not integrated"], True, 1)


def test_columns_are_those_of_scib_metrics(mixed):
    _, table = mixed
    names = {name for columns in _scib_metrics._COLUMNS.values() for name in columns} | set(_scib_metrics._KMEANS)
    assert names == {name for name in table.columns if table.loc["Metric Type", name] != "Aggregate score"}


def test_kmeans_is_scored_by_the_mean_over_starts_of_every_embedding(mixed):
    made, table = mixed
    for name in ("z", "not integrated"):
        scores = []
        for seed in range(10):
            cluster_n = KMeans(6, n_init=1, random_state=seed).fit_predict(made.obsm[name])
            label_n = made.obs["label"].astype(str)
            scores.append([normalized_mutual_info_score(label_n, cluster_n), adjusted_rand_score(label_n, cluster_n)])
        assert np.std(scores, axis=0).min() > 1e-3, "one start alone is not the mean"
        assert table.loc[name, ["KMeans NMI", "KMeans ARI"]].tolist() == pytest.approx(np.mean(scores, axis=0))
    assert table.loc["Metric Type", ["KMeans NMI", "KMeans ARI"]].tolist() == ["Bio conservation"] * 2


def test_few_observations_get_a_sentence():
    with refused("benchmark: expected at least 90 observations to score, got 89; score more"):
        _scib_metrics.scib_table(light(lambda kind, i: kind)[:89], ["z"], True, 1)
