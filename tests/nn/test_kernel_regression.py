"""Kernel regression against scikit-learn's, and against its equation on fewer landmarks."""

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from omicsmlm.nn import KernelRegression
from omicsmlm.nn._kernel_regression import _spanned, _squared_distances

RATES, PENALTIES = (0.1, 0.5, 2.0), (0.03, 0.3, 3.0)


def case(n=40, k=3, t=2):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, k)).astype(np.float32)
    y = np.stack([np.sin(2 * x[:, 0]) + x[:, 1], x[:, 2] ** 2 - 1], 1) + rng.normal(0, 0.2, (n, t))
    return torch.from_numpy(x), torch.from_numpy(y.astype(np.float32)), torch.arange(n) % 4


def fitted(n_landmarks, rates, penalties, seed=0):
    x, y, fold = case()
    model = KernelRegression(3, n_landmarks, 2)
    explained, _, _ = model.fit(x, y, fold, rates, penalties, torch.Generator().manual_seed(seed))
    return model, explained


def median_distance(x):
    squared = ((x[:, None] - x[None]) ** 2).sum(-1)
    off = np.sort(squared[~np.eye(len(x), dtype=bool)])
    return off[(len(off) - 1) // 2]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("penalty", [0.3, 3.0])
def test_with_all_rows_as_landmarks_it_is_kernel_ridge_regression(rate, penalty):
    x, y, _ = case()
    model, _ = fitted(40, (rate,), (penalty,))
    gamma = rate / median_distance(x.double().numpy())
    assert float(model.rate) == pytest.approx(gamma, rel=1e-4)
    reference = KernelRidge(alpha=penalty, kernel="rbf", gamma=gamma).fit(x.numpy(), y.numpy())
    new = torch.randn(15, 3, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(model(new).numpy(), reference.predict(new.numpy()), atol=2e-3)
    np.testing.assert_allclose(model(x).numpy(), reference.predict(x.numpy()), atol=2e-3)


def test_width_and_penalty_are_those_that_explain_most_of_held_out_rows():
    x, y, fold = (part.numpy() for part in case())
    model, explained = fitted(40, RATES, PENALTIES)
    shares, scale = {}, median_distance(x.astype(float))
    for rate in RATES:
        for penalty in PENALTIES:
            # The landmarks are all rows, held-out ones too, but these add no target: ridge in the space that they span.
            gamma, error = rate / scale, 0.0
            kernel = np.exp(-gamma * ((x[:, None] - x[None]) ** 2).sum(-1)).astype(float)
            value, vector = np.linalg.eigh(kernel)
            kept = value > 1e-6 * value[-1]
            span = kernel @ (vector[:, kept] / np.sqrt(value[kept]))
            for held in np.unique(fold):
                is_held = fold == held
                a, b = span[~is_held], y[~is_held]
                weight = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ b)
                error += ((y[is_held] - span[is_held] @ weight) ** 2).sum()
            shares[rate, penalty] = 1 - error / (y**2).sum()
    best = max(shares, key=shares.get)
    assert explained == pytest.approx(shares[best], abs=2e-3)
    assert 0.1 < explained < 1
    again, _ = fitted(40, best[:1], best[1:])
    torch.testing.assert_close(model.weight_mt, again.weight_mt)
    torch.testing.assert_close(model.rate, again.rate)


def test_each_fold_is_predicted_by_kernel_ridge_regression_of_the_others():
    x, y, fold = case()
    model = KernelRegression(3, 40, 2)
    _, predicted, _ = model.fit(x, y, fold, (0.5,), (0.3,), torch.Generator().manual_seed(0))
    for held in range(4):
        trained = (fold != held).numpy()
        reference = KernelRidge(alpha=0.3, kernel="rbf", gamma=float(model.rate)).fit(x[trained], y[trained])
        np.testing.assert_allclose(predicted[~trained], reference.predict(x[~trained]), atol=3e-3)
    changed = y.clone()
    changed[fold == 2] = 100.0
    _, again, _ = model.fit(x, changed, fold, (0.5,), (0.3,), torch.Generator().manual_seed(0))
    torch.testing.assert_close(again[fold == 2], predicted[fold == 2], msg="its own targets do not count")
    assert not torch.equal(again[fold == 1], predicted[fold == 1])


def test_fewer_landmarks_are_the_nystrom_approximation():
    x, y, _ = case()
    model, _ = fitted(12, (0.5,), (0.3,))
    center = model.landmark_mk.double()
    is_row = (center[:, None] == x.double()[None]).all(2)
    assert is_row.any(1).all(), "landmarks are rows"
    assert len(center.unique(dim=0)) == 12, "each once"
    gamma = float(model.rate)
    assert gamma == pytest.approx(0.5 / median_distance(center.numpy()), rel=1e-4)
    between = torch.exp(-gamma * torch.cdist(x.double(), center).square())
    among = torch.exp(-gamma * torch.cdist(center, center).square())
    # min |y - K w|² + p wᵀ M w
    weight = torch.linalg.solve(between.T @ between + 0.3 * among, between.T @ y.double())
    torch.testing.assert_close(model(x).double(), between @ weight, atol=5e-3, rtol=0)


def test_unused_landmarks_have_no_weight():
    x, _, _ = case()
    model, _ = fitted(60, (0.5,), (0.3,))
    same, _ = fitted(40, (0.5,), (0.3,))
    assert (model.weight_mt[40:] == 0).all()
    torch.testing.assert_close(model(x), same(x))


def test_an_unfitted_one_says_nothing():
    assert (KernelRegression(3, 5, 2)(case()[0]) == 0).all()


def test_a_second_fit_forgets_the_first():
    x, y, fold = case()
    model, _ = fitted(40, RATES, PENALTIES)
    model.fit(x[:20], y[:20], fold[:20], RATES, PENALTIES, torch.Generator().manual_seed(0))
    assert (model.weight_mt[20:] == 0).all()
    assert (model.landmark_mk[20:] == 0).all()


def test_the_generator_draws_the_landmarks():
    one, again, other = (fitted(12, (0.5,), (0.3,), seed)[0].landmark_mk for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_equal_rows_are_no_trouble():
    x, y = torch.ones(6, 3), torch.tensor([[1.0, 2.0]]).expand(6, 2)
    model = KernelRegression(3, 6, 2)
    model.fit(x, y, (torch.arange(6) >= 2).long(), (0.5,), (0.3,), torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        model(x), y * 6 / 6.3
    )  # the mean, shrunk: a constant feature with 6 rows and penalty 0.3


def test_targets_of_nothing_explain_nothing_and_do_no_harm():
    x, y, fold = case()
    model = KernelRegression(3, 40, 2)
    explained, predicted, _ = model.fit(x, y * 0, fold, RATES, PENALTIES, torch.Generator().manual_seed(0))
    assert explained == 1, "nothing is left of nothing"
    assert not model.weight_mt.any()
    assert not predicted.any()


def test_distances_are_never_below_zero():
    x = torch.full((2, 3), 1e3) + torch.tensor([[0.0], [1e-3]])
    found = _squared_distances(x, x)
    assert (found >= 0).all()
    torch.testing.assert_close(
        _squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])), torch.tensor([[25.0]])
    )


def test_directions_that_are_rounding_are_left_out():
    """Two landmarks at the same place span one direction."""
    distance_mm = torch.tensor([[0.0, 0, 4], [0, 0, 4], [4, 4, 0]])
    span, into = _spanned(distance_mm, distance_mm, torch.tensor(0.5))
    assert into.shape == (3, 2)
    torch.testing.assert_close(span @ span.T, torch.exp(-0.5 * distance_mm), atol=1e-5, rtol=1e-5)
