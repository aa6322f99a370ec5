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
    return x, y, torch.from_numpy(group), torch.from_numpy(group < 4)


@pytest.mark.parametrize("weight", [0.0, 4.0])
def test_it_minimises_its_loss(weight):
    x, y, group, is_held = case()
    model = GroupRegression(3, 1)
    model.fit(x, y, group, is_held, weight, (2.0,))
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
    x, y, group, is_held = case()
    errors = []
    for weight in (0.0, 100.0):
        model = GroupRegression(3, 1)
        model.fit(x, y, group, is_held, weight, (1e-3,))
        rest = with_differences(y - model(x), group, 1.0)
        errors.append((float(rest[:60].square().sum()), float(rest[60:].square().sum())))
    assert errors[0][0] < errors[1][0]
    assert errors[0][1] > errors[1][1]


def test_the_penalty_is_chosen_on_what_is_held_out():
    x, y, group, is_held = case()
    penalties = (1e-3, 3.0, 1e4)
    fits = {}
    for penalty in penalties:
        model = GroupRegression(3, 1)
        model.fit(x, y, group, is_held, 4.0, (penalty,))
        own = GroupRegression(3, 1)
        own.mean_f, own.scale_f = model.mean_f, model.scale_f
        z, keep = own._standardised(x), ~is_held
        a = with_differences(z[keep], group[keep], 4.0).double()
        b = with_differences(y[keep], group[keep], 4.0).double()
        own.weight_ft = torch.linalg.solve(a.T @ a + penalty * torch.eye(3).double(), a.T @ b).float()
        rest = y[is_held] - own(x[is_held])
        fits[penalty] = float(with_differences(rest, group[is_held], 4.0).square().sum()), rest
    best = min(fits, key=lambda penalty: fits[penalty][0])
    assert best == 3.0
    chosen, expected = GroupRegression(3, 1), GroupRegression(3, 1)
    explained = chosen.fit(x, y, group, is_held, 4.0, penalties)
    expected.fit(x, y, group, is_held, 4.0, (best,))
    torch.testing.assert_close(chosen.weight_ft, expected.weight_ft)
    assert explained == pytest.approx(float(1 - fits[best][1].square().sum() / y[is_held].square().sum()), abs=1e-4)


def test_features_that_do_not_vary_and_unusual_observations_do_no_harm():
    x, y, group, is_held = case()
    x[:, 2] = 5.0
    model = GroupRegression(3, 1)
    model.fit(x, y, group, is_held, 4.0, (1.0,))
    assert float(model.weight_ft[2]) == 0
    far, farther = (model(torch.tensor([[value, 0.0, 9.0]])) for value in (50.0, 500.0))
    torch.testing.assert_close(far, farther)
    assert float(far.abs()) < 10


def test_an_unfitted_one_predicts_the_mean():
    assert (GroupRegression(3, 2)(torch.randn(4, 3)) == 0).all()
