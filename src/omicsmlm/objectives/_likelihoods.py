"""Negative log-likelihoods, one per kind of value; each gives (n,) sums over the features of a row."""

import torch
from torch import Tensor
from torch.nn import functional as F


def negative_binomial(counts_ng: Tensor, log_mean_ng: Tensor, log_dispersion_ng: Tensor) -> Tensor:
    r"""Negative binomial with mean μ and inverse dispersion θ (variance μ + μ²/θ).

    .. math:: -\log p = -\log\frac{\Gamma(x+θ)}{\Gamma(θ)\,x!} - θ\log\frac{θ}{θ+μ} - x\log\frac{μ}{θ+μ}

    The gamma functions cancel where x = 0, so they are computed at the non-zero counts only.

    Parameters
    ----------
    counts_ng
        Raw counts.
    log_mean_ng, log_dispersion_ng
        log μ and log θ.

    Examples
    --------
    >>> x, one = torch.tensor([[1.0]]), torch.zeros(1, 1)
    >>> negative_binomial(x, one, one)  # μ = θ = 1: geometric, p(1) = 1/4
    tensor([1.3863])
    """
    log_sum_ng = torch.logaddexp(log_mean_ng, log_dispersion_ng)
    theta_ng = log_dispersion_ng.exp()
    dense_n = (theta_ng * (log_dispersion_ng - log_sum_ng) + counts_ng * (log_mean_ng - log_sum_ng)).sum(1)
    row, column = counts_ng.nonzero(as_tuple=True)
    x, theta = counts_ng[row, column], theta_ng[row, column]
    gammas = torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)
    return -dense_n.index_add(0, row, gammas.to(dense_n.dtype))


def multinomial(open_ng: Tensor, logits_ng: Tensor) -> Tensor:
    """Which regions are open, given how many: −Σ x log softmax(logits) (the constant of x is left out)."""
    return -(open_ng * F.log_softmax(logits_ng, 1)).sum(1)


def bernoulli(fraction_ng: Tensor, logits_ng: Tensor, seen_ng: Tensor) -> Tensor:
    """Fractions between 0 and 1 as the mean of a Bernoulli: cross-entropy, over what is measured."""
    return (F.binary_cross_entropy_with_logits(logits_ng, fraction_ng, reduction="none") * seen_ng).sum(1)


def gaussian(values_ng: Tensor, mean_ng: Tensor, log_precision_ng: Tensor, seen_ng: Tensor) -> Tensor:
    """Normal with a mean and a log precision per value, over what is measured (without the constant log √2π)."""
    squares_ng = (values_ng - mean_ng).square() * log_precision_ng.exp()
    return (0.5 * (squares_ng - log_precision_ng) * seen_ng).sum(1)


def gaussian_kl(mean_nd: Tensor, log_variance_nd: Tensor) -> Tensor:
    """KL divergence of N(mean, variance) from N(0, 1), summed over dimensions: (n,).

    Examples
    --------
    >>> gaussian_kl(torch.ones(1, 2), torch.zeros(1, 2))
    tensor([1.])
    """
    return 0.5 * (mean_nd.square() + log_variance_nd.exp() - 1 - log_variance_nd).sum(1)
