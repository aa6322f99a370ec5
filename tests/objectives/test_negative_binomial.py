"""The negative binomial against scvi-tools, scipy and the formula that it replaced; its quick gamma functions."""

import numpy as np
import pytest
import torch
from scipy import special, stats
from scvi.distributions import NegativeBinomial
from torch import distributions as dist

from omicsmlm._stored import StoredValues
from omicsmlm.objectives import _negative_binomial, negative_binomial
from omicsmlm.objectives._negative_binomial import UNMEASURED_LOG_MEAN, rising_factorial


def plain(counts_ng, log_mean_ng, log_dispersion_ng):
    """The same by PyTorch's own gamma functions, which autograd goes through."""
    log_sum_ng, theta_ng = torch.logaddexp(log_mean_ng, log_dispersion_ng), log_dispersion_ng.exp()
    dense_ng = theta_ng * (log_dispersion_ng - log_sum_ng) + counts_ng * (log_mean_ng - log_sum_ng)
    gammas_ng = torch.lgamma(counts_ng + theta_ng) - torch.lgamma(theta_ng) - torch.lgamma(counts_ng + 1)
    return -(dense_ng + gammas_ng).sum(1)


def stored_of(counts_ng, n_elsewhere=3):
    """The counts that are not 0, and some that the grid has no place for."""
    obs_t, column_t = counts_ng.nonzero(as_tuple=True)
    values_t = torch.cat([counts_ng[obs_t, column_t], counts_ng.new_zeros(n_elsewhere)])
    obs_t, column_t = (torch.cat([at_t, at_t.new_zeros(n_elsewhere)]) for at_t in (obs_t, column_t))
    return StoredValues(obs_t * counts_ng.shape[1] + column_t, obs_t, column_t, values_t, torch.empty(0))


@pytest.fixture
def counts():
    torch.manual_seed(0)
    counts = torch.poisson(torch.rand(6, 9) * 4)
    counts[0] = 0
    counts[1, 0] = 5000
    return counts


