"""Negative log-likelihoods, one per kind of value; each returns (n,) sums over the features of an observation."""

from torch import Tensor
from torch.nn import functional as F

from omicsmlm._stored import as_float


def multinomial(open_ng: Tensor, logits_ng: Tensor) -> Tensor:
    """Return that of which regions are open, given how many: −Σ x log softmax(logits) (the constant of x is left out)."""
    return -(open_ng * F.log_softmax(logits_ng, 1)).sum(1)


def bernoulli(fraction_ng: Tensor, logits_ng: Tensor, visible_ng: Tensor) -> Tensor:
    """Return that of fractions between 0 and 1 as the mean of a Bernoulli: cross-entropy, over what is measured."""
    return (F.binary_cross_entropy_with_logits(logits_ng, fraction_ng, reduction="none") * as_float(visible_ng)).sum(1)


def gaussian(values_ng: Tensor, mean_ng: Tensor, log_precision_ng: Tensor, visible_ng: Tensor) -> Tensor:
    """Return that of a normal with a mean and a log precision per value, over what is measured (without the constant log √2π)."""
    squares_ng = (values_ng - mean_ng).square() * log_precision_ng.exp()
    return (0.5 * (squares_ng - log_precision_ng) * as_float(visible_ng)).sum(1)


def gaussian_kl(mean_nd: Tensor, log_variance_nd: Tensor) -> Tensor:
    """Return the KL divergence of N(mean, variance) from N(0, 1), summed over dimensions: (n,).

    Examples
    --------
    >>> import torch
    >>> gaussian_kl(torch.ones(1, 2), torch.zeros(1, 2))
    tensor([1.])
    """
    return 0.5 * (mean_nd.square() + log_variance_nd.exp() - 1 - log_variance_nd).sum(1)
