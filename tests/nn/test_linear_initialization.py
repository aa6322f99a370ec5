"""The linear start against numpy's SVD and plain averages."""

import numpy as np
import pytest
import torch
from scipy import sparse

from omicsmlm._types import Grid
from omicsmlm.nn import (
    Directions,
    Fitting,
    are_paired,
    initial_components,
    linked_estimates,
    log_means,
    only_present,
    own_estimates,
    principal_directions,
    ridge_estimates,
    with_pairs,
)
from omicsmlm.nn._linked_estimates import Pairs
from omicsmlm.nn._ridge_estimates import shrunk


@pytest.fixture
def x(rng):
    """Rows along four axes of different strength, two groups far apart along a fifth."""
    axes = np.linalg.qr(rng.normal(size=(20, 5)))[0]
    scores = rng.normal(size=(80, 5)) * [9, 6, 4, 2, 0.0]
    scores[:, 4] = np.where(np.arange(80) % 2, 30, -30)
    return (scores @ axes.T + rng.normal(0, 0.01, (80, 20))).astype(np.float32)


def centred(x, groups):
    out = x.copy()
    for group in np.unique(groups):
        out[groups == group] -= x[groups == group].mean(0)
    return out


@pytest.mark.parametrize("grouped", [False, True])
def test_the_directions_are_those_of_the_svd(x, grouped):
    groups = np.arange(80) % 2 if grouped else np.zeros(80, int)
    found = principal_directions(x, 3, groups if grouped else None, 0)
    _, s, vt = np.linalg.svd(centred(x, groups), full_matrices=False)
    assert found.weights_gk.dtype == np.float32
    np.testing.assert_allclose(found.strength_k, s[:3] / s[0], rtol=1e-3)
    for k in range(3):
        cosine = found.weights_gk[:, k] @ vt[k] / np.linalg.norm(found.weights_gk[:, k])
        assert abs(cosine) == pytest.approx(1, abs=1e-3)
        assert (x @ found.weights_gk[:, k]).std() == pytest.approx(1, abs=1e-3)


def test_a_difference_between_groups_is_no_direction(x):
    between = x[1::2].mean(0) - x[::2].mean(0)
    between /= np.linalg.norm(between)
    alone = principal_directions(x, 1, None, 0).weights_gk[:, 0]
    within = principal_directions(x, 1, np.arange(80) % 2, 0).weights_gk[:, 0]
    assert abs(alone @ between) / np.linalg.norm(alone) > 0.99
    assert abs(within @ between) / np.linalg.norm(within) < 0.2


def test_sparse_values_lose_their_first_component(x):
    positive = sparse.csr_matrix(np.abs(x))
    found = principal_directions(positive, 2, None, 0)
    _, s, vt = np.linalg.svd(np.abs(x), full_matrices=False)
    np.testing.assert_allclose(found.strength_k, s[1:3] / s[1], rtol=1e-2)
    cosine = found.weights_gk[:, 0] @ vt[1] / np.linalg.norm(found.weights_gk[:, 0])
    assert abs(cosine) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("shape", [(1, 6), (2, 6), (6, 1), (6, 2), (3, 3)])
def test_there_may_be_few_rows_or_features(form, shape, rng):
    found = principal_directions(form(rng.random(shape).astype(np.float32)), 5, None, 0)
    assert np.isfinite(found.weights_gk).all()
    assert 1 <= found.weights_gk.shape[1] <= 5
    assert found.weights_gk.shape == (shape[1], len(found.strength_k))


def test_the_seed_decides_and_the_input_stays(x):
    before = x.copy()
    found = [principal_directions(x, 3, np.arange(80) % 2, 1).weights_gk for _ in range(2)]
    assert np.array_equal(*found)
    assert np.array_equal(x, before)


def grid(values, visible=None):
    values = torch.tensor(values)
    visible = torch.ones_like(values, dtype=torch.bool) if visible is None else torch.tensor(visible)
    return Grid(values * visible, visible, values.sum(1))


def test_rows_that_have_nothing_are_left_out():
    kept = only_present(grid([[1.0, 2], [3, 4], [5, 6]], [[True, False], [False, False], [True, True]]))
    assert kept.values.tolist() == [[1, 0], [5, 6]]
    assert kept.total.tolist() == [3, 11]


