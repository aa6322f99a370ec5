"""Candidates against the C-index, the jackknife and Cox models by hand."""

import numpy as np
import pytest

from omicsmlm._cox import Times, partial_likelihood, ridge_cox
from omicsmlm._risk_scores import concordance
from omicsmlm.models.survival._candidates import (
    ScoreWeights,
    choose_candidate,
    compare,
    fit_weights,
    non_negative_cox,
)

NAN = np.nan


def made(rng, n=240, covariates=0.7, features=0.7, network=0.0):
    """Times whose hazard has parts that covariates, linear models and networks know, and the scores of these."""
    truth_n3 = rng.normal(size=(n, 3))
    time_n = rng.exponential(np.exp(-truth_n3 @ [covariates, features, network]))
    seen_until_n = rng.exponential(2, n)
    times = Times(np.minimum(time_n, seen_until_n), time_n <= seen_until_n, np.zeros(n, dtype=np.int64))
    scores = np.stack([truth_n3[:, 0], truth_n3[:, 1], np.full(n, NAN), truth_n3[:, 1] + truth_n3[:, 2]], 1)
    return scores, times, np.arange(n) % 5


def test_the_c_index_is_of_pairs_within_strata_and_folds(rng):
    n = 60
    times = Times(rng.integers(1, 9, n).astype(float), rng.random(n) < 0.6, rng.integers(0, 2, n))
    fold_n, risk_nk = rng.integers(0, 2, n), rng.integers(0, 5, (n, 2)).astype(float)
    whole, one = compare(risk_nk, times, fold_n), times._replace(stratum_n=np.zeros(n, dtype=np.int64))
    alone = compare(risk_nk, one, np.zeros(n))
    for k in (0, 1):
        assert alone.c_index_k[k] == pytest.approx(concordance(risk_nk[:, k], times.time_n, times.event_n))
        shifted = risk_nk[:, k] + 100 * fold_n - 50 * times.stratum_n
        assert compare(shifted[:, None], times, fold_n).c_index_k[0] == pytest.approx(whole.c_index_k[k])
    assert not np.allclose(whole.c_index_k, alone.c_index_k)


def test_the_influence_is_what_leaving_an_observation_out_changes(rng):
    scores, times, fold_n = made(rng, 200)
    found = compare(scores[:, :2], times, fold_n)
    np.testing.assert_allclose(found.influence_nk.sum(0), 0, atol=1e-12)
    for out in (3, 50):
        kept = np.delete(np.arange(200), out)
        without = compare(scores[kept, :2], times.only(kept), fold_n[kept]).c_index_k
        np.testing.assert_allclose(found.c_index_k - without, found.influence_nk[out], rtol=0.2, atol=1e-4)


def test_the_error_is_how_far_the_c_index_varies(rng):
    draws = [made(rng, 150) for _ in range(60)]
    found = [compare(scores[:, :2], times, fold_n) for scores, times, fold_n in draws]
    gaps = np.array([part.c_index_k[0] - part.c_index_k[1] for part in found])
    errors = [np.sqrt(((part.influence_nk[:, 0] - part.influence_nk[:, 1]) ** 2).sum()) for part in found]
    assert np.mean(errors) == pytest.approx(gaps.std(), rel=0.3)


def test_weights_are_those_of_cox_unless_one_would_be_negative(rng):
    scores, times, _ = made(rng)
    x_n2 = scores[:, :2]
    expected = ridge_cox(x_n2, times, np.full(2, 1e-6))
    assert (expected > 0).all()
    np.testing.assert_allclose(non_negative_cox(x_n2, times), expected)
    first, second = non_negative_cox(x_n2 * [1, -1], times)
    assert second == 0
    assert first == pytest.approx(ridge_cox(x_n2[:, :1], times, np.full(1, 1e-6))[0])
    assert non_negative_cox(-x_n2, times) == [0, 0]
    best = partial_likelihood(x_n2 @ expected, times)
    for other in np.abs(rng.normal(size=(20, 2))):
        assert partial_likelihood(x_n2 @ other, times) < best


