"""Means over all that is evaluated in a step, on whichever process."""

import torch
from torch import Tensor
from torch.distributed import all_reduce

from omicsmlm._types import Batch

IGNORED = -100
"""Class that :func:`torch.nn.functional.cross_entropy` leaves out: the target of tokens that are not evaluated."""


def step_mean(total: Tensor, count: Tensor | int, batch: Batch) -> Tensor:
    r"""Return the sum of a step's losses divided by how many there are; 0 where there is none.

    Where ranks share a step, each has a part of its sum :math:`S_r` and of its count :math:`C_r`, and the gradients are
    averaged over the R ranks. So that they come out as one process would have them, each rank returns

    .. math:: R \, S_r \Big/ \sum_{r'} C_{r'}

    Parameters
    ----------
    total, count
        Sum and number of the losses of this process; no gradient flows through the count.
    batch
        The batch, which knows how many ranks share the step.

    Examples
    --------
    >>> nothing = torch.zeros(3, 0, dtype=torch.int64)
    >>> step_mean(torch.tensor(6.0), 3, Batch({}, {}, {}, nothing, torch.arange(3)))
    tensor(2.)
    """
    if not isinstance(count, Tensor):
        count = torch.full_like(total.detach(), count)
    if batch.n_ranks > 1:
        count = count.detach().clone()
        all_reduce(count)
    return batch.n_ranks * total / torch.where(count > 0, count, torch.ones_like(count))


def observation_mean(loss_n: Tensor, batch: Batch) -> Tensor:
    """Return the mean of one loss per observation over all observations of a step."""
    return step_mean(loss_n.sum(), len(loss_n), batch)
