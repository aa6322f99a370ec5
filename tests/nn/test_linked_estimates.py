"""Estimates through linked features against slow sums, and against a truth that the two modalities share."""

import numpy as np
import pytest
from scipy import sparse

from omicsmlm.nn import (
    Directions,
    is_tied_by_links,
    linked_estimates,
    linked_weights,
    own_estimates,
    ridge_estimates,
    with_pairs,
)
from omicsmlm.nn._linked_estimates import Pairs, _precision, deviations
from omicsmlm.nn._transport import transported


@pytest.fixture
def halves(rng):
    """Genes of some cells and peaks of others, five peaks a gene, which follow the same two programs."""
    programs = rng.normal(size=(2, 40))
    score = rng.normal(size=(900, 2))
    genes = (score @ programs + rng.normal(size=(900, 40))).astype(np.float32)
    peaks = (np.repeat(score @ programs, 5, axis=1) + 4 * rng.normal(size=(900, 200))).astype(np.float32)
    link = sparse.csr_matrix(np.kron(np.eye(40), np.ones((1, 5))))
    return genes, peaks, link, (np.linalg.svd(programs.T, full_matrices=False)[0]).astype(np.float32)


def directed(weights):
    """These components, all alike strong."""
    return Directions(weights, np.ones(weights.shape[1], dtype=np.float32))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_the_weights_are_those_of_the_sums_over_links(form, rng, monkeypatch):
    monkeypatch.setattr("omicsmlm.nn._linked_estimates.LINKED_FEATURES", 2)
    x_ng, x_no = rng.normal(size=(30, 5)) * [1, 2, 3, 4, 5], rng.poisson(1.0, (20, 7)).astype(float)
    weights, link = rng.normal(size=(5, 3)), rng.random((5, 7)) * (rng.random((5, 7)) < 0.5)
    link[2] = 0  # a gene without peaks
    found = linked_weights(x_ng, weights, form(x_no), sparse.csr_matrix(link))
    expected = np.zeros((20, 3))
    for n in range(20):
        for g in range(5):
            activity = [sum(x_no[i, o] * link[g, o] for o in range(7)) for i in range(20)]
            if np.std(activity) > 0:
                expected[n] += activity[n] * np.std(x_ng[:, g]) / np.std(activity) * weights[g]
    np.testing.assert_allclose(x_no @ found, expected, rtol=1e-4)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_links_estimate_what_no_observation_pairs(halves, form):
    genes, peaks, link, weights = halves
    fold_n = np.arange(600) % 5
    found = linked_estimates(genes[600:], directed(weights), form(peaks[:600]), link, seed=0, fold_n=fold_n)
    truth, told = genes @ weights, peaks @ found.weights_gk + found.offset_k
    plain = peaks @ linked_weights(genes[600:], weights, peaks[:600], link)
    for k in range(2):
        r = np.corrcoef(told[600:, k], truth[600:, k])[0, 1]
        assert r > 0.8
        assert r >= np.corrcoef(plain[600:, k], truth[600:, k])[0, 1] - 0.02, "shared strength does not lose"
    np.testing.assert_allclose(told[:600].mean(0), truth[600:].mean(0), atol=0.1)
    by_chance = []
    for draw in range(8):  # programs are still found, but not which is which
        shuffled = sparse.csr_matrix(link.toarray()[np.random.default_rng(draw).permutation(40)])
        control = linked_estimates(genes[600:], directed(weights), form(peaks[:600]), shuffled, seed=0)
        told = peaks[600:] @ control.weights_gk
        by_chance += [np.corrcoef(told[:, k], truth[600:, k])[0, 1] for k in range(2)]
    assert abs(np.mean(by_chance)) < 0.5
    assert found.folds is not None
    assert found.folds.weights_fgk.shape == (5, 200, 2)


def test_the_precision_is_that_of_two_halves(halves):
    genes, peaks, link, weights = halves
    found = linked_estimates(genes[600:], directed(weights), peaks[:600], link, seed=0)
    linked = linked_weights(genes[600:], weights, peaks[:600], link)
    np.testing.assert_allclose(found.precision_k, own_estimates(peaks[:600], linked, 0).precision_k)
    assert found.folds is None


@pytest.mark.parametrize("n_folds", [0, 4])
def test_the_regression_is_fitted_to_where_its_first_estimates_are_carried(halves, n_folds):
    genes, peaks, link, weights = halves
    directions, fold_n = Directions(weights, np.array([1.0, 0.5], dtype=np.float32)), np.arange(600) % max(n_folds, 1)
    folds = fold_n if n_folds else None
    found = linked_estimates(genes[600:], directions, peaks[:600], link, seed=0, fold_n=folds)
    score, own = peaks[:600] @ linked_weights(genes[600:], weights, peaks[:600], link), genes[600:] @ weights
    first = ridge_estimates(peaks[:600], (score - score.mean(0)) / score.std(0) * own.std(0) + own.mean(0), 0, folds)
    told = peaks[:600] @ first.weights_gk + first.offset_k
    for n in range(600 if n_folds else 0):
        told[n] += peaks[n] @ first.folds.weights_fgk[fold_n[n]] + first.folds.offset_fk[fold_n[n]]
    second = ridge_estimates(peaks[:600], transported(told, own, np.array([1.0, 0.25]), 0), 0, folds)
    np.testing.assert_allclose(found.weights_gk, second.weights_gk, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.offset_k, second.offset_k, rtol=1e-3, atol=1e-4)


