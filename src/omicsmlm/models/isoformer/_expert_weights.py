"""The weights that combine the predictions of IsoFormer's experts: regressions on what each predicts of held-out observations.

The regressions predict each training observation from folds that it is not in, which is much to fit their weights on; the network,
which is trained once, predicts only the validation set without having seen it. So the regressions are combined first, on the
training set, by weights of 0 and above (stacking; Breiman 1996, Machine Learning 24, 49); then one number, of which the validation
set gives an interval, divides the prediction between that combination and the network: its lower limit. Tensor axes: n
observations, e experts, t targets, s sets of experts, x measured targets.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from scipy.optimize import nnls
from torch import Tensor

from omicsmlm._types import Grid
from omicsmlm.nn import with_differences

from ._module import IsoFormerModule

PRIOR_OBS = 30.0
"""Observations, or groups, that the prior weights count for, against those that the weights are fitted on."""
MIN_GROUPS = 30
"""Groups of the validation set from which on a set of sequences tells its own weight of the network."""
MIN_EXPLAINED = 0.01
"""Least fraction of squares that an expert is taken to explain, so that no prior weight is 0 or below."""


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


def fit_weights(
    module: IsoFormerModule, crossed: Predictions | None, validation: Predictions, group_weight: float
) -> None:
    """Fit the weights of the experts, for each set of sequences that an observation may have, in place.

    Parameters
    ----------
    module
        Module whose weights are fitted.
    crossed
        Of the training set, by all regressions, each fitted to other folds; None where there is none: the network predicts.
    validation
        Of the validation set, by all experts, the network last.
    group_weight
        How often differences within groups count.
    """
    module.reset_weights()
    weight_se = module.get_buffer("weight_se")
    if crossed is None:
        return
    own_se = stacked(crossed, weight_se[:, :-1] > 0, group_weight)
    combined_nt = torch.einsum("net,ne->nt", validation.predicted_net[:, :-1], own_se[validation.set_n])
    pair = torch.stack([combined_nt, validation.predicted_net[:, -1]], 1)
    fraction_s1 = network_fraction(validation._replace(predicted_net=pair), own_se.any(1), group_weight)[:, None]
    weight_se.copy_(torch.cat([own_se * (1 - fraction_s1), fraction_s1], 1))


def stacked(held_out: Predictions, has_se: Tensor, group_weight: float) -> Tensor:
    r"""Return weights of predictions for each set of sequences, (s, e), 0 and above: ridge regression, shrunk to prior weights.

    Of all measured targets y of a set's observations on the experts' predictions A, the least of

    .. math:: \lVert y - A w \rVert^2 + \tfrac{n_0}{n} \sum_e D_e (w_e - w_{0e})^2, \quad D = \operatorname{diag}(A^\top A), \; w \ge 0,

    with w₀ in proportion to the fraction of squares that each expert explains by itself over all observations that it has a
    prediction for, n the number of the set's groups, and :math:`n_0` = :data:`PRIOR_OBS`. Sets that no observation has keep w₀.
    Below A and y stand the differences of each observation from the mean of its group, times the root of ``group_weight``.

    Parameters
    ----------
    held_out
        Predictions of observations that no expert was fitted to.
    has_se
        (s, e) bool: the experts that have a prediction in each set. Without any, all weights are 0.
    group_weight
        How often differences within groups count; 0 for not at all.
    """
    weight_se = has_se * _explained(held_out, has_se, group_weight)
    weight_se /= weight_se.sum(1, keepdim=True).clamp(min=1e-12)
    for s in held_out.set_n.unique().tolist():
        has_e, of_n = has_se[s], held_out.set_n == s
        if not has_e.any():
            continue
        own = _rows(held_out, of_n)
        a_xe, y_x = _with_group_differences(own, group_weight)
        a_xe, prior_e = a_xe[:, has_e].double(), weight_se[s, has_e].double()
        gram_ee, moment_e = a_xe.T @ a_xe, a_xe.T @ y_x.double()
        # The small number keeps the system regular where an expert predicts 0 throughout.
        ridge_ee = torch.diag(gram_ee.diagonal() + 1e-9) * (PRIOR_OBS / len(own.group_n.unique()))
        weight_se[s, has_e] = _least_squares(gram_ee + ridge_ee, moment_e + ridge_ee @ prior_e).float()
    return weight_se


def _least_squares(gram_ee: Tensor, moment_e: Tensor) -> Tensor:
    """Return the w of 0 and above where wᵀ G w - 2 mᵀ w is least, (e,)."""
    root_ee = torch.linalg.cholesky(gram_ee)
    target_e = torch.linalg.solve_triangular(root_ee, moment_e[:, None], upper=False)[:, 0]
    return torch.from_numpy(nnls(root_ee.T.numpy(), target_e.numpy())[0])


def network_fraction(validation: Predictions, has_regression_s: Tensor, group_weight: float) -> Tensor:
    r"""Return the weight of the network in each set of sequences, (s,) from 0 to 1; that of the combined regressions is the rest.

    Over all observations with a regression, the lower limit of the weight a that makes the squares of :math:`y - r - a (f - r)`
    least, with r the regressions' and f the network's prediction: :math:`a - 2 \sigma`, 0 if that is less, with σ the standard
    error of a over groups. A validation set of a few genes cannot tell a useful network from one that follows chance, and the
    training of the network was stopped where it predicts these very observations best. A set of sequences with
    :data:`MIN_GROUPS` groups has the nearest weight to that one that is not beyond 2 σ of its own a. 1 where there is no
    regression.

    Parameters
    ----------
    validation
        Predictions, (n, 2, t): of the regressions combined, and of the network.
    has_regression_s
        (s,) bool: whether a set has a regression.
    group_weight
        How often differences within groups count.
    """
    fraction_s = torch.ones(len(has_regression_s))
    both_n = has_regression_s[validation.set_n]
    lowest, _ = _limits(_rows(validation, both_n), group_weight)
    fraction_s[has_regression_s] = lowest
    for s in validation.set_n[both_n].unique().tolist():
        own = _rows(validation, validation.set_n == s)
        if len(own.group_n.unique()) >= MIN_GROUPS:
            low, high = _limits(own, group_weight)
            fraction_s[s] = min(max(lowest, low), high)
    return fraction_s


def _limits(held_out: Predictions, group_weight: float) -> tuple[float, float]:
    """Return a - 2 σ and a + 2 σ of :func:`network_fraction`, from 0 to 1; 0 and 1 where fewer than two groups tell."""
    a_x2, y_x = _with_group_differences(held_out, group_weight)
    group_x, n_groups = _groups(held_out, len(y_x))
    if n_groups < 2:
        return 0.0, 1.0
    beyond_x, rest_x = a_x2[:, 1] - a_x2[:, 0], y_x - a_x2[:, 0]
    square = beyond_x.square().sum() + 1e-9
    fraction = beyond_x @ rest_x / square
    # What each group moves the sum by; their squares are the variance of it (a jackknife that is not carried out).
    influence_g = torch.zeros(n_groups).index_add_(0, group_x, beyond_x * (rest_x - fraction * beyond_x))
    error = (influence_g.square().sum() * n_groups / (n_groups - 1)).sqrt() / square
    low, high = ((fraction + side * error).clamp(0, 1) for side in (-2, 2))
    return float(low), float(high)


def _groups(held_out: Predictions, n_values: int) -> tuple[Tensor, int]:
    """Return the group of each of what :func:`_with_group_differences` returns, (x,) int64 from 0 on, and how many there are."""
    distinct_g, group_n = held_out.group_n.unique(return_inverse=True)
    group_x = group_n[:, None].expand(held_out.target.visible.shape)[held_out.target.visible]
    return group_x.repeat(n_values // max(len(group_x), 1)), len(distinct_g)


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
    rows = Predictions(target.values[:, None], group_n, target, group_n)
    _, y_x = _with_group_differences(rows, 1.0)
    whole, differences = (part.square().sum() for part in y_x.chunk(2))
    return float(whole / differences) if differences > 1e-9 * whole else 0.0


def _rows(held_out: Predictions, of_n: Tensor) -> Predictions:
    """Return the predictions of some observations."""
    target = Grid(*(part[of_n] for part in held_out.target))
    return Predictions(held_out.predicted_net[of_n], held_out.set_n[of_n], target, held_out.group_n[of_n])


def _explained(held_out: Predictions, has_se: Tensor, group_weight: float) -> Tensor:
    """Return the fraction of squares that each expert explains, (e,), over the observations that it has a prediction for."""
    fractions = []
    for e, has_n in enumerate(has_se[held_out.set_n].T):
        a_xe, y_x = _with_group_differences(_rows(held_out, has_n), group_weight)
        fractions.append(1 - (a_xe[:, e] - y_x).square().sum() / y_x.square().sum().clamp(min=1e-12))
    return torch.stack(fractions).clamp(min=MIN_EXPLAINED).to(held_out.predicted_net.dtype)


def _with_group_differences(held_out: Predictions, group_weight: float) -> tuple[Tensor, Tensor]:
    """Return predictions of measured targets, (x, e), and these, (x,); below them their differences within groups, if these count."""
    y_nt, visible_nt = held_out.target.values.to(held_out.predicted_net.dtype), held_out.target.visible
    a_xe, y_x1 = held_out.predicted_net.transpose(1, 2)[visible_nt], y_nt[visible_nt][:, None]
    if not group_weight:
        return a_xe, y_x1[:, 0]
    # Targets have means of their own: a group is the same target of the same group.
    group_nt = held_out.group_n[:, None] * y_nt.shape[1] + torch.arange(y_nt.shape[1], device=y_nt.device)
    a_xe, y_x1 = (with_differences(part, group_nt[visible_nt], group_weight) for part in (a_xe, y_x1))
    return a_xe, y_x1[:, 0]
