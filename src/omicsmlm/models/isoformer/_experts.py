"""Experts beside IsoFormer's network: regressions on composition, vectors and architecture, and the weights that combine them.

All of this is ours. A few thousand sequences are too few to learn by gradient how the frequencies of k-mers in them predict
expression; ridge regressions on k-mers are hard to beat. So these are fitted exactly, and their predictions are averaged with
the network's. Where observations are in groups, say the isoforms of genes, what makes those of one group differ counts more than
its few squares would say, in the regression on architecture and in the weights. Tensor axes: n observations, u distinct sequences, k components, e experts, t targets, x measured targets.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from omicsmlm._types import Grid, Sequences
from omicsmlm.nn import (
    CompositionScores,
    GroupRegression,
    KernelRegression,
    longest_frames,
    residue_codes,
    with_differences,
)

from ._module import IsoFormerModule

RATES = (0.3, 0.7, 1.5)
"""Candidates for the rate of the Gaussian kernel, per median squared distance of the landmarks: around 1, twice as far apart."""
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Candidates for the ridge penalty, about equally spaced on a logarithmic scale."""
LINEAR_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""The same of the linear regression on architecture."""
MIN_FRAME = 150
"""Residues of the open reading frame of a transcript, 50 codons, from which on it is not one by chance."""
GROUP_WEIGHT = 10.0
"""Weight of the differences within groups. Within genes the regression on architecture is the same with 1, 4, 20 and 100; in the
weights of the experts it decides between the order within genes and that over all (docs/experiments/isoformer.md)."""
HELD_OUT = 0.2
"""Fraction of the groups whose observations are held out to choose the two."""
MIN_FITTED = 10
"""Observations with a sequence below which its kernel regression is left out: too few to hold any out."""
PRIOR_OBS = 30.0
"""Observations, or groups, that the prior weights count for, against those of the validation set."""
MIN_EXPLAINED = 0.01
"""Least fraction of squares that an expert is taken to explain, so that no prior weight is 0 or below."""


def has_architecture(sample: Sequence[Sequences]) -> bool:
    """Return whether RNA sequences are whole transcripts: half of them have a frame of some length, and residues on both sides."""
    n_whole, n_all = 0, 0
    codes = residue_codes("nucleotide")
    for rna in sample:
        frames = longest_frames(rna, codes[rna.residues.long()])
        is_long_u = frames.end_u - frames.start_u >= MIN_FRAME
        n_whole += int((is_long_u & (frames.start_u > 0) & (frames.end_u < rna.offsets.diff())).sum())
        n_all += len(frames.start_u)
    return n_whole >= max(n_all, 1) / 2


def fit_scores(module: IsoFormerModule, views: Sequence[dict[str, Any]]) -> None:
    """Fit the components of compositions to the distinct sequences of a sample."""
    for name, scores in module.scores.items():
        assert isinstance(scores, CompositionScores)
        found = torch.cat([scores.composition(batch[name]) for batch in views])
        if len(found) > 1:
            scores.fit(found)


@torch.no_grad()
def fit_regressions(
    module: IsoFormerModule, views: Sequence[dict[str, Any]], target: str, group_n: Tensor, seed: int
) -> dict[str, float]:
    """Fit the regression of each expert, in place, and return the held-out fraction of squares that each explains.

    Parameters
    ----------
    module
        Module whose compositions are fitted (:func:`fit_scores`).
    views
        Training observations, as tokens.
    target
        Name of the targets among these.
    group_n
        (n,) group of each observation; whole groups are held out.
    seed
        Seed of the choice of groups and landmarks.
    """
    y_nt = torch.cat([batch[target].values for batch in views])
    explained = {}
    for name, expert in [*module.kernels.items(), *module.linear.items()]:
        x_nk, has_n = (torch.cat(parts) for parts in zip(*(module.features(name, b) for b in views), strict=True))
        generator = torch.Generator().manual_seed(seed)
        if has_n.sum() < MIN_FITTED:
            continue
        held_n = _held_groups(group_n[has_n], generator)
        if held_n.all() or not held_n.any():
            continue
        if isinstance(expert, KernelRegression):
            explained[name] = expert.fit(x_nk, y_nt[has_n], held_n, RATES, PENALTIES, generator)
        else:
            assert isinstance(expert, GroupRegression)
            groups = group_n[has_n], held_n
            explained[name] = expert.fit(x_nk, y_nt[has_n], *groups, GROUP_WEIGHT, LINEAR_PENALTIES)
    return explained


def fit_weights(
    module: IsoFormerModule, predicted_net: Tensor, set_n: Tensor, target: Grid, group_n: Tensor | None = None
) -> None:
    r"""Fit the weights of the experts, for each set of sequences that an observation may have, in place.

    Ridge regression of all measured targets y of a set's observations on the experts' predictions A, shrunk to prior weights w₀,

    .. math:: w = (A^\top A + \tfrac{n_0}{n} D)^{-1} (A^\top y + \tfrac{n_0}{n} D\, w_0), \quad D = \operatorname{diag}(A^\top A),

    with w₀ in proportion to the fraction of squares that each expert explains by itself over all observations that it has a
    prediction for, n the number of the set's groups (observations, if there are none), and :math:`n_0` = :data:`PRIOR_OBS`. Sets
    that no observation has keep w₀. With groups, A and y also have the differences of each observation from the mean of its group,
    times the root of :data:`GROUP_WEIGHT`.

    Parameters
    ----------
    module
        Module whose weights are fitted.
    predicted_net, set_n
        Predictions of the experts for observations that none was fitted to, and the set of each: see
        :meth:`IsoFormerModule.expert_predictions`.
    target
        Standardised targets of these observations.
    group_n
        (n,) group of each; None if there are none.
    """
    module.reset_weights()
    weight_se = module.get_buffer("weight_se")
    group_n = torch.arange(len(set_n), device=set_n.device) if group_n is None else group_n
    weight_se *= _explained(predicted_net, set_n, target, weight_se > 0, group_n)
    weight_se /= weight_se.sum(1, keepdim=True)
    for s in set_n.unique().tolist():
        of_n, has_e = set_n == s, weight_se[s] > 0
        own = Grid(*(part[of_n] for part in target))
        a_xe, y_x = _with_group_differences(predicted_net[of_n][:, has_e].double(), own, group_n[of_n])
        prior_e = weight_se[s, has_e].double()
        gram_ee, moment_e = a_xe.T @ a_xe, a_xe.T @ y_x
        # The small number keeps the system regular where an expert predicts 0 throughout.
        ridge_ee = torch.diag(gram_ee.diagonal() + 1e-9) * (PRIOR_OBS / len(group_n[of_n].unique()))
        weight_se[s, has_e] = torch.linalg.solve(gram_ee + ridge_ee, moment_e + ridge_ee @ prior_e).float()


def _explained(predicted_net: Tensor, set_n: Tensor, target: Grid, has_se: Tensor, group_n: Tensor) -> Tensor:
    """Return the fraction of squares that each expert explains, (e,), over the observations that it has a prediction for."""
    fractions = []
    for e, has_n in enumerate(has_se[set_n].T):
        own = Grid(*(part[has_n] for part in target))
        a_x1, y_x = _with_group_differences(predicted_net[has_n, e : e + 1], own, group_n[has_n])
        fractions.append(1 - (a_x1[:, 0] - y_x).square().sum() / y_x.square().sum().clamp(min=1e-12))
    return torch.stack(fractions).clamp(min=MIN_EXPLAINED).to(predicted_net.dtype)


def _with_group_differences(predicted_net: Tensor, target: Grid, group_n: Tensor) -> tuple[Tensor, Tensor]:
    """Return predictions of measured targets, (x, e), and these, (x,), below them their differences within groups, weighted."""
    y_nt, visible_nt = target.values.to(predicted_net.dtype), target.visible
    # Targets have means of their own: a group is the same target of the same group.
    group_nt = group_n[:, None] * y_nt.shape[1] + torch.arange(y_nt.shape[1], device=y_nt.device)
    group_x = group_nt[visible_nt]
    a_xe = with_differences(predicted_net.transpose(1, 2)[visible_nt], group_x, GROUP_WEIGHT)
    return a_xe, with_differences(y_nt[visible_nt][:, None], group_x, GROUP_WEIGHT)[:, 0]


def _held_groups(group_n: Tensor, generator: torch.Generator) -> Tensor:
    """Return which observations are held out, (n,) bool: those of a random fraction of the groups."""
    groups, of_n = group_n.unique(return_inverse=True)
    is_held = torch.randperm(len(groups), generator=generator) < HELD_OUT * len(groups)
    return is_held[of_n]
