"""The weights that combine the predictions of IsoFormer's experts: regressions on what each predicts of held-out observations.

The regressions predict each training observation from folds that it is not in, which is much to fit their weights on; the network,
which is trained once, predicts only the validation set without having seen it. So the regressions are combined first, on the
training set, by weights of 0 and above (stacking; Breiman 1996, Machine Learning 24, 49); then one number, of which the validation
set gives an interval, divides the prediction between that combination and the network: its lower limit.

Where differences within groups matter, as those of the isoforms of a gene, the level of a group and the differences from it have
weights of their own: the within-between decomposition of panel data (Mundlak 1978, Econometrica 46, 69). Tensor axes: n
observations, e experts, t targets, s sets of experts, x terms.
"""

from collections.abc import Callable
from functools import partial

import torch
from scipy.optimize import nnls
from torch import Tensor

from omicsmlm.nn import group_folds, group_means

from ._held_out import Predictions, Terms, differences, levels, observed
from ._module import OF_ARCHITECTURE, IsoFormerModule

PRIOR_OBS = 30.0
"""Observations, or groups, that the prior weights count for, against those that the weights are fitted on."""
MIN_GROUPS = 30
"""Groups from which on a set of sequences tells its own weight of the network, and whether one expert does as well as all."""
MIN_EXPLAINED = 0.01
"""Least fraction of squares that an expert is taken to explain, so that no prior weight is 0 or below."""
N_FOLDS = 5
"""Folds of whole groups by which the combination of experts is compared with one of them."""


