"""Likelihoods against scipy and torch."""

import numpy as np
import pytest
import torch
from torch import distributions as dist

from omicsmlm.objectives import bernoulli, gaussian, gaussian_kl, multinomial


@pytest.fixture
def counts():
    torch.manual_seed(0)
    counts = torch.poisson(torch.rand(6, 9) * 4)
    counts[0] = 0
    counts[1, 0] = 5000
    return counts


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
    visible = torch.tensor([[True, True, False, True], [False] * 4, [True] * 4])
    p = logits.sigmoid()
    expected = [
        sum(float(-(f * q.log() + (1 - f) * (1 - q).log())) for f, q, s in zip(*row, strict=True) if s)
        for row in zip(fraction, p, visible, strict=True)
    ]
    torch.testing.assert_close(bernoulli(fraction, logits, visible), torch.tensor(expected))
    whole = bernoulli((fraction > 0.5).float(), logits, torch.ones_like(visible))
    torch.testing.assert_close(whole, -dist.Bernoulli(logits=logits).log_prob((fraction > 0.5).float()).sum(1))


def test_gaussian_is_that_of_torch_over_what_is_measured():
    torch.manual_seed(0)
    x, mean, log_precision = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 4)
    visible = torch.tensor([[True, True, False, True], [False] * 4, [True] * 4])
    exact = -dist.Normal(mean, (-log_precision / 2).exp()).log_prob(x) - np.log(np.sqrt(2 * np.pi))
    torch.testing.assert_close(gaussian(x, mean, log_precision, visible), (exact * visible).sum(1))


def test_kl_is_that_of_torch():
    torch.manual_seed(0)
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    posterior, prior = dist.Normal(mean, (log_variance / 2).exp()), dist.Normal(0.0, 1.0)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), dist.kl_divergence(posterior, prior).sum(1))
