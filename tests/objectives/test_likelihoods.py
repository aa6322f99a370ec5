"""Likelihoods against scvi-tools, scipy and torch."""

import numpy as np
import pytest
import torch
from scipy import stats
from scvi.distributions import NegativeBinomial
from torch import distributions as dist

from omicsmlm.objectives import bernoulli, gaussian, gaussian_kl, multinomial, negative_binomial


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


def test_multinomial_differs_from_that_of_torch_by_a_constant_of_the_counts(counts):
    one, other = torch.randn(9), torch.randn(9)
    opened = (counts > 1).float()
    for row in opened:
        torchs = [dist.Multinomial(int(row.sum()), logits=logits).log_prob(row) for logits in (one, other)]
        ours = [multinomial(row[None], logits[None])[0] for logits in (one, other)]
        torch.testing.assert_close(ours[0] - ours[1], torchs[1] - torchs[0])


def test_multinomial_by_hand():
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log() + 3
    assert float(multinomial(torch.tensor([[1.0, 1, 0]]), logits)) == pytest.approx(np.log(8))


def test_bernoulli_over_what_is_measured():
    torch.manual_seed(0)
    logits, fraction = torch.randn(3, 4), torch.rand(3, 4)
    seen = torch.tensor([[True, True, False, True], [False] * 4, [True] * 4])
    p = logits.sigmoid()
    expected = [
        sum(float(-(f * q.log() + (1 - f) * (1 - q).log())) for f, q, s in zip(*row, strict=True) if s)
        for row in zip(fraction, p, seen, strict=True)
    ]
    torch.testing.assert_close(bernoulli(fraction, logits, seen), torch.tensor(expected))
    whole = bernoulli((fraction > 0.5).float(), logits, torch.ones_like(seen))
    torch.testing.assert_close(whole, -dist.Bernoulli(logits=logits).log_prob((fraction > 0.5).float()).sum(1))


def test_gaussian_is_that_of_torch_over_what_is_measured():
    torch.manual_seed(0)
    x, mean, log_precision = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 4)
    seen = torch.tensor([[True, True, False, True], [False] * 4, [True] * 4])
    exact = -dist.Normal(mean, (-log_precision / 2).exp()).log_prob(x) - np.log(np.sqrt(2 * np.pi))
    torch.testing.assert_close(gaussian(x, mean, log_precision, seen), (exact * seen).sum(1))


def test_kl_is_that_of_torch():
    torch.manual_seed(0)
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    posterior, prior = dist.Normal(mean, (log_variance / 2).exp()), dist.Normal(0.0, 1.0)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), dist.kl_divergence(posterior, prior).sum(1))