def test_log_means_of_counts_are_mean_shares_per_group():
    grids = [grid([[1.0, 3], [2, 2]]), grid([[0.0, 8]])]
    means = log_means(grids, "counts", np.array([0, 0, 1]), 2)
    torch.testing.assert_close(means.exp(), torch.tensor([[0.375, 0.625], [0, 1]]), atol=1e-5, rtol=1e-5)


def test_log_means_of_the_other_kinds():
    one = [grid([[1.0, 3], [2, 0]])]
    torch.testing.assert_close(log_means(one, "protein", None, 1).exp(), torch.tensor([[1.5, 1.5]]) + 1e-2)
    torch.testing.assert_close(log_means(one, "accessibility", None, 1).exp(), torch.tensor([[0.75, 0.25]]) + 1e-6)
    torch.testing.assert_close(log_means(one, "real", None, 1), torch.tensor([[1.5, 1.5]]))
    fractions = [grid([[0.2, 0.9], [0.4, 0.5]], [[True, False], [True, True]])]
    torch.testing.assert_close(log_means(fractions, "fraction", None, 1).sigmoid(), torch.tensor([[0.3, 0.5]]))


def test_a_group_without_a_measured_value_gets_the_mean_of_all():
    values = grid([[1.0, 4], [3, 0]], [[True, True], [True, False]])
    torch.testing.assert_close(
        log_means([values], "real", np.array([0, 1]), 3), torch.tensor([[1.0, 4], [3, 4], [2, 4]])
    )


