import logging
import random
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from omicsmlm.evaluation import _averages, avg_bio_batch


@pytest.fixture(scope="module")
def cells():
    """An embedding of 90 observations, three overlapping labels, three batches of which one is shifted."""
    rng = np.random.default_rng(0)
    label_n, batch_n = np.repeat(list("abc"), 30), np.tile(list("xyz"), 30)
    x_nd = rng.normal(size=(90, 4)) + 2.5 * np.eye(3, 4)[np.repeat(range(3), 30)]
    x_nd[batch_n == "z", 3] += 2
    return x_nd, label_n, batch_n


def slow_silhouette(x_nd, group_n):
    """Observation by observation: (b − a) / max(a, b), a the mean distance within the own group, b to the nearest other one."""
    widths = []
    for i, own in enumerate(group_n):
        distance_n = np.array([np.sqrt(((x_nd[i] - row) ** 2).sum()) for row in x_nd])
        mates_n = (group_n == own) & (np.arange(len(x_nd)) != i)
        if not mates_n.any():
            widths.append(0.0)
            continue
        a = distance_n[mates_n].mean()
        b = min(distance_n[group_n == other].mean() for other in set(group_n) - {own})
        widths.append((b - a) / max(a, b))
    return np.array(widths)


def slow_nmi(one_n, two_n):
    """2 I(one; two) / (H(one) + H(two))."""
    entropy = lambda names: -sum(p * np.log(p) for p in pd.Series(names).value_counts(normalize=True))
    pairs = [f"{one}/{two}" for one, two in zip(one_n, two_n, strict=True)]
    return 2 * (entropy(one_n) + entropy(two_n) - entropy(pairs)) / (entropy(one_n) + entropy(two_n))


def slow_ari(one_n, two_n):
    """(pairs together in both − expected) / (mean of both − expected), pair by pair."""
    together = np.array([(one_n[i] == one_n[j], two_n[i] == two_n[j]) for i, j in combinations(range(len(one_n)), 2)])
    both, one, two = together.all(1).sum(), together[:, 0].sum(), together[:, 1].sum()
    expected = one * two / len(together)
    return (both - expected) / ((one + two) / 2 - expected)


def test_silhouette_widths_are_those_of_loops(cells):
    x_nd, label_n, batch_n = cells
    scores = avg_bio_batch(x_nd, label_n, batch_n).loc["embedding"]
    assert scores["ASW label"] == pytest.approx((slow_silhouette(x_nd, label_n).mean() + 1) / 2)
    of_label = [1 - np.abs(slow_silhouette(x_nd[label_n == c], batch_n[label_n == c])).mean() for c in "abc"]
    assert scores["ASW batch"] == pytest.approx(np.mean(of_label))


@pytest.mark.parametrize("clustering", ["leiden", "louvain"])
def test_nmi_is_the_best_of_all_resolutions_and_ari_goes_with_it(cells, clustering):
    x_nd, label_n, _ = cells
    table = avg_bio_batch(x_nd, label_n, clustering=clustering, seed=3)
    scores = table.loc["embedding"]
    clusters = dict(_averages.partitions(_averages.neighbor_graph(x_nd, 15), clustering, 3))
    assert list(clusters) == pytest.approx([0.1 * step for step in range(1, 21)])
    nmi = {resolution: slow_nmi(label_n, cluster_n) for resolution, cluster_n in clusters.items()}
    best = max(nmi, key=nmi.get)
    assert scores["NMI"] == pytest.approx(nmi[best])
    assert scores["ARI"] == pytest.approx(slow_ari(label_n, clusters[best]))
    assert table.attrs["resolution"] == {"embedding": best}
    assert table.attrs["n_clusters"] == {"embedding": len(set(clusters[best]))}
    assert len(set(clusters[0.1])) < len(set(clusters[2.0]))


def test_averages_are_plain_means(cells):
    table = avg_bio_batch(*cells)
    assert list(table) == ["NMI", "ARI", "ASW label", "AvgBIO", "ASW batch", "graph connectivity", "AvgBATCH"]
    assert table["AvgBIO"].item() == pytest.approx(table[["NMI", "ARI", "ASW label"]].to_numpy().mean())
    assert table["AvgBATCH"].item() == pytest.approx(table[["ASW batch", "graph connectivity"]].to_numpy().mean())


def test_the_graph_is_that_of_scanpy(cells):
    import anndata as ad
    import scanpy as sc

    adata = ad.AnnData(obsm={"x": cells[0]}, shape=(90, 0))
    sc.pp.neighbors(adata, n_neighbors=15, use_rep="x")
    difference = abs(_averages.neighbor_graph(cells[0], 15) - adata.obsp["connectivities"])
    assert difference.max() < 1e-5


def all_partitions(n):
    """Every way to part n things, as lists of cluster numbers."""
    if n == 0:
        return [[]]
    return [[*part, k] for part in all_partitions(n - 1) for k in range(max(part, default=-1) + 2)]


@pytest.mark.parametrize("clustering", ["leiden", "louvain"])
def test_clusters_have_the_largest_modularity_of_all_partitions(rng, clustering):
    w = rng.random((7, 7)) * np.where(np.equal.outer(*[np.arange(7) < 4] * 2), 1, 0.3)
    w = np.triu(w, 1) + np.triu(w, 1).T
    degree, total = w.sum(1), w.sum()
    every = np.array(all_partitions(7))
    assert len(every) == 877  # Bell's number
    together = every[:, :, None] == every[:, None, :]
    sizes = set()
    for resolution, found in _averages.partitions(sparse.csr_array(w), clustering, 0):
        gain = w - resolution * np.outer(degree, degree) / total
        assert (gain * np.equal.outer(found, found)).sum() == pytest.approx((gain * together).sum((1, 2)).max())
        sizes.add(len(set(found)))
    assert len(sizes) > 2


