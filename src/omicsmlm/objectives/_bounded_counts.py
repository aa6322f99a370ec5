"""Counts of a fixed library size as bounded logarithms: activations and losses."""

import math
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from omicsmlm._types import Batch, Masked

from ._negative_binomial import UNMEASURED_LOG_MEAN, negative_binomial
from ._reduction import step_mean

Activation = Literal["rectified tanh", "clamped ReLU", "softmax"]
"""Activation from logits to expected values log(1 + x)."""
CountLoss = Literal["poisson", "negative binomial", "squares", "smooth L1"]
"""Loss of expected counts."""

LIBRARY = 1e5
"""Total to which an observation's counts are normalised before the logarithm."""
SLOPE = 4 * math.e
"""A logit is divided by it before the hyperbolic tangent."""


class CountOutputs(Protocol):
    """What the objective needs of a module's outputs."""

    @property
    def logits(self) -> Tensor:
        """(n, g)."""
        ...

    @property
    def log_dispersion(self) -> Tensor | None:
        """(g,) log inverse dispersion of the negative binomial; None for other losses."""
        ...


def rectified_tanh(logits: Tensor, library: float = LIBRARY) -> Tensor:
    r"""Return expected values of log(1 + x) of logits z, with x between 0 and the library size L.

    .. math:: \varphi(z) = \log(L + 1)\,\operatorname{ReLU}(\tanh(z / 4e))
        = \log(L + 1)\,\operatorname{ReLU}(2\,\sigma(z / 2e) - 1)

    with e Euler's number: close to z for small positive z, since log(10⁵ + 1) ≈ 1.06 · 4e. Zero, with zero gradient, for
    z ≤ 0: a network should start with positive logits, see :func:`rectified_tanh_inverse`.

    Examples
    --------
    >>> rectified_tanh(torch.tensor([-1.0, 0.0, 1.0, 1e3]))
    tensor([ 0.0000,  0.0000,  1.0559, 11.5129])
    """
    return math.log1p(library) * F.relu(torch.tanh(logits / SLOPE))


def rectified_tanh_inverse(values: Tensor, library: float = LIBRARY) -> Tensor:
    """Return the logits of values from 0 up to under log(1 + L)."""
    return SLOPE * torch.atanh(values / math.log1p(library))


def clamped_relu(logits: Tensor, library: float = LIBRARY) -> Tensor:
    """Return logits clipped to 0 and log(1 + L), as values of log(1 + x)."""
    return logits.clamp(0, math.log1p(library))


def log_fractions(logits: Tensor, visible_ng: Tensor, library: float = LIBRARY) -> Tensor:
    """Return log(1 + L · softmax) of logits, the softmax over the visible features."""
    return torch.log1p(library * F.softmax(logits.masked_fill(~visible_ng, UNMEASURED_LOG_MEAN), 1))


def expected_log_counts(activation: Activation, logits: Tensor, visible_ng: Tensor, library: float = LIBRARY) -> Tensor:
    """Return expected values of log(1 + x), (n, g), from logits by the activation of that name."""
    if activation == "softmax":
        return log_fractions(logits, visible_ng, library)
    return (rectified_tanh if activation == "rectified tanh" else clamped_relu)(logits, library)


def bounded_poisson(expected_ng: Tensor, values_ng: Tensor) -> Tensor:
    r"""Poisson likelihood of 1 + x at the rate :math:`e^{\hat x}`, which lies between 1 and L + 1.

    .. math:: e^{\hat x} - \hat x\, e^{x}

    (constants of the target left out). It costs least where :math:`\hat x = x`, and a zero that is expected costs 1.

    Parameters
    ----------
    expected_ng, values_ng
        Expected and true values of log(1 + x).

    Examples
    --------
    >>> bounded_poisson(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 2.0])).tolist()  # e⁰ - 0; e² - 2 e²
    [1.0, -7.389056205749512]
    """
    return expected_ng.exp() - expected_ng * values_ng.exp()


class CountReconstruction:
    r"""Cost of the expected counts of an observation, the mean over the features that were measured in it, masked and visible.

    Parameters
    ----------
    name
        The modality.
    loss
        "poisson": :func:`bounded_poisson`. "negative binomial": of 1 + x with mean :math:`e^{\hat x}` and a dispersion per
        feature. "squares", "smooth L1": of the difference of the logarithms (the latter linear from a difference of 1 on).
    activation
        Activation from logits to expected values: "rectified tanh", "clamped ReLU" (cut at the largest possible value) or
        "softmax" (fractions of the library).
    library
        L, the total of an observation.
    """

    def __init__(
        self,
        name: str,
        loss: CountLoss = "poisson",
        activation: Activation = "rectified tanh",
        library: float = LIBRARY,
    ) -> None:
        self.name, self.loss, self.activation, self.library = name, loss, activation, library

    def __call__(self, outputs: CountOutputs, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the one term: the mean over the observations that have the modality."""
        target = masked.targets[self.name]
        expected_ng = expected_log_counts(self.activation, outputs.logits.float(), target.visible, self.library)
        cost_n = self._cost(expected_ng, target.values.float(), target.visible, outputs.log_dispersion)
        n_visible_n = target.visible.sum(1)
        mean_n = cost_n / n_visible_n.clamp(min=1)
        return {"counts": step_mean(mean_n.sum(), (n_visible_n > 0).sum(), batch)}

    def _cost(
        self, expected_ng: Tensor, values_ng: Tensor, visible_ng: Tensor, log_dispersion_g: Tensor | None
    ) -> Tensor:
        """Return the cost of each observation, (n,), summed over what was measured in it."""
        if self.loss == "negative binomial":
            assert log_dispersion_g is not None
            log_mean_ng = expected_ng.masked_fill(~visible_ng, UNMEASURED_LOG_MEAN)
            log_dispersion_ng = log_dispersion_g.float().clamp(-6, 8).expand_as(expected_ng)
            return negative_binomial(values_ng.exp() * visible_ng, log_mean_ng, log_dispersion_ng)
        return (ELEMENTWISE[self.loss](expected_ng, values_ng) * visible_ng).sum(1)


ELEMENTWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "poisson": bounded_poisson,
    "squares": lambda expected_ng, values_ng: (expected_ng - values_ng).square(),
    "smooth L1": lambda expected_ng, values_ng: F.smooth_l1_loss(expected_ng, values_ng, reduction="none"),
}
"""Costs of single values, (n, g) each."""