def fit_weights(
    module: IsoFormerModule,
    crossed: Predictions | None,
    validation: Predictions,
    group_weight: float,
    generator: torch.Generator,
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
    generator
        Draws the folds by which experts are compared.
    """
    module.reset_weights()
    weight_se = module.get_buffer("weight_se")
    if crossed is None:
        return
    has_se = weight_se[:, :-1] > 0
    own_se = stacked(crossed, has_se, partial(observed, group_weight=group_weight))
    _divide(module, validation, _combined(validation, own_se), has_se, {"weight_se": own_se}, group_weight)
    if module.has_within and group_weight:
        at = module.experts.index(OF_ARCHITECTURE) if OF_ARCHITECTURE in module.experts else None
        level_se = parsimonious(crossed, has_se, levels, None, generator)
        within_se = parsimonious(crossed, has_se, differences, at, generator)
        both = _combined(validation, level_se), _combined(validation, within_se)
        found = {"level_se": level_se, "within_se": within_se}
        _divide(module, validation, with_level(*both, validation.group_n), has_se, found, group_weight)
    elif module.has_within:
        for name in ("level_se", "within_se"):
            module.get_buffer(name).copy_(weight_se)


def _combined(validation: Predictions, weight_se: Tensor) -> Tensor:
    """Return the weighted sum of the regressions' predictions, (n, t)."""
    return torch.einsum("net,ne->nt", validation.predicted_net[:, :-1], weight_se[validation.set_n])


def _divide(
    module: IsoFormerModule,
    validation: Predictions,
    combined_nt: Tensor,
    has_se: Tensor,
    found: dict[str, Tensor],
    group_weight: float,
) -> None:
    """Divide the prediction between the regressions, by the weights that were found for them, and the network, in place."""
    pair = torch.stack([combined_nt, validation.predicted_net[:, -1]], 1)
    fraction_s1 = network_fraction(validation._replace(predicted_net=pair), has_se.any(1), group_weight)[:, None]
    for name, of_se in found.items():
        module.get_buffer(name).copy_(torch.cat([of_se * (1 - fraction_s1), fraction_s1], 1))


def with_level(level_nt: Tensor, within_nt: Tensor, group_n: Tensor) -> Tensor:
    """Return the mean of the first over each group, and beside it the difference of the second from its own mean, (n, t).

    Examples
    --------
    >>> level, within = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([[7.0], [8.0], [9.0]])
    >>> with_level(level, within, torch.tensor([0, 0, 1])).flatten().tolist()
    [1.5, 2.5, 5.0]
    """
    return group_means(level_nt, group_n) + within_nt - group_means(within_nt, group_n)


def stacked(held_out: Predictions, has_se: Tensor, terms_of: Callable[[Predictions], Terms]) -> Tensor:
    r"""Return weights of predictions for each set of sequences, (s, e), 0 and above: ridge regression, shrunk to prior weights.

    Of all terms y of a set's observations on the experts' predictions A, the least of

    .. math:: \lVert y - A w \rVert^2 + \tfrac{n_0}{n} \sum_e D_e (w_e - w_{0e})^2, \quad D = \operatorname{diag}(A^\top A), \; w \ge 0,

    with w₀ in proportion to the fraction of squares that each expert explains by itself over all observations that it has a
    prediction for, n the number of the set's groups, and :math:`n_0` = :data:`PRIOR_OBS`. Sets that no observation has keep w₀.

    Parameters
    ----------
    held_out
        Predictions of observations that no expert was fitted to.
    has_se
        (s, e) bool: the experts that have a prediction in each set. Without any, all weights are 0.
    terms_of
        What is to be predicted of observations: their targets, the means of groups, or differences from these.
    """
    prior_se = _prior(held_out, has_se, terms_of)
    weight_se = prior_se.clone()
    for s, terms in _by_set(held_out, has_se, terms_of):
        weight_se[s] = _combination(terms, has_se[s], prior_se[s])
    return weight_se


def parsimonious(
    held_out: Predictions,
    has_se: Tensor,
    terms_of: Callable[[Predictions], Terms],
    preferred: int | None,
    generator: torch.Generator,
) -> Tensor:
    """Return weights as :func:`stacked`, or of one expert alone where the combination is not clearly better, (s, e).

    The one-standard-error rule (Breiman et al. 1984, Classification and Regression Trees): of sets with :data:`MIN_GROUPS`
    groups, an expert that predicts by itself, with its least-squares coefficient, stays alone unless the combination's squared
    error on held-out groups is one standard error, over groups, below its own.

    Parameters
    ----------
    held_out, has_se, terms_of
        As of :func:`stacked`.
    preferred
        The expert that is compared with the combination, where a set has it; None for the one of the least held-out error.
    generator
        Draws the folds.
    """
    prior_se = _prior(held_out, has_se, terms_of)
    weight_se = prior_se.clone()
    for s, terms in _by_set(held_out, has_se, terms_of):
        weight_se[s] = _combination(terms, has_se[s], prior_se[s])
        if terms.n_groups < MIN_GROUPS:
            continue
        fold_x = group_folds(terms.group_x, N_FOLDS, generator)
        among = has_se[s].nonzero()[:, 0].tolist()
        among = [preferred] if preferred in among else among
        alone = {e: _held_out_errors(terms, fold_x, partial(_single, expert=e)) for e in among}
        best = min(alone, key=lambda e: float(alone[e].sum()))
        together_g = _held_out_errors(terms, fold_x, partial(_combination, has_e=has_se[s], prior_e=prior_se[s]))
        gain_g = alone[best] - together_g
        if gain_g.sum() <= gain_g.std() * len(gain_g) ** 0.5:
            weight_se[s] = _single(terms, best)
    return weight_se


def _by_set(held_out: Predictions, has_se: Tensor, terms_of: Callable[[Predictions], Terms]) -> list[tuple[int, Terms]]:
    """Return the terms of each set that has an expert, and any."""
    found = [
        (s, terms_of(held_out.of(held_out.set_n == s))) for s in held_out.set_n.unique().tolist() if has_se[s].any()
    ]
    return [(s, terms) for s, terms in found if terms.n_groups]


def _prior(held_out: Predictions, has_se: Tensor, terms_of: Callable[[Predictions], Terms]) -> Tensor:
    """Return weights in proportion to the fraction of squares that each expert explains where it has a prediction, (s, e)."""
    fractions = []
    for e, has_n in enumerate(has_se[held_out.set_n].T):
        terms = terms_of(held_out.of(has_n))
        squares = terms.target_x.square().sum()  # 0 where no observation tells: the expert then explains nothing
        error = (terms.predicted_xe[:, e] - terms.target_x).square().sum()
        fractions.append((squares - error) / squares.clamp(min=1e-12))
    prior_se = has_se * torch.stack(fractions).clamp(min=MIN_EXPLAINED).to(held_out.predicted_net.dtype)
    return prior_se / prior_se.sum(1, keepdim=True).clamp(min=1e-12)


def _combination(terms: Terms, has_e: Tensor, prior_e: Tensor) -> Tensor:
    """Return the weights of :func:`stacked` for one set, (e,)."""
    a_xe, y_x = terms.predicted_xe[:, has_e].double(), terms.target_x.double()
    gram_ee, moment_e = a_xe.T @ a_xe, a_xe.T @ y_x
    # The small number keeps the system regular where an expert predicts 0 throughout.
    ridge_ee = torch.diag(gram_ee.diagonal() + 1e-9) * (PRIOR_OBS / terms.n_groups)
    weight_e = torch.zeros_like(prior_e)
    found_e = _least_squares(gram_ee + ridge_ee, moment_e + ridge_ee @ prior_e[has_e].double())
    weight_e[has_e] = found_e.to(weight_e.dtype)
    return weight_e


def _single(terms: Terms, expert: int) -> Tensor:
    """Return the least-squares coefficient of one expert, at least 0, and 0 for all others, (e,)."""
    a_x = terms.predicted_xe[:, expert].double()
    weight_e = terms.predicted_xe.new_zeros(terms.predicted_xe.shape[1])
    weight_e[expert] = (a_x @ terms.target_x.double() / (a_x @ a_x + 1e-9)).clamp(min=0)
    return weight_e


def _held_out_errors(terms: Terms, fold_x: Tensor, fit: Callable[[Terms], Tensor]) -> Tensor:
    """Return the sum of squared errors of each group by the weights that the other folds give, (groups,)."""
    error_x = torch.zeros_like(terms.target_x)
    for fold in fold_x.unique():
        is_own_x = fold_x == fold
        weight_e = fit(terms.of(~is_own_x))
        error_x[is_own_x] = (terms.target_x[is_own_x] - terms.predicted_xe[is_own_x] @ weight_e).square()
    return error_x.new_zeros(terms.n_groups).index_add_(0, terms.group_x, error_x)


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
    lowest, _ = _limits(observed(validation.of(both_n), group_weight))
    fraction_s[has_regression_s] = lowest
    for s in validation.set_n[both_n].unique().tolist():
        own = observed(validation.of(validation.set_n == s), group_weight)
        if own.n_groups >= MIN_GROUPS:
            low, high = _limits(own)
            fraction_s[s] = min(max(lowest, low), high)
    return fraction_s


def _limits(terms: Terms) -> tuple[float, float]:
    """Return a - 2 σ and a + 2 σ of :func:`network_fraction`, from 0 to 1; 0 and 1 where fewer than two groups tell."""
    n_groups = terms.n_groups
    if n_groups < 2:
        return 0.0, 1.0
    combined_x, network_x = terms.predicted_xe.T
    beyond_x, rest_x = network_x - combined_x, terms.target_x - combined_x
    square = beyond_x.square().sum() + 1e-9
    fraction = beyond_x @ rest_x / square
    # What each group moves the sum by; their squares are the variance of it (a jackknife that is not carried out).
    influence_g = torch.zeros(n_groups).index_add_(0, terms.group_x, beyond_x * (rest_x - fraction * beyond_x))
    error = (influence_g.square().sum() * n_groups / (n_groups - 1)).sqrt() / square
    low, high = ((fraction + side * error).clamp(0, 1) for side in (-2, 2))
    return float(low), float(high)
