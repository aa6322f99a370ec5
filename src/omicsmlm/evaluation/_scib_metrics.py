"""The metrics of scib-metrics, and NaN for those that are undefined."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from omicsmlm._checks import value_error

logger = logging.getLogger(__name__)

_EXACT = 20_000  # observations up to which the neighbours are exact
_FEWEST = 90  # neighbours that scib-metrics looks at
_BIO, _BATCH, _KIND = "Bio conservation", "Batch correction", "Metric Type"
_N_STARTS = 10  # of k-means: from one start alone, bio moves by .1 between nearly equal embeddings (docs/experiments)
_KMEANS = ["KMeans NMI", "KMeans ARI"]
_COLUMNS = {
    "isolated_labels": ["Isolated labels"],
    "silhouette_label": ["Silhouette label"],
    "clisi_knn": ["cLISI"],
    "bras": ["BRAS"],
    "ilisi_knn": ["iLISI"],
    "kbet_per_label": ["KBET"],
    "graph_connectivity": ["Graph connectivity"],
    "pcr_comparison": ["PCR comparison"],
}
"""What scib-metrics calls the columns of each metric that it computes."""
_OF_BATCHES = ("bras", "ilisi_knn", "kbet_per_label", "graph_connectivity", "pcr_comparison")


@contextmanager
def _exact_and_quick(exact: bool) -> Iterator[None]:
    """Use exact neighbours within kBET too, which spares a minute of compilation, and no full garbage collections.

    scib-metrics collects garbage before every metric, which takes a second in a process full of libraries.
    """
    from scib_metrics import nearest_neighbors

    approximate = nearest_neighbors.pynndescent
    theirs = logging.getLogger("scib_metrics")
    level = theirs.level
    had_frozen = gc.get_freeze_count() > 0
    gc.freeze()
    try:
        theirs.setLevel(
            max(level, logging.WARNING)
        )  # one batch alone has a type: `benchmark` says so once, for all metrics
        if exact:
            nearest_neighbors.pynndescent = _exact_neighbors
        yield
    finally:
        nearest_neighbors.pynndescent = approximate
        theirs.setLevel(level)
        if not had_frozen:  # what the caller froze stays so
            gc.unfreeze()


def _exact_neighbors(x_nd: np.ndarray, n_neighbors: int, random_state: int = 0, n_jobs: int = 1) -> Any:
    """Compute exact neighbours, the observation itself included, where scib-metrics would take approximate ones."""
    from scib_metrics.nearest_neighbors import NeighborsResults
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=min(n_neighbors, len(x_nd)), algorithm="brute").fit(x_nd)
    distances, indices = found.kneighbors(x_nd)
    return NeighborsResults(indices=indices, distances=distances)


def scib_table(light: ad.AnnData, names: list[str], has_batches: bool, n_jobs: int) -> pd.DataFrame:
    """Compute one row per embedding, one column per scib metric; the last row says what kind each metric is.

    Parameters
    ----------
    light
        Embeddings in ``obsm`` (and "not integrated", which batch removal is compared with), ``obs`` with "label" and "batch".
    names
        Keys of the embeddings.
    has_batches
        Whether there are metrics of batches.
    n_jobs
        Threads of the neighbour search.

    Returns
    -------
    DataFrame
        A metric that is undefined for these labels and batches (each label in a batch of its own, say) is NaN. NMI and ARI of
        k-means are means over ten starts, where scib-metrics takes one.

    Raises
    ------
    ValueError
        If there are fewer observations than the neighbours of one that LISI looks at.
    """
    if light.n_obs < _FEWEST:
        remedy = "score more observations, or use omicsmlm.evaluation.probe"
        raise value_error("benchmark", f"at least {_FEWEST} observations to score", f"{light.n_obs}", remedy)
    metrics = [name for name in _COLUMNS if has_batches or name not in ("isolated_labels", *_OF_BATCHES)]
    try:
        tables = [_computed(light, names, metrics, n_jobs)]
    except (ArithmeticError, LookupError, TypeError, ValueError):  # one of them is undefined: they are tried one by one
        tables = [_alone(light, names, metric, n_jobs) for metric in metrics]
    return pd.concat([_of_kmeans(light, names), *tables], axis=1)


def _of_kmeans(light: ad.AnnData, names: list[str]) -> pd.DataFrame:
    """Compute NMI and ARI of k-means against the labels, with as many clusters as labels: means over starts."""
    label_n = light.obs["label"].to_numpy()
    table = pd.DataFrame(
        {name: kmeans_scores(light.obsm[name], label_n) for name in names}, index=_KMEANS, dtype=object
    ).T
    table.loc[_KIND] = _BIO
    return table


def kmeans_scores(x_nd: np.ndarray, label_n: np.ndarray) -> tuple[float, float]:
    """Return NMI and ARI of k-means against labels, with as many clusters as labels: means over ten starts.

    Examples
    --------
    >>> kmeans_scores(np.repeat([[0.0], [9.0]], 5, axis=0), np.repeat(["a", "b"], 5))
    (1.0, 1.0)
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    n_clusters = len(np.unique(label_n))
    found = [KMeans(n_clusters, n_init=1, random_state=start).fit(x_nd).labels_ for start in range(_N_STARTS)]
    nmi = np.mean([normalized_mutual_info_score(label_n, cluster_n) for cluster_n in found])
    return float(nmi), float(np.mean([adjusted_rand_score(label_n, cluster_n) for cluster_n in found]))


def _alone(light: ad.AnnData, names: list[str], metric: str, n_jobs: int) -> pd.DataFrame:
    """Compute one metric alone, or NaN."""
    columns = _COLUMNS[metric]
    try:
        return _computed(light, names, [metric], n_jobs)[columns]
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        logger.warning("benchmark: %s cannot be computed for these labels and batches (%s).", columns[0], reason)
    empty = pd.DataFrame(np.nan, index=names, columns=columns, dtype=object)
    empty.loc[_KIND] = _BATCH if metric in _OF_BATCHES else _BIO
    return empty


def _computed(light: ad.AnnData, names: list[str], metrics: list[str], n_jobs: int) -> pd.DataFrame:
    """Compute some metrics; the first that is undefined is raised by scib-metrics."""
    try:
        from scib_metrics.benchmark import BatchCorrection, Benchmarker, BioConservation
    except ImportError as error:
        raise ImportError('benchmark needs scib-metrics; run pip install "scib-metrics>=0.6,<0.7".') from error
    of_batches = {name: name in metrics for name in _OF_BATCHES}
    of_types = {name: name in metrics for name in _COLUMNS if name not in _OF_BATCHES}
    benchmarker = Benchmarker(
        light,
        batch_key="batch",
        label_key="label",
        embedding_obsm_keys=names,
        bio_conservation_metrics=(
            BioConservation(**of_types, nmi_ari_cluster_labels_kmeans=False) if any(of_types.values()) else None
        ),
        batch_correction_metrics=BatchCorrection(**of_batches) if any(of_batches.values()) else None,
        pre_integrated_embedding_obsm_key="not integrated",
        n_jobs=n_jobs,
        progress_bar=False,
    )
    with _exact_and_quick(light.n_obs <= _EXACT):
        benchmarker.prepare(_exact_neighbors if light.n_obs <= _EXACT else None)
        benchmarker.benchmark()
    return benchmarker.get_results(min_max_scale=False)
