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
