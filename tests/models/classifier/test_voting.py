import random
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM
from omicsmlm.models.classifier import _voting
from omicsmlm.models.classifier._voting import HIGHEST_RESOLUTION, RESOLUTIONS, majority_labels, over_clusters
from tests.objects import SMALL, rna, state_of
from tests.test_bad_input import refused


@pytest.fixture(scope="module")
def classifier():
    """A classifier of two of three types; tests must not change it."""
    data = rna(90)
    data.obs["known"] = data.obs["type"].astype(str).replace("t0", "Unknown")
    data.obs["block"] = np.arange(90) // 5
    config = ClassifierConfig(false_rejection=0.2, linear_models=False)
    made = Classifier.from_model(OmicsMLM(data, SMALL), "known", config=config)
    made.train()
    return made


def by_hand(labels, clusters, min_prop):
    """What observations are called, cluster by cluster."""
    found = []
    for label, cluster in zip(labels, clusters, strict=True):
        if pd.isna(cluster):
            found.append(label)
            continue
        votes = [other for other, own in zip(labels, clusters, strict=True) if own == cluster]
        best = min(set(votes), key=lambda name: (-votes.count(name), name))
        found.append(best if votes.count(best) / len(votes) >= min_prop else "Heterogeneous")
    return found


@pytest.mark.parametrize("min_prop", [0.0, 0.5, 0.75, 1.0])
def test_each_cluster_takes_its_most_frequent_label(min_prop):
    rng = np.random.default_rng(0)
    names = [f"cell{i}" for i in range(200)]
    labels = pd.Series(rng.choice(["B", "T", "Unknown"], 200, p=[0.3, 0.6, 0.1]), index=names, name="type")
    clusters = pd.Series(np.append(rng.integers(0, 40, 195).astype(float), [np.nan] * 5))
    voted = majority_labels(labels, clusters, min_prop)
    assert voted.tolist() == by_hand(labels, clusters, min_prop)
    assert voted.index.equals(labels.index)
    assert voted.name == "type"
    assert (voted == "Heterogeneous").any() == (min_prop > 0.4), "of three labels in forty clusters"


def test_votes_do_not_depend_on_the_order_or_the_type_of_clusters():
    labels = pd.Series(["b", "a", "b", "c", "c", "a"])
    clusters = pd.Series([3, 3, 3, 1, 1, 1])
    voted = majority_labels(labels, clusters)
    assert voted.tolist() == ["b", "b", "b", "c", "c", "c"]
    order = [5, 0, 3, 1, 4, 2]
    assert majority_labels(labels.iloc[order], clusters.iloc[order]).equals(voted.iloc[order])
    assert majority_labels(labels, clusters.astype("category")).equals(voted)
    assert majority_labels(labels, pd.Series([np.nan] * 6)).equals(labels)
    assert majority_labels(labels[:0], clusters[:0]).empty


def test_clusters_are_small_parts_of_groups_and_the_same_again():
    rng = np.random.default_rng(1)
    group_n = np.repeat([0, 1, 2], 100)
    z_nd = (10.0 * np.eye(3)[group_n] + rng.normal(size=(300, 3))).astype(np.float32)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    cluster_n = over_clusters(z_nd, 0)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all(), "the caller's random numbers go on as they were"  # noqa: NPY002
    assert torch.get_num_threads() == states[2]
    assert cluster_n.nunique() >= 9, "over-clustered"
    assert pd.Series(group_n).groupby(cluster_n).nunique().max() == 1
    assert over_clusters(z_nd, 0).equals(cluster_n)
    assert [over_clusters(z_nd[:n], 0).nunique() for n in (0, 1, 2)] == [0, 1, 2]
    assert len(over_clusters(z_nd[:5], 0)) == 5


def test_the_seed_reaches_the_search_for_neighbours_and_for_clusters(monkeypatch):
    import scanpy as sc

    seeds = []
    for room, name in ((sc.pp, "neighbors"), (sc.tl, "leiden")):
        theirs = getattr(room, name)

        def noting(*args, _theirs=theirs, **kwargs):
            seeds.append(kwargs["random_state"])
            return _theirs(*args, **kwargs)

        monkeypatch.setattr(room, name, noting)
    over_clusters(np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32), 7)
    assert seeds == [7, 7]


def test_resolutions_are_those_of_celltypist():
    assert RESOLUTIONS == ((5000, 5), (20_000, 10), (40_000, 15), (100_000, 20), (200_000, 25))
    assert HIGHEST_RESOLUTION == 30


def test_without_igraph_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match="pip install igraph"):
        over_clusters(np.zeros((20, 2), dtype=np.float32), 0)


def test_a_classifier_votes_by_a_column_or_by_clusters_of_the_embedding(classifier):
    data = classifier.model.adata
    held, labels = state_of(data), classifier.predict()
    assert "Unknown" in set(labels)
    voted = classifier.predict(majority_voting="block", min_prop=0.5)
    assert voted.tolist() == by_hand(labels, data.obs["block"], 0.5)
    assert voted.index.equals(labels.index)
    assert voted.name == "known"
    cluster_n = over_clusters(classifier.model.get_latent_representation(), 0)
    of_embedding = classifier.predict(majority_voting=True)
    assert of_embedding.tolist() == by_hand(labels, cluster_n, 0)
    assert not of_embedding.equals(labels)
    assert classifier.predict(majority_voting=True, batch_size=7).equals(of_embedding)
    assert state_of(data) == held


def test_queries_and_some_observations_vote_among_themselves(classifier):
    query = rna(90)[40:80].copy()
    query.obs["mine"] = ["x", "y"] * 20
    labels = classifier.predict(query)
    assert classifier.predict(query, majority_voting="mine").tolist() == by_hand(labels, query.obs["mine"], 0)
    for indices in ([3, -1, 8, 5], np.arange(40) < 9, []):
        some = labels.iloc[list(indices)]
        found = classifier.predict(query, indices=indices, majority_voting="mine")
        assert found.tolist() == by_hand(some, query.obs["mine"].iloc[list(indices)], 0)
        assert found.index.equals(some.index)
        assert classifier.predict(query, indices=indices, majority_voting=True).index.equals(some.index)


def test_what_cannot_be_voted_on_is_refused(classifier):
    data = classifier.model.adata
    with refused("majority_voting: expected soft=False, .* got soft=True.*; pass one of the two", data):
        classifier.predict(soft=True, majority_voting=True)
    with refused("min_prop: expected a fraction from 0 to 1, got 60", data):
        classifier.predict(majority_voting=True, min_prop=60)
    with refused("column 'blocks': expected a column of .obs, got columns .*'block'", data):
        classifier.predict(majority_voting="blocks")


def test_clusters_are_as_fine_as_those_of_celltypist():
    """celltypist.classifier.Classifier.over_clustering, version 1.7."""
    assert _voting.RESOLUTIONS == ((5_000, 5.0), (20_000, 10.0), (40_000, 15.0), (100_000, 20.0), (200_000, 25.0))
    assert (_voting.HIGHEST_RESOLUTION, _voting.N_NEIGHBORS) == (30.0, 10)
    assert _voting.FEWEST_OBSERVATIONS == 3, "two are no graph; of three there are neighbours"