def test_pairs_are_carried_to_their_own_components(halves, monkeypatch):
    genes, peaks, link, weights = halves
    link = link.multiply(np.where(np.arange(40) < 20, 1.0, 0.0)[:, None]).tocsr()  # half of the genes have no peaks
    truth, fold_n = genes @ weights, np.arange(600) % 10
    pairs = Pairs(np.arange(100, 300), truth[100:300])  # observations 100 to 299 are among both
    alone = linked_estimates(genes[100:], directed(weights), peaks[:600], link, seed=0, fold_n=fold_n)
    told = [linked_estimates(genes[100:], directed(weights), peaks[:600], link, seed=0, fold_n=fold_n, pairs=pairs)]
    monkeypatch.setattr("omicsmlm.nn._linked_estimates.FEWEST_CALIBRATING", 200)
    told.append(linked_estimates(genes[100:], directed(weights), peaks[:600], link, seed=0, fold_n=fold_n, pairs=pairs))
    np.testing.assert_array_equal(told[0].weights_gk, told[1].weights_gk)
    np.testing.assert_array_equal(told[0].precision_k, alone.precision_k)

    def r_k(found, at):
        return np.array([np.corrcoef((peaks[at] @ found.weights_gk)[:, k], truth[at, k])[0, 1] for k in range(2)])

    assert r_k(told[0], slice(700, 900)).mean() > r_k(alone, slice(700, 900)).mean()
    left_out = [
        peaks[n] @ (told[1].weights_gk + told[1].folds.weights_fgk[fold_n[n]])
        + told[1].offset_k
        + told[1].folds.offset_fk[fold_n[n]]
        for n in range(100, 300)
    ]
    np.testing.assert_allclose(told[1].precision_k, _precision(np.array(left_out), truth[100:300]), rtol=1e-3)


def test_few_pairs_with_links_are_better_than_either_alone(halves):
    genes, peaks, link, weights = halves
    link = link.multiply(np.where(np.arange(40) < 20, 1.0, 0.0)[:, None]).tocsr()  # half of the genes have no peaks
    truth, fold_n = genes @ weights, np.arange(600) % 10
    linked = linked_estimates(genes[600:], directed(weights), peaks[:600], link, seed=0, fold_n=fold_n)
    pairs = Pairs(np.arange(60), truth[:60])
    regressed, joined = ridge_estimates(peaks[:60], truth[:60], 0), with_pairs(linked, peaks[:600], pairs, 0, fold_n)

    def mean_r(found):
        told = peaks[700:] @ found.weights_gk
        return np.mean([np.corrcoef(told[:, k], truth[700:, k])[0, 1] for k in range(2)])

    assert mean_r(joined) >= max(mean_r(linked), mean_r(regressed)) - 0.01
    assert joined.folds.weights_fgk.shape == linked.folds.weights_fgk.shape


@pytest.mark.parametrize("n_unpaired", [0, 520])
def test_with_pairs_weighs_by_what_left_out_observations_say(halves, n_unpaired):
    genes, peaks, link, weights = halves
    truth, fold_n = genes[:80] @ weights, np.arange(80) % 4
    linked = linked_estimates(genes[600:], directed(weights), peaks[:600], link, seed=0, fold_n=np.arange(600) % 4)
    n = 80 + n_unpaired  # observations 0 to 79 are the last of all, in reverse
    x_no, folds = peaks[:n][::-1], (np.arange(n) % 4)[::-1]
    joined = with_pairs(linked, x_no, Pairs(np.arange(n - 80, n), truth[::-1]), 0, folds)
    regressed = ridge_estimates(peaks[:80], truth, 0, fold_n)
    told = []
    for source in (linked, regressed):
        rows = [
            peaks[n] @ (source.weights_gk + source.folds.weights_fgk[fold_n[n]])
            + source.offset_k
            + source.folds.offset_fk[fold_n[n]]
            for n in range(80)
        ]
        told.append(np.array(rows))
    r = [np.array([np.corrcoef(t[:, k], truth[:, k])[0, 1] for k in range(2)]) - 80**-0.5 for t in told]
    precision = [x.clip(0.05, 0.98) ** 2 / (1 - x.clip(0.05, 0.98) ** 2) for x in r]
    mean = (precision[0] * told[0] + precision[1] * told[1]) / sum(precision)
    size = truth.std(0) / mean.std(0)
    left_out = np.array(
        [
            peaks[n] @ (joined.weights_gk + joined.folds.weights_fgk[fold_n[n]])
            + joined.offset_k
            + joined.folds.offset_fk[fold_n[n]]
            for n in range(80)
        ]
    )
    np.testing.assert_allclose(left_out, truth.mean(0) + size * (mean - truth.mean(0)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(joined.precision_k, _precision(mean, truth), rtol=1e-3)


@pytest.mark.parametrize("n_one", [1000, 6000])
@pytest.mark.parametrize(
    ("n_other", "n_both", "expected"),
    [(600, 499, True), (600, 500, False), (1000, 500, True), (999, 500, False)],
)
def test_pairs_count_where_they_are_most_of_what_is_estimated_from(n_one, n_other, n_both, expected):
    at = np.arange(n_one + n_other - n_both)
    one, other = at < n_one, at >= n_one - n_both
    assert ((one & other).sum(), other.sum()) == (n_both, n_other)
    assert is_tied_by_links(one, other) == expected


def test_deviations_of_sparse_values_are_those_of_dense_ones(rng):
    x = rng.poisson(0.5, (50, 6)).astype(float)
    np.testing.assert_allclose(deviations(sparse.csr_matrix(x)), x.std(0))