def test_negative_binomial_is_that_of_scvi_and_scipy(counts):
    log_mean, log_theta = torch.randn(6, 9), torch.randn(6, 9)
    ours = negative_binomial(counts, log_mean, log_theta)
    theirs = -NegativeBinomial(mu=log_mean.exp(), theta=log_theta.exp()).log_prob(counts).sum(1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    mean, theta = log_mean.exp().double().numpy(), log_theta.exp().double().numpy()
    exact = -stats.nbinom.logpmf(counts.numpy(), theta, theta / (theta + mean)).sum(1)
    np.testing.assert_allclose(ours.numpy(), exact, rtol=1e-4)


def test_a_geometric_distribution():
    one = torch.zeros(1, 1)  # mean 1 and dispersion 1: p(x) = 2 ** -(x + 1)
    for x in range(5):
        assert float(negative_binomial(torch.full((1, 1), float(x)), one, one)) == pytest.approx(
            (x + 1) * np.log(2), rel=1e-5
        )


def test_a_large_dispersion_is_nearly_poisson(counts):
    log_mean = torch.randn(6, 9)
    ours = negative_binomial(counts[2:], log_mean[2:], torch.full((4, 9), 8.0))
    poisson = -dist.Poisson(log_mean[2:].exp()).log_prob(counts[2:]).sum(1)
    torch.testing.assert_close(ours, poisson, rtol=1e-2, atol=2e-2)


def test_gradients_of_the_negative_binomial(counts):
    parameters = [torch.randn(6, 9, dtype=torch.float64).requires_grad_() for _ in range(2)]
    small = counts.double().clamp(max=20)
    assert torch.autograd.gradcheck(lambda m, t: negative_binomial(small, m, t), parameters)


@pytest.mark.parametrize("is_stored", [False, True])
def test_value_and_gradients_are_those_of_the_plain_formula(counts, is_stored):
    torch.manual_seed(1)
    parameters = [(3 * torch.randn(6, 9)).requires_grad_() for _ in range(2)]
    weight_n, counts = torch.rand(6), counts.clamp(max=100)  # log Γ(5000) is known to 4e-3 in float32
    ours = negative_binomial(counts, *parameters, stored_of(counts) if is_stored else None)
    found = torch.autograd.grad(ours @ weight_n, parameters)
    exact = [part.detach().double().requires_grad_() for part in parameters]
    theirs = plain(counts.double(), *exact)
    expected = torch.autograd.grad(theirs @ weight_n.double(), exact)
    torch.testing.assert_close(ours, theirs.float(), rtol=2e-6, atol=1e-5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other.float(), rtol=2e-5, atol=2e-5)


def test_gradients_at_stored_counts(counts):
    parameters = [torch.randn(6, 9, dtype=torch.float64).requires_grad_() for _ in range(2)]
    small = counts.double().clamp(max=20)
    assert torch.autograd.gradcheck(lambda m, t: negative_binomial(small, m, t, stored_of(small)), parameters)


def test_it_is_computed_in_float32_whatever_autocast_says(counts):
    log_mean, log_theta = torch.randn(6, 9), torch.randn(6, 9)
    with torch.autocast("cpu", torch.bfloat16):
        found = negative_binomial(counts, log_mean.bfloat16(), log_theta)
    assert torch.equal(found, negative_binomial(counts, log_mean.bfloat16().float(), log_theta))


def test_what_was_not_measured_costs_nothing_and_has_no_gradient():
    log_mean, log_theta = torch.tensor([[-1e4]], requires_grad=True), torch.tensor([[8.0]], requires_grad=True)
    loss = negative_binomial(torch.zeros(1, 1), log_mean, log_theta)
    loss.sum().backward()
    assert not any(part.any() for part in (loss, log_mean.grad, log_theta.grad))


def test_rising_factorials_are_those_of_scipy():
    x = np.concatenate([np.arange(40), [0.5, 100, 5000, 1e6, 1e9]])[:, None]
    theta = np.exp([-6.0, -2, 0, 1, 3, 8])
    value, slope = rising_factorial(*torch.broadcast_tensors(*map(torch.from_numpy, (x, theta))))
    np.testing.assert_allclose(value, special.gammaln(x + theta) - special.gammaln(theta), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(slope, special.psi(x + theta) - special.psi(theta), rtol=1e-7, atol=1e-7)
    single, _ = rising_factorial(*torch.broadcast_tensors(*(torch.from_numpy(part).float() for part in (x, theta))))
    np.testing.assert_allclose(single, value, rtol=3e-6, atol=1e-5)
    assert not single[0].any()


def test_a_mean_far_above_the_dispersion_stays_finite():
    """Up to e⁸⁰ times as large it is exact, beyond that the odds are those of e⁸⁰."""
    count, zero = torch.tensor([[2.0]], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    for log_mean, bound in ((79.0, 79.0), (80.0, 80.0), (81.0, 80.0), (1000.0, 80.0)):
        mean = torch.full((1, 1), log_mean, dtype=torch.float64)
        assert float(negative_binomial(count, mean, zero)) == pytest.approx(
            float(plain(count, torch.full_like(mean, bound), zero)), rel=1e-9
        )
    single = negative_binomial(count.float(), torch.full((1, 1), 1000.0), zero.float())
    assert single.isfinite().all()


def test_precision_is_single_unless_it_is_double():
    for given, expected in ((torch.float16, torch.float32), (torch.float32,) * 2, (torch.float64,) * 2):
        assert negative_binomial(*(torch.ones(2, 3, dtype=given) for _ in range(3))).dtype == expected


def test_what_was_not_measured_has_a_log_mean_whose_exponential_is_zero():
    assert UNMEASURED_LOG_MEAN == -1e4
    assert float(torch.tensor(UNMEASURED_LOG_MEAN).exp()) == 0


def test_no_gradient_is_computed_that_is_not_asked_for():
    log_mean, log_theta = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    counts = torch.ones(2, 3)
    both = torch.autograd.grad(negative_binomial(counts, log_mean, log_theta).sum(), (log_mean, log_theta))
    one = torch.autograd.grad(negative_binomial(counts, log_mean, log_theta.detach()).sum(), log_mean)
    other = torch.autograd.grad(negative_binomial(counts, log_mean.detach(), log_theta).sum(), log_theta)
    assert torch.equal(one[0], both[0])
    assert torch.equal(other[0], both[1])


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _negative_binomial.MOST_LOG_ODDS == 80.0
