"""Ridge regression with differences within groups, against its loss, minimised with scipy."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from omicsmlm.nn import GroupRegression, with_differences


def case(n=60):
    """Targets whose differences within groups follow the second feature, and the means of groups the first."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, n // 3, n)
    x = rng.normal(size=(n, 3))
    x[:, 0] = rng.normal(size=n)[group]
    y = (x[:, 0] + 0.3 * x[:, 1])[:, None] + 0.5 * rng.normal(size=(n, 1)) + rng.normal(size=(n, 1))[group]
    x, y = (torch.from_numpy(part).float() for part in (x, y - y.mean()))
    return x, y, torch.from_numpy(group), torch.from_numpy((group >= 4).astype(int) + (group >= 12))


@pytest.mark.parametrize("weight", [0.0, 4.0])
def test_it_minimises_its_loss(weight):
    x, y, group, fold = case()
    model = GroupRegression(3, 1)
    model.fit(x, y, group, fold, weight, (2.0,))
    z = ((x - x.mean(0)) / x.std(0)).double().numpy()
    target, of = y[:, 0].double().numpy(), group.numpy()

    def loss(w):
        error = target - z @ w
        mean = {g: error[of == g].mean() for g in np.unique(of)}
        return (
            (error**2).sum()
            + weight * sum((e - mean[g]) ** 2 for e, g in zip(error, of, strict=True))
            + 2 * (w**2).sum()
        )

    expected = minimize(loss, np.zeros(3), tol=1e-10).x
    np.testing.assert_allclose(model.weight_ft[:, 0].numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(model(x)[:, 0].numpy(), z @ expected, atol=1e-3)


def test_differences_count_more_the_larger_their_weight():
    x, y, group, fold = case()
    errors = []
    for weight in (0.0, 100.0):
        model = GroupRegression(3, 1)
        model.fit(x, y, group, fold, weight, (1e-3,))
        rest = with_differences(y - model(x), group, 1.0)
        errors.append((float(rest[:60].square().sum()), float(rest[60:].square().sum())))
    assert errors[0][0] < errors[1][0]
    assert errors[0][1] > errors[1][1]


def test_the_penalty_is_the_one_that_predicts_folds_best_and_these_predictions_are_returned():
    x, y, group, fold = case()
    penalties = (1e-3, 3.0, 1e4)
    z = ((x - x.mean(0)) / x.std(0)).clamp(-4, 4)
    fits = {}
    for penalty in penalties:
        predicted = torch.zeros_like(y)
        for held in range(3):
            keep = fold != held
            a = with_differences(z[keep], group[keep], 4.0).double()
            b = with_differences(y[keep], group[keep], 4.0).double()
            weight = torch.linalg.solve(a.T @ a + penalty * torch.eye(3).double(), a.T @ b).float()
            predicted[~keep] = z[~keep] @ weight
        fits[penalty] = float(with_differences(y - predicted, group, 4.0).square().sum()), predicted
    best = min(fits, key=lambda penalty: fits[penalty][0])
    assert best == 3.0
    chosen, expected = GroupRegression(3, 1), GroupRegression(3, 1)
    found = chosen.fit(x, y, group, fold, 4.0, penalties)
    assert found.chosen == ((3.0,),)
    expected.fit(x, y, group, fold, 4.0, (best,))
    torch.testing.assert_close(chosen.weight_ft, expected.weight_ft)
    torch.testing.assert_close(found.predicted_nt, fits[best][1], atol=1e-4, rtol=1e-4)
    rest = y - fits[best][1]
    assert found.explained == pytest.approx(float(1 - rest.square().sum() / y.square().sum()), abs=1e-4)


def test_features_that_do_not_vary_and_unusual_observations_do_no_harm():
    x, y, group, fold = case()
    x[:, 2] = 5.0
    model = GroupRegression(3, 1)
    model.fit(x, y, group, fold, 4.0, (1.0,))
    assert float(model.weight_ft[2]) == 0
    far, farther = (model(torch.tensor([[value, 0.0, 9.0]])) for value in (50.0, 500.0))
    torch.testing.assert_close(far, farther)
    assert float(far.abs()) < 10


def test_an_unfitted_one_predicts_the_mean():
    assert (GroupRegression(3, 2)(torch.randn(4, 3)) == 0).all()


def test_an_offset_is_hardly_shrunk():
    x, y, group, fold = case()
    without, with_one = (GroupRegression(3, 1, with_offset) for with_offset in (False, True))
    for model in (without, with_one):
        found = model.fit(x, y + 7, group, fold, 0.0, (1e4,))
        far = 0.5 if model.with_offset else 6.0
        assert abs(float(found.predicted_nt.mean() - 7)) == pytest.approx(far, abs=0.5 if model.with_offset else 1.1)
    assert float(with_one(x.mean(0, keepdim=True))) == pytest.approx(7 * 60 * 1e4 / (60 * 1e4 + 1e4), abs=0.1)
    without.fit(x, y, group, fold, 0.0, (2.0,))
    with_one.fit(x, y, group, fold, 0.0, (2.0,))
    torch.testing.assert_close(with_one(x), without(x), atol=0.05, rtol=0)