def pair(n=150, seed=0):
    """Two modalities that share two strong axes, and which rows have them."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 2)) * [3, 2]
    noise = [rng.normal(size=(n, g)) for g in (20, 15)]
    x = {name: (scores @ rng.normal(size=(2, e.shape[1])) + 0.3 * e) for name, e in zip("ab", noise, strict=True)}
    return {name: (part - part.mean(0)).astype(np.float32) for name, part in x.items()}


def test_components_of_several_modalities_follow_one_another():
    x = pair()
    has = {"a": np.arange(150) < 140, "b": np.arange(150) >= 10}
    starts = initial_components({m: x[m][has[m]] for m in x}, has, {"a": 3, "b": 2}, Fitting(0))
    assert {m: (c.first, len(c.strength_k), list(c.estimates)) for m, c in starts.items()} == {
        "a": (0, 3, ["a", "b"]),
        "b": (3, 2, ["b", "a"]),
    }
    for name, other in ("ab", "ba"):
        component, own = starts[name], x[name][has[name]]
        expected = principal_directions(own, len(component.strength_k), None, 0)
        np.testing.assert_array_equal(component.estimates[name].weights_gk, expected.weights_gk)
        np.testing.assert_array_equal(component.strength_k, expected.strength_k)
        both = has[name] & has[other]
        target_nk = x[name][both] @ expected.weights_gk
        told = ridge_estimates(x[other][both], target_nk, 0)
        for found, part in zip(component.estimates[other][:3], told[:3], strict=True):
            np.testing.assert_allclose(found, part, rtol=1e-4, atol=1e-5)
        assert component.estimates[other].folds is None
        guess_nk = x[other][both] @ component.estimates[other].weights_gk + component.estimates[other].offset_k
        assert np.corrcoef(guess_nk[:, 0], target_nk[:, 0])[0, 1] > 0.9, "each tells the shared axes of the other"


def test_estimates_of_other_modalities_are_shrunk_where_asked_for_and_own_ones_are_not():
    x, fold_n = pair(), np.arange(150) % 3
    has = {name: np.ones(150, bool) for name in x}
    plain, less = (initial_components(x, has, {"a": 3, "b": 2}, Fitting(0, fold_n=fold_n, shrinks=s)) for s in (0, 1))
    for name, other in ("ab", "ba"):
        before, after = plain[name].estimates, less[name].estimates
        np.testing.assert_array_equal(after[name].weights_gk, before[name].weights_gk)
        expected = shrunk(before[other], (x[name] @ before[name].weights_gk).mean(0))
        for found, part in zip([*after[other][:3], *after[other].folds], [*expected[:3], *expected.folds], strict=True):
            np.testing.assert_allclose(found, part, rtol=1e-4, atol=1e-6)
        assert (np.abs(after[other].weights_gk) < np.abs(before[other].weights_gk)).all()


def test_too_few_rows_with_both_tell_nothing_of_each_other():
    x, has = pair(), {"a": np.arange(150) < 120, "b": np.arange(150) >= 21}
    starts = initial_components({m: x[m][has[m]] for m in x}, has, {"a": 3, "b": 2}, Fitting(0))
    assert all(list(c.estimates) == [name] for name, c in starts.items())


def test_every_estimate_is_made_without_each_fold_too():
    """Folds are those of the observations that a regression or a modality has."""
    x, fold_n = pair(), np.arange(150) % 3
    has = {"a": np.arange(150) < 140, "b": np.arange(150) >= 10}
    own = {m: x[m][has[m]] for m in x}
    starts = initial_components(own, has, {"a": 3, "b": 2}, Fitting(0, fold_n=fold_n))
    plain = initial_components(own, has, {"a": 3, "b": 2}, Fitting(0))
    for name, other in ("ab", "ba"):
        both = has["a"] & has["b"]
        target_nk = x[name][both] @ starts[name].estimates[name].weights_gk
        expected = {
            name: own_estimates(own[name], starts[name].estimates[name].weights_gk, 0, fold_n[has[name]]).folds,
            other: ridge_estimates(x[other][both], target_nk, 0, fold_n[both]).folds,
        }
        for m, folds in expected.items():
            for found, part in zip(starts[name].estimates[m].folds, folds, strict=True):
                np.testing.assert_allclose(found, part, rtol=1e-3, atol=1e-5)
            for found, part in zip(starts[name].estimates[m][:3], plain[name].estimates[m][:3], strict=True):
                np.testing.assert_allclose(found, part, rtol=1e-3, atol=1e-5)


def test_a_pair_of_modalities_is_enough():
    first, last = np.arange(300) < 200, np.arange(300) >= 100
    assert are_paired({"a": first, "b": ~first, "c": last})
    middle = (np.arange(300) > 100) & (np.arange(300) < 299)
    assert not are_paired({"a": first, "b": ~first, "c": middle}), "99 of a and c, and as many of b"
    assert not are_paired({"a": np.ones(300, bool)})


def test_components_do_not_follow_differences_between_groups(x):
    groups = np.arange(80) % 2
    found = initial_components({"a": x}, {"a": np.ones(80, bool)}, {"a": 2}, Fitting(0, groups))["a"]
    expected = principal_directions(x, 2, groups, 0)
    np.testing.assert_array_equal(found.estimates["a"].weights_gk, expected.weights_gk)
    apart = initial_components({"a": x}, {"a": np.ones(80, bool)}, {"a": 2}, Fitting(0))["a"]
    assert not np.allclose(found.estimates["a"].weights_gk, apart.estimates["a"].weights_gk, atol=1e-2)


def test_log_means_of_fractions_are_logits_within_a_thousandth_of_the_ends():
    values = torch.tensor([[0.0, 1.0, 0.5, 0.2], [0.0, 1.0, 0.5, 0.4]])
    found = log_means([Grid(values, torch.ones(2, 4, dtype=torch.bool), values.sum(1))], "fraction", None, 1)[0]
    torch.testing.assert_close(found, torch.logit(torch.tensor([1e-3, 1 - 1e-3, 0.5, 0.3])), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "floor"), [("counts", 1e-6), ("accessibility", 1e-6), ("protein", 1e-2)])
def test_what_nobody_has_gets_a_finite_log_mean(kind, floor):
    values = torch.tensor([[0.0, 4.0], [0.0, 6.0]])
    found = log_means([Grid(values, torch.ones(2, 2, dtype=torch.bool), values.sum(1))], kind, None, 1)[0]
    mean = 5.0 if kind == "protein" else 1.0
    torch.testing.assert_close(found, torch.log(torch.tensor([floor, mean + floor])))


def test_open_regions_give_the_same_log_means_sparse_and_as_grids():
    """Of three groups, the last without observations; one observation has no open region."""
    rng = np.random.default_rng(0)
    values = (rng.random((20, 7)) < 0.3) * rng.integers(1, 4, (20, 7)).astype(np.float32)
    values[3] = 0
    values = values.astype(np.float32)
    dense = torch.from_numpy(values)
    grids = [Grid(part, torch.ones_like(part, dtype=torch.bool), part.sum(1)) for part in dense.split([8, 12])]
    for groups_n in (None, np.arange(20) % 2):
        n_groups = 1 if groups_n is None else 3
        found = log_means(sparse.csr_matrix(values), "accessibility", groups_n, n_groups)
        torch.testing.assert_close(found, log_means(grids, "accessibility", groups_n, n_groups))
        fraction_ng = (values > 0) / np.maximum((values > 0).sum(1, keepdims=True), 1)
        for b in range(n_groups):
            own_n = slice(None) if groups_n is None or b == 2 else groups_n == b
            np.testing.assert_allclose(found[b], np.log(fraction_ng[own_n].mean(0) + 1e-6), rtol=1e-4)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_directions_beyond_the_numerical_rank_have_no_weights(form, rank, rng):
    rows = rng.random((max(rank, 1) + 1, 12)).astype(np.float32)
    x = (rows[:1] if rank == 0 else rows)[np.arange(40) % (rank + 1)]
    found = principal_directions(form(x), 8, None, 0)
    n_found = rank  # of four distinct rows: three differences
    size_k = np.linalg.norm(found.weights_gk, axis=0)
    assert (size_k > 0).tolist() == (np.arange(len(size_k)) < n_found).tolist()
    assert found.strength_k[0] == 1
    assert (found.strength_k[max(n_found, 1) :] == 0).all()
    assert np.abs(found.weights_gk).max() < 1e3, "nothing is divided by rounding"


def test_directions_of_full_rank_are_all_kept(rng):
    found = principal_directions(rng.normal(size=(60, 10)).astype(np.float32), 8, None, 0)
    assert (np.linalg.norm(found.weights_gk, axis=0) > 0).all()
    assert (found.strength_k > 0).all()


@pytest.mark.parametrize("n_both", [0, 60])
def test_links_bring_together_what_few_observations_have_both_of(n_both, rng, monkeypatch):
    x = {"a": rng.normal(size=(200, 6)).astype(np.float32), "b": rng.normal(size=(200, 9)).astype(np.float32)}
    has = {"a": np.arange(200) < 100 + n_both, "b": np.arange(200) >= 100}
    own, link = {m: x[m][has[m]] for m in x}, sparse.csr_matrix(rng.random((6, 9)) * (rng.random((6, 9)) < 0.4))
    fold_n = np.arange(200) % 5
    fitting = Fitting(0, fold_n=fold_n, links={("a", "b"): link})
    components = initial_components(own, has, {"a": 3, "b": 2}, fitting)
    both = has["a"] & has["b"]

    def expected(name, other, pairs):
        found = components[name]
        directions = Directions(found.estimates[name].weights_gk, found.strength_k)
        links = link if name == "a" else link.T.tocsr()
        return linked_estimates(
            own[name], directions, own[other], links, seed=0, fold_n=fold_n[has[other]], pairs=pairs
        )

    for name, other in (("a", "b"), ("b", "a")):
        target_pk = x[name][both] @ components[name].estimates[name].weights_gk
        pairs = Pairs(np.flatnonzero(both[has[other]]), target_pk)
        alone = expected(name, other, pairs)
        np.testing.assert_array_equal(components[name].estimates[other].weights_gk, alone.weights_gk)
        if not n_both:
            continue
        monkeypatch.setattr("omicsmlm.nn._linked_estimates.FEWEST_CALIBRATING", n_both)
        joined = initial_components(own, has, {"a": 3, "b": 2}, fitting)[name].estimates[other]
        if name == "b":  # of those with a, 160, fewer than half have b; of those with b, 100, more than half have a
            np.testing.assert_array_equal(joined.weights_gk, alone.weights_gk)
            continue
        by_both = with_pairs(expected(name, other, None), own[other], pairs, 0, fold_n[has[other]])
        np.testing.assert_allclose(joined.weights_gk, by_both.weights_gk, rtol=1e-5)
        assert np.abs(joined.weights_gk - alone.weights_gk).max() > 0.01
        less = initial_components(own, has, {"a": 3, "b": 2}, fitting._replace(shrinks=True))[name].estimates[other]
        expected_gk = shrunk(joined, target_pk.mean(0)).weights_gk
        np.testing.assert_allclose(less.weights_gk, expected_gk, rtol=1e-4, atol=1e-7)
