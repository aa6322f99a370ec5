"""AvgBIO and AvgBATCH: what scGPT and scMBERT report of an embedding."""

import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error
from omicsmlm.evaluation._benchmark import check_embedding

logger = logging.getLogger(__name__)

Clustering = Literal["leiden", "louvain"]

RESOLUTIONS = np.arange(1, 21) / 10
"""From 0.1 to 2.0, as in scIB."""


@in_one_sentence_of_types
def avg_bio_batch(
    embeddings: Any,
    labels: Any,
    batches: Any = None,
    *,
    clustering: Clustering = "leiden",
    n_neighbors: int = 15,
    min_cells: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Score how well embeddings keep types apart (AvgBIO) and batches together (AvgBATCH), in the manner of scGPT.

    All scores are those of scIB (Luecken et al. 2022); each lies between 0 and 1 and more is better, but for the ARI,
    which can be a little below 0.

    - ``NMI`` (arithmetic mean of the entropies) and ``ARI`` of clusters against labels. The clusters are those of the
      resolution, of 0.1, 0.2 … 2.0, whose NMI is best, so both are optimistic; they maximise the modularity of the
      weighted graph of neighbours that UMAP and scanpy make.
    - ``ASW label``: (s + 1) / 2, s the mean silhouette width of the labels, by Euclidean distance.
    - ``AvgBIO``: the mean of these three.
    - ``ASW batch``: in each label, the mean of 1 − \|s\|, s the silhouette width of the batches among the observations
      of the label; then the mean over the labels that more than one batch holds.
    - ``graph connectivity``: in each label, the fraction of its observations in the largest connected component that
      they make in the graph; then the mean over labels. The graph is symmetric, as in scIB; scib-metrics takes the
      directed one and its number is lower.
    - ``AvgBATCH``: the mean of these two.

    Parameters
    ----------
    embeddings
        (n_obs, d), finite, or several of them by name, each of any d.
    labels
        (n_obs,) types; an observation whose label is missing is left out.
    batches
        (n_obs,) batches; an observation whose batch is missing is left out. None where there are none: then AvgBIO is
        given alone.
    clustering
        ``leiden``, or ``louvain`` as in the first versions of scIB.
    n_neighbors
        Nearest neighbours of an observation in the graph, itself among them as in scanpy; exact, by Euclidean distance.
    min_cells
        Labels of fewer observations are left out, named in ``attrs["left_out"]`` and logged.
    seed
        Seed of the clustering.

    Returns
    -------
    DataFrame
        One row per embedding (``embedding`` if it has no name) with the scores above. ``attrs``: ``resolution`` and
        ``n_clusters`` of the clusters of each embedding, ``left_out``, ``n_scored``, ``n_obs``, ``min_cells``.

    Raises
    ------
    ValueError
        If shapes disagree, an embedding is not finite or constant, an argument is out of range, fewer than two labels
        are left, or no label is held by two batches.
    ImportError
        If igraph is not installed.

    Examples
    --------
    >>> two_types = np.repeat([[0.0], [9.0]], 20, axis=0) + np.linspace(0, 1, 40)[:, None]
    >>> scores = avg_bio_batch(two_types, ["a"] * 20 + ["b"] * 20, ["x", "y"] * 20)
    >>> scores[["NMI", "ARI", "graph connectivity"]].to_numpy().tolist()
    [[1.0, 1.0, 1.0]]
    """
    _check_arguments(clustering, n_neighbors, min_cells)
    taken = embeddings if isinstance(embeddings, Mapping) else {"embedding": embeddings}
    if not taken:
        raise value_error(
            "embeddings", "at least one embedding", "none", "pass an array (n_obs, d), or several by name"
        )
    taken = {str(name): np.asarray(values, dtype=np.float64) for name, values in taken.items()}
    label_n = _entries("labels", labels)
    batch_n = None if batches is None else _entries("batches", batches)
    for name, values in taken.items():
        check_embedding(name, values, len(label_n))
    evaluated_n, note = _evaluated_observations(label_n, batch_n, min_cells)
    label_n, batch_n = label_n[evaluated_n].astype(str), None if batch_n is None else batch_n[evaluated_n].astype(str)
    rows = {}
    for name, values in taken.items():
        graph = neighbor_graph(values[evaluated_n], n_neighbors)
        rows[name] = _bio(values[evaluated_n], graph, label_n, clustering, seed)
        if batch_n is not None:
            rows[name] |= _batch(values[evaluated_n], graph, label_n, batch_n)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("embedding")
    table.attrs.update(note | {column: table.pop(column).to_dict() for column in ("resolution", "n_clusters")})
    return table


def _check_arguments(clustering: str, n_neighbors: int, min_cells: int) -> None:
    if clustering not in get_args(Clustering):
        raise value_error("clustering", f"one of {named(get_args(Clustering))}", repr(clustering), "pass one of these")
    if n_neighbors < 2:
        raise value_error(
            "n_neighbors", "at least 2, the observation itself being one", str(n_neighbors), "pass 15, say"
        )
    if min_cells < 2:
        raise value_error("min_cells", "at least 2", str(min_cells), "pass 10, say")


def _entries(argument: str, values: Any) -> np.ndarray:
    entry_n = np.asarray(values, dtype=object)
    if entry_n.ndim != 1:
        raise value_error(
            argument, "one entry per observation", f"an array of shape {entry_n.shape}", "pass a column of .obs"
        )
    return entry_n


def _evaluated_observations(
    label_n: np.ndarray, batch_n: np.ndarray | None, min_cells: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return which observations have a batch and a label that `min_cells` of them carry; and what is left out."""
    if batch_n is not None and len(batch_n) != len(label_n):
        raise value_error(
            "batches", f"{len(label_n)}, one per label", str(len(batch_n)), "pass columns of the same .obs"
        )
    usable_n = ~pd.isna(label_n) if batch_n is None else ~pd.isna(label_n) & ~pd.isna(batch_n)
    counts = pd.Series(label_n[usable_n].astype(str)).value_counts()
    rare = sorted(counts.index[counts < min_cells])
    if len(counts) - len(rare) < 2:
        found = f"{len(counts) - len(rare)} with {min_cells} observations or more"
        raise value_error("labels", "at least two to tell apart", found, "pass other labels or a smaller min_cells")
    if rare:
        logger.info("avg_bio_batch: labels with fewer than %d observations are left out: %s.", min_cells, named(rare))
    evaluated_n = usable_n & ~np.isin(label_n.astype(str), rare)
    return evaluated_n, {
        "left_out": rare,
        "n_scored": int(evaluated_n.sum()),
        "n_obs": len(label_n),
        "min_cells": min_cells,
    }


def neighbor_graph(x_nd: np.ndarray, n_neighbors: int) -> sparse.csr_array:
    """Compute the symmetric graph of nearest neighbours, weighted as in UMAP (McInnes et al. 2018, section 3.1); (n, n)."""
    from sklearn.neighbors import NearestNeighbors
    from umap.umap_ import fuzzy_simplicial_set

    others = min(n_neighbors, len(x_nd)) - 1
    distance_nk, index_nk = NearestNeighbors(n_neighbors=others, algorithm="brute").fit(x_nd).kneighbors()
    weights, _, _ = fuzzy_simplicial_set(
        sparse.coo_matrix((len(x_nd), 1)),  # only its shape is looked at
        n_neighbors=others + 1,
        random_state=None,  # nothing is drawn where neighbours are given
        metric=None,
        knn_indices=np.column_stack([np.arange(len(x_nd)), index_nk]),
        knn_dists=np.column_stack([np.zeros(len(x_nd)), distance_nk]).astype(np.float32),
    )
    return sparse.csr_array(weights)


def partitions(graph: sparse.csr_array, clustering: Clustering, seed: int) -> Iterator[tuple[float, np.ndarray]]:
    """Yield each resolution γ with the clusters (n,) of largest Σ (w_ij − γ k_i k_j / 2m) over pairs in one cluster."""
    with _seeded_igraph(seed) as igraph:
        upper = sparse.triu(graph, k=1).tocoo()
        network = igraph.Graph(n=graph.shape[0], edges=np.column_stack([upper.row, upper.col]))
        network.es["weight"] = upper.data
        for resolution in RESOLUTIONS.tolist():
            options = {"weights": "weight", "resolution": resolution}
            if clustering == "louvain":
                found = network.community_multilevel(**options)
            else:
                found = network.community_leiden(objective_function="modularity", n_iterations=-1, **options)
            yield resolution, np.asarray(found.membership)


@contextmanager
def _seeded_igraph(seed: int) -> Iterator[Any]:
    """Let igraph draw from a generator of our own, and give it back its usual one."""
    try:
        import igraph
    except ImportError as error:
        raise ImportError("avg_bio_batch needs igraph; run pip install igraph.") from error
    igraph.set_random_number_generator(random.Random(seed))
    try:
        yield igraph
    finally:
        igraph.set_random_number_generator(random)


def _bio(
    x_nd: np.ndarray, graph: sparse.csr_array, label_n: np.ndarray, clustering: Clustering, seed: int
) -> dict[str, float]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

    best: dict[str, float] = {"NMI": -1.0}
    for resolution, cluster_n in partitions(graph, clustering, seed):
        nmi = float(normalized_mutual_info_score(label_n, cluster_n))
        if nmi > best["NMI"]:
            ari = float(adjusted_rand_score(label_n, cluster_n))
            best = {"NMI": nmi, "ARI": ari, "resolution": resolution, "n_clusters": len(np.unique(cluster_n))}
    best["ASW label"] = (float(silhouette_score(x_nd, label_n)) + 1) / 2
    return best | {"AvgBIO": (best["NMI"] + best["ARI"] + best["ASW label"]) / 3}


def _batch(x_nd: np.ndarray, graph: sparse.csr_array, label_n: np.ndarray, batch_n: np.ndarray) -> dict[str, float]:
    from scipy.sparse.csgraph import connected_components
    from sklearn.metrics import silhouette_samples

    widths, connected = [], []
    for label in np.unique(label_n):
        row_m = np.flatnonzero(label_n == label)
        _, component_m = connected_components(graph[row_m][:, row_m], directed=False)
        connected.append(np.bincount(component_m).max() / len(row_m))
        if 1 < len(np.unique(batch_n[row_m])) < len(row_m):
            widths.append(1 - np.abs(silhouette_samples(x_nd[row_m], batch_n[row_m])).mean())
    if not widths:
        found = "each label in one batch alone"
        raise value_error("batches", "a label that several batches hold", found, "pass batches=None for AvgBIO alone")
    asw, connectivity = float(np.mean(widths)), float(np.mean(connected))
    return {"ASW batch": asw, "graph connectivity": connectivity, "AvgBATCH": (asw + connectivity) / 2}