def test_connectivity_by_hand():
    """Label a lies in two heaps of 12 and 8 observations, label b in one: (12 / 20 + 1) / 2."""
    rng = np.random.default_rng(1)
    centre = np.repeat([0, 100, 200], [12, 8, 15])
    x_nd = centre[:, None] + rng.normal(size=(35, 2))
    scores = avg_bio_batch(x_nd, np.repeat(["a", "b"], [20, 15]), np.arange(35) % 2, n_neighbors=6)
    assert scores["graph connectivity"].item() == pytest.approx(0.8)


def test_the_graph_of_connectivity_is_symmetric():
    """An observation that nobody is nearest to still hangs on its own neighbours; in the directed graph it would not."""
    x_nd = np.concatenate([np.zeros(11), np.full(12, 50.0)])[:, None] + np.linspace(0, 1, 23)[:, None]
    x_nd[10] = 9
    scores = avg_bio_batch(x_nd, np.repeat(["a", "b"], [11, 12]), np.arange(23) % 2, n_neighbors=4)
    assert scores["graph connectivity"].item() == 1


def test_several_embeddings_and_no_batches(cells):
    x_nd, label_n, _ = cells
    noise = np.random.default_rng(2).normal(size=(90, 7))
    table = avg_bio_batch({"good": x_nd * 10, "noise": noise}, pd.Series(label_n, dtype="category"))
    assert list(table.index) == ["good", "noise"]
    assert list(table) == ["NMI", "ARI", "ASW label", "AvgBIO"]
    assert table.loc["good", "AvgBIO"] > 0.7 > 0.3 > table.loc["noise", "AvgBIO"]
    pd.testing.assert_frame_equal(table.loc[["noise"]], avg_bio_batch({"noise": noise}, label_n), check_like=True)


def test_the_seed_decides_and_nothing_global_is_drawn_from(cells):
    state = random.getstate()
    first, same = (avg_bio_batch(*cells, seed=1) for _ in range(2))
    pd.testing.assert_frame_equal(first, same)
    assert first.attrs == same.attrs
    assert random.getstate() == state


def test_rows_without_label_or_batch_and_rare_labels_are_left_out(cells, caplog):
    caplog.set_level(logging.INFO, "omicsmlm")
    x_nd, label_n, batch_n = cells
    more_n = np.concatenate([label_n, ["rare"] * 9, [None], ["a"]]).astype(object)
    more_b = np.concatenate([batch_n, ["x"] * 9, ["x"], [np.nan]]).astype(object)
    more_b[-1] = np.nan
    table = avg_bio_batch(np.vstack([x_nd, np.zeros((11, 4))]), more_n, more_b)
    pd.testing.assert_frame_equal(table, avg_bio_batch(*cells))
    note = {key: table.attrs[key] for key in ("left_out", "n_scored", "n_obs", "min_cells")}
    assert note == {"left_out": ["rare"], "n_scored": 90, "n_obs": 101, "min_cells": 10}
    assert caplog.messages == ["avg_bio_batch: labels with fewer than 10 observations are left out: 'rare'."]


X, LABELS, BATCHES = np.random.default_rng(0).normal(size=(24, 3)), ["a", "b"] * 12, ["x", "x", "y", "y"] * 6


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((X, LABELS), {"clustering": "kmeans"}, "clustering: expected one of 'leiden', 'louvain', got 'kmeans'"),
        ((X, LABELS), {"n_neighbors": 1}, "n_neighbors: expected at least 2, the observation itself being one, got 1"),
        ((X, LABELS), {"min_cells": 1}, "min_cells: expected at least 2, got 1; pass 10, say"),
        (({}, LABELS), {}, "embeddings: expected at least one embedding, got none"),
        ((X[:20], LABELS), {}, r"key 'embedding': expected an array \(24, d\), got shape \(20, 3\)"),
        (
            ({"z": X * np.nan}, LABELS),
            {},
            "key 'z': expected finite values, got NaN or infinity in 24 of 24 observations",
        ),
        ((np.ones((24, 2)), LABELS), {}, "key 'embedding': expected rows that differ"),
        ((X, [LABELS]), {}, r"labels: expected one entry per observation, got an array of shape \(1, 24\)"),
        ((X, LABELS, BATCHES[:20]), {}, "batches: expected 24, one per label, got 20; pass columns of the same .obs"),
        (
            (X, ["a"] * 24),
            {},
            "labels: expected at least two to tell apart, got 1 with 10 observations or more; pass other labels",
        ),
        (
            (X, LABELS),
            {"min_cells": 13},
            "labels: expected at least two to tell apart, got 0 with 13 observations or more",
        ),
        (
            (X, LABELS, LABELS),
            {},
            "batches: expected a label that several batches hold, got each label in one batch alone; pass batches=None",
        ),
    ],
)
def test_wrong_input_gets_a_sentence(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        avg_bio_batch(*arguments, **options)


def test_without_igraph_it_says_what_to_install(monkeypatch, cells):
    monkeypatch.setitem(__import__("sys").modules, "igraph", None)
    with pytest.raises(ImportError, match="avg_bio_batch needs igraph; run pip install igraph"):
        avg_bio_batch(*cells)


@pytest.mark.slow
def test_scores_agree_with_scib_metrics(cells):
    import scib_metrics

    x_nd, label_n, batch_n = cells
    scores = avg_bio_batch(x_nd, label_n, batch_n).loc["embedding"]
    assert scores["ASW label"] == pytest.approx(scib_metrics.silhouette_label(x_nd, label_n), abs=1e-5)
    assert scores["ASW batch"] == pytest.approx(scib_metrics.silhouette_batch(x_nd, label_n, batch_n), abs=1e-5)
