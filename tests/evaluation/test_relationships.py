"""The recall of known pairs in the two tails, against a loop over all pairs."""

import itertools

import numpy as np
import pandas as pd
import pytest

from omicsmlm.evaluation import _relationships, relationship_recall


@pytest.fixture
def genes():
    rng = np.random.default_rng(0)
    names = [f"g{i}" for i in range(25)]
    known = [("g0", "g1", "A"), ("g1", "g0", "A"), ("g2", "g3", "A"), ("g4", "g4", "A"), ("g5", "absent", "A")]
    known += [(f"g{i}", f"g{i + 7}", "B") for i in range(15)] + [("absent", "none", "C")]
    return rng.normal(size=(25, 4)), names, pd.DataFrame(known, columns=["gene_a", "gene_b", "source"])


def cosine(x, i, j):
    return float(x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]))


@pytest.mark.parametrize("tail", [0.05, 0.2])
def test_the_recall_of_a_loop(genes, tail):
    x, names, pairs = genes
    everything = [cosine(x, i, j) for i, j in itertools.combinations(range(25), 2)]
    low, high = np.quantile(everything, tail), np.quantile(everything, 1 - tail)
    found = relationship_recall(x, names, pairs, tail=tail)
    assert list(found.index) == ["A", "B"]
    assert found["n"].tolist() == [2, 15], "each pair once; itself and what is not there never"
    assert found.attrs["thresholds"] == pytest.approx((low, high), abs=1e-5)
    own = {"A": [(0, 1), (2, 3)], "B": [(i, i + 7) for i in range(15)]}
    for source, ends in own.items():
        values = np.array([cosine(x, i, j) for i, j in ends])
        assert found.loc[source, "low"] == pytest.approx((values <= low).mean())
        assert found.loc[source, "high"] == pytest.approx((values >= high).mean())
        assert found.loc[source, "recall"] == pytest.approx(((values <= low) | (values >= high)).mean())


def test_matched_pairs_are_compared_with_pairs_of_their_classes(genes, monkeypatch):
    x, names, pairs = genes
    monkeypatch.setattr(_relationships, "_CLASSES", 2)
    number = np.random.default_rng(2).permutation(25).astype(float)
    upper = number >= np.sort(number)[13]
    found = relationship_recall(x, names, pairs, tail=0.2, matched_on=number)
    assert found.attrs == {}
    own = {"A": [(0, 1), (2, 3)], "B": [(i, i + 7) for i in range(15)]}
    for source, ends in own.items():
        low, high = 0, 0
        for i, j in ends:
            alike = [
                cosine(x, k, m)
                for k, m in itertools.combinations(range(25), 2)
                if {upper[k], upper[m]} == {upper[i], upper[j]}
            ]
            low += cosine(x, i, j) <= np.quantile(alike, 0.2)
            high += cosine(x, i, j) >= np.quantile(alike, 0.8)
        assert found.loc[source, ["low", "high"]].tolist() == pytest.approx([low / len(ends), high / len(ends)])


def test_abundance_alone_recalls_nothing_once_matched_on_it():
    rng = np.random.default_rng(0)
    abundance = rng.exponential(size=600)
    names = [f"g{i}" for i in range(600)]
    x = np.column_stack([abundance, rng.normal(size=(600, 8)) / 8])
    abundant = np.argsort(-abundance)[:200]
    pairs = pd.DataFrame(
        [(names[i], names[j]) for i, j in rng.choice(abundant, (2000, 2))], columns=["gene_a", "gene_b"]
    )
    assert relationship_recall(x, names, pairs)["recall"].iloc[0] > 0.15
    assert relationship_recall(x, names, pairs, matched_on=abundance)["recall"].iloc[0] == pytest.approx(0.1, abs=0.025)


def test_where_all_are_alike_no_pair_stands_out(genes):
    _, names, pairs = genes
    assert (relationship_recall(np.zeros((25, 3)), names, pairs)["recall"] == 0).all()


@pytest.mark.parametrize(
    ("number", "found"), [(np.ones(3), r"shape \(3,\) for 25 names"), (np.full(25, np.nan), "NaN or infinity")]
)
def test_what_is_matched_on_has_a_number_for_each(genes, number, found):
    with pytest.raises(ValueError, match=f"matched_on: expected a finite number of each name, got {found}; pass"):
        relationship_recall(*genes, matched_on=number)


def test_chance_is_both_tails(genes):
    x, names, _ = genes
    everything = pd.DataFrame(itertools.combinations(names, 2), columns=["gene_a", "gene_b"])
    found = relationship_recall(x, names, everything)
    assert list(found.index) == ["all"]
    assert found.loc["all", "recall"] == pytest.approx(0.1, abs=0.01)


def test_many_pairs_are_sampled(genes, monkeypatch):
    x = np.random.default_rng(1).normal(size=(300, 5))
    names, pairs = [f"g{i}" for i in range(300)], genes[2]
    exact = relationship_recall(x, names, pairs)
    monkeypatch.setattr(_relationships, "_MOST_PAIRS", 20_000)
    sampled = relationship_recall(x, names, pairs)
    assert sampled.attrs["thresholds"] == pytest.approx(exact.attrs["thresholds"], abs=0.03)
    assert sampled.attrs["thresholds"] != exact.attrs["thresholds"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x, n, p: (x[1:], n, p),
            r"embedding: expected finite values \(g, d\), .* got shape \(24, 4\) for 25 names",
        ),
        (
            lambda x, n, p: (x * np.nan, n, p),
            r"embedding: expected finite values \(g, d\), .* got NaN or infinity; pass",
        ),
        (
            lambda x, n, p: (x, ["g0", *n[:-1]], p),
            "names: expected distinct names, got duplicates 'g0'; leave one of each",
        ),
        (
            lambda x, n, p: (x, n, p.drop(columns="gene_b")),
            "pairs: expected columns 'gene_a', 'gene_b', got 'gene_a', 's",
        ),
        (
            lambda x, n, p: (x, [f"x{i}" for i in range(25)], p),
            "pairs: expected a pair of which both are there, got none",
        ),
    ],
)
def test_what_does_not_fit_is_refused(genes, change, message):
    with pytest.raises(ValueError, match=message):
        relationship_recall(*change(*genes))


def test_a_tail_is_below_a_half(genes):
    with pytest.raises(ValueError, match="tail: expected a share between 0 and 0.5, got 0.5; pass 0.05, say"):
        relationship_recall(*genes, tail=0.5)
