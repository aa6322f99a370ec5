"""Counts predicted from an embedding, by hand."""

import numpy as np
import pytest

from omicsmlm.evaluation import perturbation


def test_counts_that_are_linear_in_the_embedding_come_back_and_others_do_not():
    rng = np.random.default_rng(0)
    x, batches = rng.normal(size=(90, 3)), np.repeat(["x", "y", "z"], 30)
    found = perturbation.inversion(x, x @ rng.normal(size=(3, 5)) + 2, batches)
    assert list(found.index) == ["x", "y", "z", "mean"]
    assert (found > 0.999).to_numpy().all()
    noise = perturbation.inversion(x, rng.normal(size=(90, 5)), batches)
    assert (noise.loc["mean"] < 0.15).all()
    assert noise.loc["mean"].tolist() == pytest.approx(noise.iloc[:3].mean().tolist())


def test_the_scores_of_the_inversion_by_hand():
    x = np.array([[0.0], [2.0], [0.0], [2.0]])
    y = np.array([[0.0, 1], [2, 1], [1, 1], [2, 1]])
    found = perturbation.inversion(x, y, ["x", "x", "y", "y"]).loc["y"]
    # ridge on two observations, x standardised to -1 and 1: the guesses are 1 - s and 1 + s, with s shrunk by the strength
    possible = [1 / (1 + strength / 2) for strength in np.logspace(-1, 5, 7)]
    scores = [1 - ((1 - (1 - s)) ** 2 + (2 - (1 + s)) ** 2) / 1.0 for s in possible]
    assert min(abs(found["R2"] - score) for score in scores) < 1e-6
    assert found["pearson"] == pytest.approx(1), "the gene that does not vary is left out"


def test_the_inversion_refuses_what_does_not_fit():
    x = np.eye(4)
    with pytest.raises(
        ValueError, match="log_counts: expected 4 observations, as the embedding has, got 3; pass the same observations"
    ):
        perturbation.inversion(x, x[1:], list("xxyy"))
    with pytest.raises(ValueError, match="batches: expected at least two, got 1; pass another column"):
        perturbation.inversion(x, x, list("xxxx"))
