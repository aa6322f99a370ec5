"""Survival objectives: Cox's partial likelihood, and hazards of intervals of time."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from omicsmlm._checks import value_error
from omicsmlm._types import Batch, Masked

from ._reduction import observation_mean, step_mean


class CoxObjective:
    r"""Negative log partial likelihood of a batch, per event; tied events by Efron's method.

    An observation is compared with those of its stratum in the batch. Batches therefore have to be large; the loss of one
    without events is 0.

    Parameters
    ----------
    time_n
        (n_obs,) float32 times of the observations of the object; a batch finds its own by ``batch.indices``.
    event_n
        (n_obs,) bool: the time is that of the event.
    stratum_n
        (n_obs,) int64 codes of the strata.
    """

    def __init__(self, time_n: Tensor, event_n: Tensor, stratum_n: Tensor) -> None:
        self.time_n = time_n
        self.event_n = event_n
        self.stratum_n = stratum_n

    def __call__(self, outputs: Tensor, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the one term, of (n, 1) log relative hazards."""
        if batch.n_ranks > 1:
            remedy = "pass devices=1, or likelihood='discrete' in the config"
            raise value_error(
                "devices", "one device for Cox's likelihood, which compares all of a batch", "several", remedy
            )
        indices = batch.indices
        parts = self.time_n, self.event_n, self.stratum_n
        self.time_n, self.event_n, self.stratum_n = (part.to(indices.device) for part in parts)  # they stay there
        time_n, event_n, stratum_n = self.time_n[indices], self.event_n[indices], self.stratum_n[indices]
        total = negative_log_partial_likelihood(outputs.float()[:, 0], time_n, event_n, stratum_n)
        return {"cox": step_mean(total, event_n.sum(), batch)}

    def distance(self, full: Tensor, partial: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared difference of (n, 1) log relative hazards: see :func:`risk_distance`."""
        self.stratum_n = self.stratum_n.to(batch.indices.device)
        return risk_distance(full[:, 0], partial[:, 0], self.stratum_n[batch.indices])


def negative_log_partial_likelihood(eta_n: Tensor, time_n: Tensor, event_n: Tensor, stratum_n: Tensor) -> Tensor:
    r"""Return the sum over events of Cox's negative log partial likelihood, ties by Efron's method.

    For the events :math:`l = 0, \dots, m - 1` of one time and stratum, whose observations are D, among those at risk R,

    .. math:: \sum_l \log\Big(\sum_{j \in R} e^{\eta_j} - \frac lm \sum_{j \in D} e^{\eta_j}\Big) - \sum_{j \in D} \eta_j

    Parameters
    ----------
    eta_n, time_n, event_n, stratum_n
        Log relative hazards, times, whether these are of the event (bool), and strata: pairs of observations are compared, n²
        numbers.

    Examples
    --------
    Of two alike, the first to have the event does so with probability 1 / 2, the second for sure:

    >>> one = torch.ones(2, dtype=torch.bool)
    >>> negative_log_partial_likelihood(torch.zeros(2), torch.tensor([1.0, 2.0]), one, torch.zeros(2))
    tensor(0.6931)
    """
    same_nn = stratum_n[:, None] == stratum_n
    at_risk_nn = same_nn & (time_n >= time_n[:, None])
    tied_nn = same_nn & (time_n == time_n[:, None]) & event_n & event_n[:, None]
    fraction_n = tied_nn.tril(-1).sum(1) / tied_nn.sum(1).clamp(min=1)
    eta_nn = eta_n.expand_as(at_risk_nn).masked_fill(~at_risk_nn, -torch.inf)
    largest_n = eta_nn.detach().amax(1)  # each observation is at its own risk, so that this is finite
    hazard_nn = (eta_nn - largest_n[:, None]).exp()
    left_n = hazard_nn.sum(1) - fraction_n * (hazard_nn * tied_nn).sum(1)
    loss_n = largest_n + left_n.clamp(min=1e-30).log() - eta_n
    return torch.where(event_n, loss_n, 0.0).sum()


def risk_distance(full_n: Tensor, partial_n: Tensor, stratum_n: Tensor) -> Tensor:
    r"""Return the mean squared difference of log relative hazards, each centred among the observations of its stratum.

    .. math:: \frac1n \sum_i \big((p_i - \bar p_{s_i}) - (f_i - \bar f_{s_i})\big)^2

    What is common to a stratum is that of its baseline hazard, about which Cox's likelihood says nothing. No gradient flows
    into the full views' hazards, f.

    Examples
    --------
    >>> zeros = torch.zeros(2)
    >>> risk_distance(torch.tensor([0.0, 2.0]), torch.tensor([5.0, 5.0]), zeros)  # centred: -1 and 1 against 0 and 0
    tensor(1.)
    """
    difference_n = partial_n.float() - full_n.detach().float()
    same_nn = (stratum_n[:, None] == stratum_n).float()
    mean_n = same_nn @ difference_n / same_nn.sum(1)
    return (difference_n - mean_n).square().mean()


class DiscreteHazards:
    r"""Negative log likelihood of hazards in intervals of time (Brown 1975; Gensheimer and Narasimhan 2019).

    .. math:: -\sum_{u < u_i} \log(1 - h_{iu}) - \log\big(h_{iu_i}^{d_i} (1 - h_{iu_i})^{1 - d_i}\big)

    with the interval :math:`u_i` in which observation i was last observed, and whether it had the event, :math:`d_i`.

    Parameters
    ----------
    interval_n
        (n_obs,) int64: interval in which each observation of the object was last observed.
    event_n
        (n_obs,) bool: it was last observed with the event.
    """

    def __init__(self, interval_n: Tensor, event_n: Tensor) -> None:
        self.interval_n = interval_n
        self.event_n = event_n

    def __call__(self, outputs: Tensor, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the one term, of (n, u) logits of hazards, per observation."""
        indices = batch.indices
        self.interval_n, self.event_n = (
            part.to(indices.device) for part in (self.interval_n, self.event_n)
        )  # they stay there
        last_n, event_n = self.interval_n[indices], self.event_n[indices]
        interval_u = torch.arange(outputs.shape[1], device=indices.device)
        happens_nu = ((interval_u == last_n[:, None]) & event_n[:, None]).float()
        visible_nu = (interval_u <= last_n[:, None]).float()
        loss_nu = binary_cross_entropy_with_logits(outputs.float(), happens_nu, reduction="none")
        return {"hazards": observation_mean((loss_nu * visible_nu).sum(1), batch)}

    def distance(self, full: Tensor, partial: Tensor, batch: Batch) -> Tensor:
        r"""Return the mean divergence of the intervals in which the event happens, as (n, u) logits of hazards predict it.

        By the chain rule it is the sum over intervals of :math:`S_u\, \mathrm{KL}(h_u^\text{full} \,\|\, h_u^\text{partial})`,
        with the full view's probability :math:`S_u` to reach the interval without the event.
        """
        full_nu, partial_nu = full.detach().float(), partial.float()
        hazard_nu = full_nu.sigmoid()
        reached_nu = torch.cumsum(-softplus(full_nu), 1).roll(1, 1)
        reached_nu[:, 0] = 0
        cross_nu = binary_cross_entropy_with_logits(partial_nu, hazard_nu, reduction="none")
        own_nu = binary_cross_entropy_with_logits(full_nu, hazard_nu, reduction="none")
        return (reached_nu.exp() * (cross_nu - own_nu)).sum(1).mean()


def log_risk(outputs: Tensor) -> Tensor:
    r"""Return (n,) log risks: log relative hazards as they are, or the log of the cumulative hazard over all intervals.

    .. math:: \log \sum_u -\log(1 - h_u), \quad -\log(1 - \sigma(l)) = \log(1 + e^l)
    """
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    return softplus(outputs.float()).sum(1).clamp(min=1e-30).log()
