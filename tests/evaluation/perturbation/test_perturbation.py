"""Scores of perturbation embeddings against loops, definitions and cases worked by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import fractional_matrix_power

from omicsmlm.evaluation import perturbation
from omicsmlm.evaluation.perturbation._consistency import agreement


@pytest.fixture
def cells():
    """Observations of two batches that differ by shift and scale, a third of them controls."""
    rng = np.random.default_rng(0)
    names = np.array(["control", "a", "b"] * 40)
    batches = np.repeat(["x", "y"], 60)
    x = rng.normal(size=(120, 4)) @ rng.normal(size=(4, 4))
    x = x * np.where(batches == "y", 3.0, 1.0)[:, None] + np.where(batches == "y", 9.0, 0.0)[:, None]
    return x, names, names == "control", batches


# ---- controls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["centre", "standardise"])
@pytest.mark.parametrize("batched", [False, True])
def test_relative_to_the_controls_of_a_loop(cells, function, batched):
    x, _, is_control, batches = cells
    found = getattr(perturbation, function)(x, is_control, batches if batched else None)
    for i in range(len(x)):
        own = [j for j in range(len(x)) if is_control[j] and (not batched or batches[j] == batches[i])]
        for d in range(x.shape[1]):
            mean = sum(x[j, d] for j in own) / len(own)
            deviation = math.sqrt(sum((x[j, d] - mean) ** 2 for j in own) / len(own))
            expected = x[i, d] - mean if function == "centre" else (x[i, d] - mean) / deviation
            assert found[i, d] == pytest.approx(expected)


def test_a_dimension_in_which_controls_agree_is_only_centred():
    assert perturbation.standardise([[1.0], [1.0], [4.0]], np.array([True, True, False])).ravel().tolist() == [0, 0, 3]


@pytest.mark.parametrize("batched", [False, True])
def test_tvn_step_by_step(cells, batched):
    x, _, is_control, batches = cells
    found = perturbation.tvn(x, is_control, batches if batched else None)
    z = (x - x[is_control].mean(0)) / x[is_control].std(0)
    _, axes = np.linalg.eigh(np.cov(z[is_control], rowvar=False))
    z = z @ axes[:, ::-1]
    for batch in np.unique(batches) if batched else [None]:
        own = batches == batch if batched else np.ones(len(x), dtype=bool)
        controls = own & is_control
        z[own] = (z[own] - z[controls].mean(0)) / z[controls].std(0)
        if batched:
            z[own] = z[own] @ fractional_matrix_power(np.cov(z[controls], rowvar=False) + 0.5 * np.eye(4), -0.5)
    # the sign of a principal axis is free, and a whitening is the same for either
    np.testing.assert_allclose(np.abs(found), np.abs(z), atol=1e-6)
    np.testing.assert_allclose(found @ found.T, z @ z.T, atol=1e-6)


def test_tvn_of_few_controls_keeps_as_many_axes():
    x = np.random.default_rng(0).normal(size=(9, 6))
    found = perturbation.tvn(x, np.arange(9) < 4, ["x"] * 9)
    assert found.shape == (9, 4)
    assert np.isfinite(found).all()


def test_profiles_are_means_without_controls(cells):
    x, names, is_control, _ = cells
    found = perturbation.profiles(x, names, is_control)
    assert list(found.index) == ["a", "b"]
    np.testing.assert_allclose(found.loc["b"], x[names == "b"].mean(0))


def no_controls(x, is_control, batches):
    return x, is_control & (batches == "x"), batches


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, c, b: (x[0], c, b), r"embedding: expected finite values of shape \(n, d\), got shape \(4,\); pass"),
        (
            lambda x, c, b: (x * np.nan, c, b),
            r"embedding: expected finite values of shape \(n, d\), got NaN or infinity",
        ),
        (
            lambda x, c, b: (x, c[1:], b),
            r"is_control: expected 120 booleans, one per observation, got bool of shape \(119,\); pass",
        ),
        (
            lambda x, c, b: (x, c * 1, b),
            r"is_control: expected 120 booleans, one per observation, got int64 of shape \(120,\)",
        ),
        (
            lambda x, c, b: (x, c, b[1:]),
            "batches: expected 120 names, one per observation, got 119; pass a column of the .obs",
        ),
        (
            lambda x, c, b: (x, c, [None, *b[1:]]),
            "batches: expected 120 names, one per observation, got 1 missing; pass a column",
        ),
        (
            no_controls,
            "batch 'y': expected at least 2 controls, got 0; leave these observations out, or pass no batches",
        ),
        (
            lambda x, c, b: (x, c & False, None),
            "is_control: expected at least 2 controls, got 0; leave these observations out",
        ),
    ],
)
def test_what_does_not_fit_is_refused(cells, change, message):
    x, _, is_control, batches = cells
    with pytest.raises(ValueError, match=message):
        perturbation.tvn(*change(x, is_control, batches))


# ---- consistency --------------------------------------------------------------------------------------------------


def slow_agreement(x):
    cosines = []
    for i in range(len(x)):
        others = sum(x[j] for j in range(len(x)) if j != i)
        cosines.append(float(x[i] @ others / np.linalg.norm(x[i]) / np.linalg.norm(others)))
    return sum(cosines) / len(cosines)


def test_the_agreement_of_a_loop_and_by_hand():
    x = np.random.default_rng(0).normal(size=(7, 3)) + 0.4
    assert agreement(x) == pytest.approx(slow_agreement(x))
    assert agreement(np.array([[1.0, 0], [2.0, 0]])) == pytest.approx(1)
    assert agreement(np.array([[1.0, 0], [-2.0, 0]])) == pytest.approx(-1)
    assert agreement(np.array([[1.0, 0], [0, 1], [0, 0]])) == pytest.approx(0), (
        "an observation of no length has no direction"
    )


def test_what_points_one_way_is_consistent_and_noise_is_not():
    rng = np.random.default_rng(1)
    names = np.repeat(["control", *(f"p{k}" for k in range(20)), "rare"], [60, *[15] * 20, 2])
    x = rng.normal(size=(len(names), 8))
    for k in range(5):
        x[names == f"p{k}"] += rng.normal(size=8)
    found = perturbation.consistency(x, names, names == "control", n_null=400)
    assert found.loc["p3", "cosine"] == pytest.approx(slow_agreement(x[names == "p3"]))
    assert (found.loc[[f"p{k}" for k in range(5)], "p"] < 0.01).all()
    assert found["p"].iloc[5:].min() > 0
    assert (found["p"] < 0.01).sum() <= 7, "a level of one in a hundred"
    assert found.attrs["share"] == pytest.approx((found["p"] < 0.01).mean())
    assert found.attrs["left_out"] == ["rare"]
    again = perturbation.consistency(x, names, names == "control", n_null=400)
    assert again.equals(found), "the seed decides"


def test_a_batch_effect_is_no_consistency():
    rng = np.random.default_rng(2)
    names = np.array(["control"] * 40 + ["a"] * 30 + ["b"] * 10)
    batches = np.array(["x"] * 20 + ["y"] * 20 + ["y"] * 30 + ["x"] * 10)
    x = rng.normal(size=(80, 5)) + 4 * (batches == "y")[:, None]
    naive = perturbation.consistency(x, names, names == "control", n_null=300)
    matched = perturbation.consistency(x, names, names == "control", batches, n_null=300)
    assert naive.loc["a", "p"] < 0.01, "all of its cells are in one batch"
    assert matched.loc["a", "p"] > 0.05


def test_too_few_draws_or_rows_are_refused(cells):
    x, names, is_control, _ = cells
    with pytest.raises(
        ValueError, match="n_null: expected more than 100 draws for the level 0.01, got 99; pass 1000, say"
    ):
        perturbation.consistency(x, names, is_control, n_null=99)
    with pytest.raises(
        ValueError, match="perturbations: expected one with 99 observations or more, got none; lower min_rows"
    ):
        perturbation.consistency(x, names, is_control, min_rows=99)


# ---- retrieval ----------------------------------------------------------------------------------------------------


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


# ---- inversion ----------------------------------------------------------------------------------------------------


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


# ---- mixing -------------------------------------------------------------------------------------------------------


def test_ilisi_of_a_loop():
    rng = np.random.default_rng(0)
    x, batches = rng.normal(size=(60, 2)), rng.choice(["x", "y", "z"], 60)
    x[batches == "x"] += 1.5
    effective = []
    for i in range(60):
        distance = np.linalg.norm(x - x[i], axis=1)
        near = [j for j in np.argsort(distance) if j != i][:12]
        low, high = 1e-6, 1e6
        for _ in range(200):
            beta = math.sqrt(low * high)
            weight = np.exp(-beta * (distance[near] - distance[near].min()))
            weight /= weight.sum()
            entropy = -sum(w * math.log(w) for w in weight if w > 0)
            low, high = (beta, high) if entropy > math.log(4) else (low, beta)
        shares = [weight[[batches[j] == b for j in near]].sum() for b in "xyz"]
        effective.append(1 / sum(fraction**2 for fraction in shares))
    found = perturbation.ilisi(x, batches, n_neighbors=12)
    assert found == pytest.approx((np.median(effective) - 1) / 2, rel=1e-4)


def test_ilisi_needs_two_batches():
    with pytest.raises(ValueError, match="batches: expected at least two, got 1; pass another column"):
        perturbation.ilisi(np.eye(4), ["x"] * 4)


def test_identical_rows_are_no_trouble():
    assert perturbation.ilisi(np.zeros((40, 2)), pd.Series(["x", "y"] * 20), n_neighbors=39) == pytest.approx(
        1, abs=0.01
    )
