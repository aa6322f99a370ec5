r"""The negative binomial, value and gradient in one pass.

With :math:`a = \log μ - \log θ` and the softplus :math:`s = \log(1 + e^a)`,

.. math::
    -\log p = (θ + x)\, s - x\, a - \log\frac{Γ(x + θ)}{Γ(θ)\, x!}, \qquad
    \frac{\partial}{\partial \log μ} = (θ + x)\, σ(a) - x, \qquad
    \frac{\partial}{\partial \log θ} = θ s - \frac{\partial}{\partial \log μ} - θ\,(ψ(x + θ) - ψ(θ))

The gamma functions cancel where x = 0, so they are computed at the stored counts where these are known.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from omicsmlm._stored import StoredValues

MOST_LOG_ODDS = 80.0
"""Largest log μ/θ: its exponential is still a float32 (which end at e⁸⁸)."""
UNMEASURED_LOG_MEAN = -1e4
"""Log mean of what was not measured: e⁻¹⁰⁰⁰⁰ is 0 in float32, so the likelihood of a zero there is 1 and it adds nothing."""


def negative_binomial(
    counts_ng: Tensor, log_mean_ng: Tensor, log_dispersion_ng: Tensor, stored: StoredValues | None = None
) -> Tensor:
    r"""Return the negative log-likelihood of a negative binomial of mean μ and inverse dispersion θ, (n,), float32.

    The variance is μ + μ²/θ.

    Parameters
    ----------
    counts_ng
        Raw counts.
    log_mean_ng, log_dispersion_ng
        log μ and log θ.
    stored
        The counts that are not 0, where it is known which they are.

    Examples
    --------
    >>> x, one = torch.tensor([[1.0]]), torch.zeros(1, 1)
    >>> negative_binomial(x, one, one)  # μ = θ = 1: geometric, p(1) = 1/4
    tensor([1.3863])
    """
    at_t = None if stored is None else stored.at_t
    obs_t = None if stored is None else stored.obs_t
    values_t = None if stored is None else stored.values_t
    parts = map(_precise, (counts_ng, log_mean_ng, log_dispersion_ng))
    return _NegativeBinomial.apply(*parts, at_t, obs_t, values_t)  # no operation in it that autocast would lower


def _precise(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


class _NegativeBinomial(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        counts_ng: Tensor,
        log_mean_ng: Tensor,
        log_dispersion_ng: Tensor,
        at_t: Tensor | None,
        obs_t: Tensor | None,
        values_t: Tensor | None,
    ) -> Tensor:  # type: ignore[override]
        theta_ng, a_ng = log_dispersion_ng.exp(), (log_mean_ng - log_dispersion_ng).clamp_(max=MOST_LOG_ODDS)
        spare_ng = a_ng * counts_ng  # few buffers, each used again: at this size allocating takes longer than computing
        loss_n = -spare_ng.sum(1)
        if at_t is None or obs_t is None or values_t is None:
            gammas_ng, slope_ng = _gammas(counts_ng, theta_ng)
            loss_n.sub_(gammas_ng.sum(1))
        else:
            gammas_t, slope_t = _gammas(values_t, theta_ng.view(-1).index_select(0, at_t))
            loss_n.index_add_(0, obs_t, gammas_t, alpha=-1)
        odds_ng = a_ng.exp_()
        one_more_ng = torch.add(odds_ng, 1, out=spare_ng)
        to_mean_ng, softplus_ng = odds_ng.div_(one_more_ng), one_more_ng.log_()
        both_ng = theta_ng + counts_ng
        to_mean_ng.mul_(both_ng).sub_(counts_ng)
        loss_n.add_(both_ng.mul_(softplus_ng).sum(1))
        to_dispersion_ng = theta_ng.mul_(softplus_ng).sub_(to_mean_ng)
        if at_t is None:
            to_dispersion_ng.sub_(slope_ng)
        else:
            to_dispersion_ng.view(-1).index_add_(0, at_t, slope_t, alpha=-1)
        ctx.save_for_backward(to_mean_ng, to_dispersion_ng)
        return loss_n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_n: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        to_mean_ng, to_dispersion_ng = ctx.saved_tensors
        gradient_n1, (_, for_mean, for_dispersion, *_) = gradient_n[:, None], ctx.needs_input_grad
        to_mean = to_mean_ng * gradient_n1 if for_mean else None
        return None, to_mean, to_dispersion_ng * gradient_n1 if for_dispersion else None, None, None, None


def _gammas(x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return log Γ(x + θ) / (Γ(θ) x!) and its derivative by log θ, 0 where x is."""
    log_rising, slope = rising_factorial(x, theta)
    return log_rising.sub_(torch.lgamma(x + 1)), slope.mul_(theta)


def rising_factorial(x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return log Γ(x + θ) / Γ(θ) and its derivative by θ, by quick operations alone; 0 where x is.

    By the recurrence, both arguments w are led to w + 4, where Stirling's series is good; its terms at z = θ + 4 and at z + x
    are subtracted one by one, so that nothing cancels where θ is large:

    .. math::
        x \log(z + x) + (z - ½) \log(1 + x/z) - x + r(z + x) - r(z) - \log\frac{p(θ + x)}{p(θ)}, \qquad
        r(z) = \frac{1}{12 z} - \frac{1}{360 z^3} + \frac{1}{1260 z^5}, \qquad
        p(w) = w (w + 1) (w + 2) (w + 3) = q (q + 2), \quad q = w (w + 3)

    Parameters
    ----------
    x
        Not negative.
    theta
        Positive.

    Examples
    --------
    >>> value, _ = rising_factorial(torch.tensor([6.0]), torch.tensor([2.0]))
    >>> value.exp().round()  # 2 · 3 · 4 · 5 · 6 · 7
    tensor([5040.])
    """
    both = torch.stack([theta, theta + x])  # one operation for the two arguments
    q, ends = both * (both + 3), both + 4
    q_more = q + 2
    inverse = ends.reciprocal()
    square = inverse * inverse
    remainder = (square / 1260).sub_(1 / 360).mul_(square).add_(1 / 12).mul_(inverse)
    z, end = ends.unbind()
    log_ratio, ratio = torch.log1p(x / z), (q[1] / q[0]).mul_(q_more[1] / q_more[0])
    value = (end.log() - 1).mul_(x).addcmul_(z - 0.5, log_ratio).add_(remainder[1] - remainder[0]).sub_(ratio.log_())
    slope = (1 / 120 - square / 252).mul_(square).sub_(1 / 12).mul_(square).sub_(inverse / 2)
    slope.sub_((2 * both + 3).mul_(2 * q + 2).div_(q.mul_(q_more)))
    return value, log_ratio.add_(slope[1]).sub_(slope[0])
