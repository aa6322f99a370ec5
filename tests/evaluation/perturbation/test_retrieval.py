"""Perturbations named in batches that were not learned from, against a loop."""

import numpy as np
import pytest

from omicsmlm.evaluation import perturbation


def test_a_perturbation_is_named_in_a_batch_that_was_not_learned_from():
    rng = np.random.default_rng(0)
    names = np.tile(np.repeat([f"p{k}" for k in range(8)], 12), 2)
    batches = np.repeat(["x", "y"], 96)
    x = rng.normal(size=(192, 6))
    noise = perturbation.retrieval(x, names, batches)
    centres = {name: rng.normal(size=6) * 4 for name in np.unique(names)}
    found = perturbation.retrieval(x + np.array([centres[name] for name in names]), names, batches)
    assert list(found.index) == ["linear", "k-NN", "chance"]
    assert (found.loc[["linear", "k-NN"], "top-1"] > 0.9).all()
    assert found.loc["chance", ["top-1", "top-5"]].tolist() == pytest.approx([1 / 8, 5 / 8])
    assert (noise.loc[["linear", "k-NN"], "top-1"] < 0.3).all()
    np.testing.assert_allclose(found["mean"], (found["top-1"] + found["top-5"]) / 2)


def test_neighbours_of_a_loop():
    rng = np.random.default_rng(3)
    x, names, batches = rng.normal(size=(30, 2)), np.array(list("abc") * 10), np.repeat(["x", "y", "z"], 10)
    tops = {1: [], 2: []}
    for batch in "xyz":
        hits = {1: [], 2: []}
        for i in np.flatnonzero(batches == batch):
            others = [j for j in range(30) if batches[j] != batch]
            nearest = sorted(others, key=lambda j: np.linalg.norm(x[i] - x[j]))[:4]
            votes = dict.fromkeys("abc", 0.0)
            for j in nearest:
                votes[names[j]] += 1 / np.linalg.norm(x[i] - x[j])
            ranked = sorted(votes, key=lambda name: -votes[name])
            for k in hits:
                hits[k].append(names[i] in ranked[:k])
        for k in hits:
            tops[k].append(np.mean(hits[k]))
    found = perturbation.retrieval(x, names, batches, n_neighbors=4, tops=(1, 2)).loc["k-NN"]
    assert found["top-1"] == pytest.approx(np.mean(tops[1]))
    assert found["top-2"] == pytest.approx(np.mean(tops[2]))


def test_rows_whose_perturbation_no_other_batch_has_are_not_scored():
    x = np.repeat(np.eye(2), 6, axis=0)
    names, batches = ["a"] * 6 + ["b"] * 5 + ["alone"], ["x", "y"] * 6
    assert perturbation.retrieval(x, names, batches, tops=(1,)).loc["k-NN", "top-1"] == 1
    with pytest.raises(ValueError, match="batches: expected at least two to tell apart, got 1; pass another column"):
        perturbation.retrieval(x, names, ["x"] * 12)
    with pytest.raises(
        ValueError, match="perturbations: expected at least two to tell apart, got 1; pass another column"
    ):
        perturbation.retrieval(x, ["a"] * 12, batches)
    apart = ["a"] * 6 + ["b"] * 6, ["x"] * 6 + ["y"] * 6
    with pytest.raises(
        ValueError, match="batches: expected a perturbation that two of them hold, got none; pass another"
    ):
        perturbation.retrieval(x, *apart)
