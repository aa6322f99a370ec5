"""What experts predict of observations that none of them was fitted to, and the terms of least squares made of it.

Tensor axes: n observations, e experts, t targets, s sets of experts, x terms.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omicsmlm._types import Grid
from omicsmlm.nn import group_means, with_differences


class Predictions(NamedTuple):
    """What experts predict of observations that none of them was fitted to."""

    predicted_net: Tensor
    """(n, e, t) standardised predictions, 0 where an observation lacks what the expert reads."""
    set_n: Tensor
    """(n,) int64: which kernels have what they read (:meth:`IsoFormerModule.expert_predictions`)."""
    target: Grid
    """(n, t) standardised targets."""
    group_n: Tensor
    """(n,) int64: group of each observation."""

    def of(self, of_n: Tensor) -> "Predictions":
        """Return the predictions of some observations."""
        target = Grid(*(part[of_n] for part in self.target))
        return Predictions(self.predicted_net[of_n], self.set_n[of_n], target, self.group_n[of_n])


class Terms(NamedTuple):
    """Numbers to predict, and what each expert predicts of them."""

    predicted_xe: Tensor
    """(x, e)."""
    target_x: Tensor
    """(x,)."""
    group_x: Tensor
    """(x,) int64 group of each, from 0 on: terms of different groups are independent."""

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return int(self.group_x.max()) + 1 if len(self.group_x) else 0

    def of(self, of_x: Tensor) -> "Terms":
        """Return some of the terms, their groups numbered anew."""
        _, group_x = self.group_x[of_x].unique(return_inverse=True)
        return Terms(self.predicted_xe[of_x], self.target_x[of_x], group_x)


def observed(held_out: Predictions, group_weight: float) -> Terms:
    """Return the measured targets; below them their differences within groups times √``group_weight``, if these count."""
    terms, of_target_x = _measured(held_out)
    if not group_weight:
        return terms
    predicted_xe = with_differences(terms.predicted_xe, of_target_x, group_weight)
    target_x = with_differences(terms.target_x[:, None], of_target_x, group_weight)[:, 0]
    return Terms(predicted_xe, target_x, terms.group_x.repeat(2))


def levels(held_out: Predictions) -> Terms:
    """Return in the place of each measured target the mean of its group."""
    terms, of_target_x = _measured(held_out)
    target_x = group_means(terms.target_x[:, None], of_target_x)[:, 0]
    return terms._replace(predicted_xe=group_means(terms.predicted_xe, of_target_x), target_x=target_x)


def differences(held_out: Predictions) -> Terms:
    """Return the difference of each measured target from the mean of its group, of groups with at least two."""
    terms, of_target_x = _measured(held_out)
    predicted_xe = terms.predicted_xe - group_means(terms.predicted_xe, of_target_x)
    target_x = terms.target_x - group_means(terms.target_x[:, None], of_target_x)[:, 0]
    _, place_x, count = of_target_x.unique(return_inverse=True, return_counts=True)
    return Terms(predicted_xe, target_x, terms.group_x).of(count[place_x] > 1)


def _measured(held_out: Predictions) -> tuple[Terms, Tensor]:
    """Return the measured targets, and which are of the same group and the same target, as targets have means of their own."""
    y_nt, visible_nt = held_out.target.values.to(held_out.predicted_net.dtype), held_out.target.visible
    group_nt = held_out.group_n[:, None].expand(visible_nt.shape)
    _, group_x = group_nt[visible_nt].unique(return_inverse=True)
    of_target_nt = group_nt * y_nt.shape[1] + torch.arange(y_nt.shape[1], device=y_nt.device)
    terms = Terms(held_out.predicted_net.transpose(1, 2)[visible_nt], y_nt[visible_nt], group_x)
    return terms, of_target_nt[visible_nt]


def targets_of(views: Sequence[dict[str, Any]], target: str) -> Grid:
    """Return the standardised targets of several views together, (n, t)."""
    return Grid(*(torch.cat(parts) for parts in zip(*(batch[target] for batch in views), strict=True)))


def balanced_weight(target: Grid, group_n: Tensor) -> float:
    """Return how often differences within groups must count for their squares to be those of the observations; 0 without any.

    Examples
    --------
    >>> target = Grid(torch.tensor([[1.0], [2.0], [-3.0]]), torch.ones(3, 1, dtype=torch.bool), torch.zeros(3))
    >>> balanced_weight(target, torch.tensor([0, 0, 1]))  # 14 to ½
    28.0
    """
    terms = observed(Predictions(target.values[:, None], group_n, target, group_n), 1.0)
    whole, within = (part.square().sum() for part in terms.target_x.chunk(2))
    return float(whole / within) if within > 1e-9 * whole else 0.0
