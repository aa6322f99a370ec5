"""Majority voting: each cluster of observations takes the label that most of its observations were predicted to have."""

import anndata as ad
import numpy as np
import pandas as pd

from omicsmlm._checks import check_switch, check_type, shortened, value_error
from omicsmlm._compat import keep_torch_threads
from omicsmlm.data import category_codes

HETEROGENEOUS = "Heterogeneous"
"""What CellTypist calls a cluster whose most frequent label is less frequent than asked for."""
N_NEIGHBORS = 10
"""Nearest neighbours of an observation in the graph that is clustered, as in CellTypist."""
RESOLUTIONS = ((5_000, 5.0), (20_000, 10.0), (40_000, 15.0), (100_000, 20.0), (200_000, 25.0))
"""Observations below which a resolution of Leiden is taken: CellTypist's over-clustering."""
HIGHEST_RESOLUTION = 30.0
FEWEST_OBSERVATIONS = 3
"""Fewer than these have no graph of neighbours to be clustered; each is then a cluster of its own."""


def check_voting(majority_voting: bool | str, min_prop: float, soft: bool) -> None:
    """Refuse what cannot be voted on.

    Parameters
    ----------
    majority_voting, min_prop, soft
        As in :meth:`Classifier.predict`.

    Raises
    ------
    ValueError
        If probabilities are asked for, or ``min_prop`` is no fraction.
    """
    wanted, remedy = "True, False or the name of a column", "leave it out for the label of each observation"
    check_type("majority_voting", majority_voting, (bool, np.bool_, str), wanted, remedy)
    check_switch("soft", soft)
    is_number = isinstance(min_prop, int | float | np.number) and not isinstance(min_prop, bool)
    if not is_number or not 0 <= min_prop <= 1:
        raise value_error("min_prop", "a fraction from 0 to 1", shortened(min_prop), "pass 0 to name every cluster")
    if majority_voting and soft:
        found, remedy = "soft=True, which asks for probabilities", "pass one of the two"
        raise value_error("majority_voting", "soft=False, as clusters vote by labels", found, remedy)


def majority_labels(labels: pd.Series, clusters: pd.Series, min_prop: float = 0.0) -> pd.Series:
    """Return the most frequent label of each observation's cluster (Domínguez Conde et al. 2022, CellTypist).

    Parameters
    ----------
    labels
        (n,) predicted labels; that of unknown observations is one like the others.
    clusters
        (n,) clusters in the same order, missing where an observation is in none: it keeps its label.
    min_prop
        Fraction of a cluster that must have its most frequent label, 0 to 1; a cluster without such a label is called
        ``Heterogeneous``.

    Returns
    -------
    pandas.Series
        (n,) labels, with the index and the name of ``labels``. Of equally frequent labels the first by name is taken.

    Examples
    --------
    >>> labels = pd.Series(["B", "T", "T", "B", "NK", "NK"])
    >>> clusters = pd.Series([1, 1, 1, 2, 2, None])
    >>> majority_labels(labels, clusters).tolist()  # T has 2 of 3; B and NK have 1 of 2 each; the last is in no cluster
    ['T', 'T', 'T', 'B', 'B', 'NK']
    >>> majority_labels(labels, clusters, min_prop=0.6).tolist()
    ['T', 'T', 'T', 'Heterogeneous', 'Heterogeneous', 'NK']
    """
    cluster_n, clusters_k = category_codes(clusters)
    label_n, label_c = pd.factorize(labels, sort=True)
    votes_kc = np.zeros((len(clusters_k), len(label_c)), dtype=np.int64)
    voter_n = cluster_n >= 0
    np.add.at(votes_kc, (cluster_n[voter_n], label_n[voter_n]), 1)
    voted = labels.to_numpy(dtype=object, copy=True)
    if voter_n.any():
        is_clear_k = votes_kc.max(1) >= min_prop * votes_kc.sum(1)
        winner_k = np.where(is_clear_k, np.asarray(label_c, dtype=object)[votes_kc.argmax(1)], HETEROGENEOUS)
        voted[voter_n] = winner_k[cluster_n[voter_n]]
    return pd.Series(voted, index=labels.index, name=labels.name, dtype=labels.dtype)


def over_clusters(z_nd: np.ndarray, seed: int) -> pd.Series:
    """Compute many small clusters of an embedding, by Leiden on its graph of nearest neighbours, as CellTypist does.

    Parameters
    ----------
    z_nd
        (n, d) embedding.
    seed
        Seed of neighbours and clusters; the same seed gives the same clusters.

    Returns
    -------
    pandas.Series
        (n,) int, the cluster of each observation.

    Raises
    ------
    ImportError
        If igraph is not installed.
    """
    if len(z_nd) < FEWEST_OBSERVATIONS:
        return pd.Series(np.arange(len(z_nd)))
    try:
        import igraph  # noqa: F401
    except ImportError as error:
        raise ImportError("majority_voting=True needs igraph; run pip install igraph.") from error
    import scanpy as sc

    resolution = next((value for below, value in RESOLUTIONS if len(z_nd) < below), HIGHEST_RESOLUTION)
    light = ad.AnnData(shape=(len(z_nd), 0))
    light.obsm["z"] = z_nd
    with keep_torch_threads():
        n_neighbors = min(N_NEIGHBORS, len(z_nd) - 1)
        sc.pp.neighbors(light, n_neighbors=n_neighbors, use_rep="z", random_state=seed)
        sc.tl.leiden(light, resolution, random_state=seed, flavor="igraph", n_iterations=2, directed=False)
    return pd.Series(light.obs["leiden"].astype(int).to_numpy())
