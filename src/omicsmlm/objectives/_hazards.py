"""Telling who has the event sooner: Cox's partial likelihood, and hazards of intervals of time."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from omicsmlm._checks import mistake
from omicsmlm._types import Batch, Corrupted

from ._reduction import observation_mean


class CoxObjective:
    r"""Negative log partial likelihood of a batch, per event; tied events by Efron's method (torchsurv).

    A row is compared with the rows of its stratum in the batch. Batches therefore have to be large; one without events
    has nothing to say.

    Parameters
    ----------
    time_n
        (n_obs,) float32 times of the rows of the object; a batch finds its own by ``batch.rows``.
    event_n
        (n_obs,) bool: the time is that of the event.
    stratum_n
        (n_obs,) int64 codes of the strata.
    """

    def __init__(self, time_n: Tensor, event_n: Tensor, stratum_n: Tensor) -> None:
        self.time_n = time_n
        self.event_n = event_n
        self.stratum_n = stratum_n

    def __call__(self, outputs: Tensor, corrupted: Corrupted, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the one term, of (n, 1) log relative hazards."""
        from torchsurv.loss.cox import neg_partial_log_likelihood

        if batch.n_ranks > 1:
            remedy = "pass devices=1, or likelihood='discrete' in the config"
            raise mistake(
                "devices", "one device for Cox's likelihood, which compares all of a batch", "several", remedy
            )
        rows = batch.rows
        time_n, event_n, stratum_n = (
            part.to(rows.device)[rows] for part in (self.time_n, self.event_n, self.stratum_n)
        )
        eta_n = outputs.float()[:, 0]
        n_events = int(event_n.sum())
        if n_events == 0 or len(rows) < 2:
            return {"cox": eta_n.sum() * 0}
        eta_n = eta_n - eta_n.detach().max()  # the likelihood does not mind; torchsurv's exponentials do
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it tells of every tie
            total = neg_partial_log_likelihood(eta_n, event_n, time_n, reduction="sum", strata=stratum_n)
        return {"cox": total / n_events}


class DiscreteHazards:
    r"""Negative log likelihood of hazards in intervals of time (Brown 1975; Gensheimer and Narasimhan 2019).

    .. math:: -\sum_{u < u_i} \log(1 - h_{iu}) - \log\big(h_{iu_i}^{d_i} (1 - h_{iu_i})^{1 - d_i}\big)

    with the interval :math:`u_i` in which row i was last seen, and whether it had the event, :math:`d_i`.

    Parameters
    ----------
    interval_n
        (n_obs,) int64: interval in which each row of the object was last seen.
    event_n
        (n_obs,) bool: it was last seen with the event.
    """

    def __init__(self, interval_n: Tensor, event_n: Tensor) -> None:
        self.interval_n = interval_n
        self.event_n = event_n

    def __call__(self, outputs: Tensor, corrupted: Corrupted, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the one term, of (n, u) logits of hazards, per row."""
        rows = batch.rows
        last_n, event_n = (part.to(rows.device)[rows] for part in (self.interval_n, self.event_n))
        interval_u = torch.arange(outputs.shape[1], device=rows.device)
        happens_nu = ((interval_u == last_n[:, None]) & event_n[:, None]).float()
        seen_nu = (interval_u <= last_n[:, None]).float()
        loss_nu = binary_cross_entropy_with_logits(outputs.float(), happens_nu, reduction="none")
        return {"hazards": observation_mean((loss_nu * seen_nu).sum(1), batch)}


def log_risk(outputs: Tensor) -> Tensor:
    r"""Give (n,) log risks: log relative hazards as they are, or the log of the cumulative hazard over all intervals.

    .. math:: \log \sum_u -\log(1 - h_u), \quad -\log(1 - \sigma(l)) = \log(1 + e^l)
    """
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    return softplus(outputs).sum(1).clamp(min=1e-30).log()
