"""The activation and the loss of bounded log counts: worked by hand, in their second form, and against PyTorch's own."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from omicsmlm._types import Grid, Masked
from omicsmlm.objectives import (
    CountReconstruction,
    bounded_poisson,
    clamped_relu,
    expected_log_counts,
    log_fractions,
    rectified_tanh,
    rectified_tanh_inverse,
)
from omicsmlm.objectives._bounded_counts import LIBRARY
from tests.objects import NO_BATCH

TOP = math.log(1e5 + 1)


class Outputs(NamedTuple):
    logits: Tensor
    log_dispersion: Tensor | None = None


def test_the_activation_by_hand():
    assert float(rectified_tanh(torch.tensor(0.0))) == 0
    assert float(rectified_tanh(torch.tensor(-3.0))) == 0
    at_slope = TOP * (math.e**2 - 1) / (math.e**2 + 1)  # tanh(1)
    assert float(rectified_tanh(torch.tensor(4 * math.e))) == pytest.approx(at_slope, rel=1e-6)
    assert float(rectified_tanh(torch.tensor(2.0))) == pytest.approx(TOP * math.tanh(2 / (4 * math.e)), rel=1e-6)
    assert float(rectified_tanh(torch.tensor(1e4))) == pytest.approx(11.512935464920229, rel=1e-6)
    assert float(rectified_tanh(torch.tensor(1e4), library=9.0)) == pytest.approx(math.log(10))


def test_the_second_published_form_of_the_activation():
    z = torch.linspace(-40, 40, 801, dtype=torch.float64)
    second = math.log1p(1e5) * F.relu(2 * torch.sigmoid(z / (2 * math.e)) - 1)
    torch.testing.assert_close(rectified_tanh(z), second)


def test_the_gradient_of_the_activation_is_alive_above_zero_only():
    z = torch.tensor([-1.0, 0.0, 1e-3, 1.0, 20.0], requires_grad=True)
    rectified_tanh(z).sum().backward()
    expected = [0, 0] + [TOP / (4 * math.e) * (1 - math.tanh(v / (4 * math.e)) ** 2) for v in (1e-3, 1.0, 20.0)]
    torch.testing.assert_close(z.grad, torch.tensor(expected))


def test_the_inverse_leads_back():
    values = torch.linspace(0.01, 11.4, 50, dtype=torch.float64)
    torch.testing.assert_close(rectified_tanh(rectified_tanh_inverse(values)), values)


def test_the_loss_by_hand():
    zero = torch.zeros(())
    assert float(bounded_poisson(zero, zero)) == 1, "a zero that is expected costs exactly 1"
    two = torch.tensor(math.log(3.0))  # 2 counts of the library, so that exp(x) is 3
    assert float(bounded_poisson(two, two)) == pytest.approx(3 - 3 * math.log(3), rel=1e-6)
    assert float(bounded_poisson(zero, two)) == 1
    assert float(bounded_poisson(two, zero)) == pytest.approx(3 - math.log(3), rel=1e-6)


def test_the_loss_is_a_poisson_likelihood_of_one_plus_the_counts():
    torch.manual_seed(0)
    expected, values = torch.rand(5, 7).double() * 11, torch.rand(5, 7).double() * 11
    torchs = torch.nn.PoissonNLLLoss(log_input=True, reduction="none")(expected, values.exp())
    torch.testing.assert_close(bounded_poisson(expected, values), torchs)
    count = torch.arange(1, 60.0).double()  # 1 + x
    one, other = torch.tensor(0.7), torch.tensor(2.9)
    difference = bounded_poisson(one, count.log()) - bounded_poisson(other, count.log())
    exact = stats.poisson.logpmf(count.numpy(), math.exp(2.9)) - stats.poisson.logpmf(count.numpy(), math.exp(0.7))
    np.testing.assert_allclose(difference, exact, rtol=1e-6, atol=1e-5)


def test_the_loss_is_least_at_the_truth():
    values = torch.tensor([0.0, 0.3, 4.0, 11.0], dtype=torch.float64)
    grid = torch.linspace(0, TOP, 4001, dtype=torch.float64)
    best = grid[bounded_poisson(grid[:, None], values).argmin(0)]
    torch.testing.assert_close(best, values, atol=0.003, rtol=0)


def test_the_other_activations():
    z = torch.tensor([[-2.0, 0.5, 30.0]])
    assert clamped_relu(z).tolist() == [[0.0, 0.5, pytest.approx(TOP)]]
    visible = torch.tensor([[True, True, False]])
    fraction = 1 / (1 + math.exp(-2.5))
    found = log_fractions(z, visible)
    assert found[0, :2].tolist() == pytest.approx(
        [math.log1p(1e5 * (1 - fraction)), math.log1p(1e5 * fraction)], rel=1e-5
    )
    assert float(torch.expm1(found.double()).sum()) == pytest.approx(1e5, rel=1e-5), "shares of what is seen"
    for name, direct in (("rectified tanh", rectified_tanh(z)), ("clamped ReLU", clamped_relu(z)), ("softmax", found)):
        torch.testing.assert_close(expected_log_counts(name, z, visible), direct)


def made(n=4, g=6):
    generator = torch.Generator().manual_seed(0)
    visible = torch.rand(n, g, generator=generator) < 0.7
    visible[2] = False
    values = torch.rand(n, g, generator=generator) * 6 * visible
    logits = torch.randn(n, g, generator=generator) * 3 + 1
    return logits, Grid(values, visible, values.sum(1))


SLOW = {
    "poisson": lambda e, x: math.exp(e) - e * math.exp(x),
    "squares": lambda e, x: (e - x) ** 2,
    "smooth L1": lambda e, x: 0.5 * (e - x) ** 2 if abs(e - x) < 1 else abs(e - x) - 0.5,
}


@pytest.mark.parametrize("loss", SLOW)
def test_the_mean_over_profiled_features_then_over_rows_that_have_any(loss):
    logits, target = made()
    inputs = target._replace(values=target.values * 0, visible=torch.zeros_like(target.visible))  # all of it hidden
    terms = CountReconstruction("rna", loss)(Outputs(logits), Masked({"rna": inputs}, {"rna": target}), NO_BATCH, 0.0)
    means = []
    for i in (0, 1, 3):
        costs = [
            SLOW[loss](TOP * max(0.0, math.tanh(float(logits[i, j]) / (4 * math.e))), float(target.values[i, j]))
            for j in range(6)
            if target.visible[i, j]
        ]
        means.append(sum(costs) / len(costs))
    assert list(terms) == ["counts"]
    assert float(terms["counts"]) == pytest.approx(sum(means) / 3, rel=1e-5)


def test_the_negative_binomial_over_profiled_features():
    logits, target = made()
    log_dispersion = torch.linspace(-1, 2, 6)
    outputs = Outputs(logits, log_dispersion)
    objective = CountReconstruction("rna", "negative binomial")
    found = objective(outputs, Masked({"rna": target}, {"rna": target}), NO_BATCH, 0.0)["counts"]
    mean, theta = rectified_tanh(logits).exp().double().numpy(), log_dispersion.exp().double().numpy()
    count = target.values.exp().double().numpy()
    log_p = (  # scipy's own rounds counts down to integers
        torch.lgamma(torch.tensor(count + theta)).numpy()
        - torch.lgamma(torch.tensor(theta)).numpy()
        - torch.lgamma(torch.tensor(count + 1)).numpy()
        + theta * np.log(theta / (theta + mean))
        + count * np.log(mean / (theta + mean))
    )
    visible = target.visible.numpy()
    expected = np.mean([-log_p[i][visible[i]].mean() for i in (0, 1, 3)])
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("activation", ["rectified tanh", "clamped ReLU", "softmax"])
def test_what_was_not_profiled_is_not_scored(activation):
    logits, target = made()
    objective = CountReconstruction("rna", activation=activation)
    masked = Masked({"rna": target}, {"rna": target})
    logits.requires_grad_()
    objective(Outputs(logits), masked, NO_BATCH, 0.0)["counts"].backward()
    assert (logits.grad[~target.visible] == 0).all()
    assert (logits.grad[target.visible & (logits > 0)] != 0).any()


def test_rows_without_the_modality_alone_cost_nothing():
    nothing = Grid(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool), torch.zeros(2))
    logits = torch.ones(2, 3, requires_grad=True)
    loss = CountReconstruction("rna")(Outputs(logits), Masked({"rna": nothing}, {"rna": nothing}), NO_BATCH, 0.0)
    assert loss["counts"].item() == 0


def test_usual_settings():
    usual = CountReconstruction("rna")
    assert (usual.loss, usual.activation, usual.library) == ("poisson", "rectified tanh", 1e5)
    assert LIBRARY == 1e5
    z, visible = torch.tensor([[1e4, 3.0]]), torch.ones(1, 2, dtype=torch.bool)
    for name in ("rectified tanh", "clamped ReLU", "softmax"):
        usual, small = expected_log_counts(name, z, visible), expected_log_counts(name, z, visible, 9.0)
        assert float(usual.max()) == pytest.approx(TOP)
        assert float(small.max()) == pytest.approx(math.log(10))
    assert float(rectified_tanh_inverse(torch.tensor(1.0), 9.0)) == pytest.approx(
        4 * math.e * math.atanh(1 / math.log(10)), rel=1e-6
    )


def test_the_library_of_the_objective_bounds_what_is_expected():
    _, target = made()
    for activation in ("rectified tanh", "clamped ReLU", "softmax"):
        objective = CountReconstruction("rna", "squares", activation, library=9.0)
        logits = torch.full((4, 6), 1e4)
        expected = expected_log_counts(activation, logits, target.visible, 9.0)
        squares = ((expected - target.values).square() * target.visible).sum(1)[[0, 1, 3]]
        mean = (squares / target.visible.sum(1)[[0, 1, 3]]).mean()
        found = objective(Outputs(logits), Masked({"rna": target}, {"rna": target}), NO_BATCH, 0.0)["counts"]
        torch.testing.assert_close(found, mean)


@pytest.mark.parametrize(("given", "bound"), [(-7.0, -6.0), (-5.5, -5.5), (7.5, 7.5), (9.0, 8.0)])
def test_dispersions_are_bounded(given, bound):
    logits, target = made()
    masked, objective = Masked({"rna": target}, {"rna": target}), CountReconstruction("rna", "negative binomial")
    found, expected = (
        objective(Outputs(logits, torch.full((6,), log)), masked, NO_BATCH, 0.0)["counts"] for log in (given, bound)
    )
    assert torch.equal(found, expected)
    assert found != objective(Outputs(logits, torch.full((6,), bound + 0.4)), masked, NO_BATCH, 0.0)["counts"] or (
        bound == 8
    )


def test_half_precision_is_computed_in_single():
    logits, target = made()
    for loss in (*SLOW, "negative binomial"):
        outputs = Outputs(logits.bfloat16(), torch.zeros(6, dtype=torch.bfloat16))
        found = CountReconstruction("rna", loss)(outputs, Masked({}, {"rna": target}), NO_BATCH, 0.0)["counts"]
        single = Outputs(logits.bfloat16().float(), torch.zeros(6))
        assert found.dtype == torch.float32
        assert torch.equal(
            found, CountReconstruction("rna", loss)(single, Masked({}, {"rna": target}), NO_BATCH, 0.0)["counts"]
        )