def test_scores_that_are_lacking_are_left_out_of_the_mean():
    weights = ScoreWeights(2.0, 3.0, np.array([False, True, True, False]))
    standardised_np = np.array([[1.0, 1.0, 3.0, 9.0], [NAN, NAN, 4.0, 9.0], [1.0, NAN, NAN, 9.0]])
    assert weights.inputs(standardised_np).tolist() == [[1, 2], [0, 4], [1, 0]]
    assert weights.log_risk(standardised_np).tolist() == [8, 12, 2]


def test_what_adds_nothing_takes_no_part_and_what_adds_does(rng):
    cases = {
        "covariates alone": {"features": 0.0},
        "with linear models": {},
        "with networks": {"network": 0.7},
    }
    for name, changes in cases.items():
        scores, times, fold_n = made(rng, 600, **changes)
        weights, table = choose_candidate(scores, times, fold_n)
        assert table.index.tolist() == list(cases)
        assert table.index[table["chosen"]].tolist() == [name]
        assert (weights.omics == 0) == (name == "covariates alone")
        assert weights.covariates == pytest.approx(0.7, abs=0.2)
        assert weights[:2] == tuple(table.loc[name, ["covariates", "omics"]])


def test_covariates_alone_within_one_standard_error_are_chosen_and_else_the_best(rng):
    found = []
    for features in (0.25,) * 8 + (0.7,) * 4:
        scores, times, fold_n = made(rng, 100, features=features, network=0.1)
        _, table = choose_candidate(scores, times, fold_n)
        alone = table.loc["covariates alone"]
        best = table["C-index"].idxmax()
        expected = "covariates alone" if alone["behind"] <= alone["error"] else best
        assert table.index[table["chosen"]].tolist() == [expected]
        assert table["behind"].min() == 0
        found.append((expected, best))
    assert ("covariates alone", "with networks") in found  # behind, but not beyond chance
    assert {expected for expected, _ in found} == {"covariates alone", "with linear models", "with networks"}


def test_the_better_of_two_ways_to_read_the_features_is_chosen_where_there_are_no_covariates(rng):
    found = set()
    for _ in range(8):
        scores, times, fold_n = made(rng, 100, network=0.1)
        scores[:, 0] = NAN
        _, table = choose_candidate(scores, times, fold_n)
        assert table.index[table["chosen"]].tolist() == [table["C-index"].idxmax()]
        found.add(table["C-index"].idxmax())
    assert found == {"with linear models", "with networks"}


def test_the_comparison_takes_weights_from_other_folds(rng):
    scores, times, fold_n = made(rng, 120)
    _, table = choose_candidate(scores, times, fold_n)
    averaged_p, log_risk_n = np.array([False, True, True, False]), np.empty(120)
    for fold in range(5):
        out_n = fold_n == fold
        weights = fit_weights(scores[~out_n], averaged_p, times.only(~out_n))
        log_risk_n[out_n] = weights.log_risk(scores[out_n])
    expected = compare(log_risk_n[:, None], times, fold_n).c_index_k[0]
    assert table.loc["with linear models", "C-index"] == pytest.approx(expected)


def test_candidates_are_of_the_scores_that_there_are(rng):
    scores, times, fold_n = made(rng, 120)
    for lacking, names in (
        ([0], ["with linear models", "with networks"]),
        ([3], ["covariates alone", "with linear models"]),
        ([1, 2], ["covariates alone", "with networks"]),
    ):
        part = scores.copy()
        part[:, lacking] = NAN
        _, table = choose_candidate(part, times, fold_n)
        assert table.index.tolist() == names


def test_one_fold_is_compared_by_its_own_weights(rng):
    scores, times, _ = made(rng, 120)
    weights, table = choose_candidate(scores, times, np.zeros(120))
    averaged_p = np.array([False, True, True, False])
    own = fit_weights(scores, averaged_p, times).log_risk(scores)
    assert table.loc["with linear models", "C-index"] == pytest.approx(concordance(own, times.time_n, times.event_n))
