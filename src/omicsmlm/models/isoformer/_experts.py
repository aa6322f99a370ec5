"""What is solved beside IsoFormer's network: kernel regressions on the composition of sequences, and who is believed how far.

All of this is ours. A few thousand sequences are too few to learn by gradient what the frequencies of words in them say of
expression; ridge regressions on k-mers are hard to beat. So they are not fought: the convex part is solved exactly, and the
network answers beside it. Tensor axes: n rows, u distinct sequences, k components, e experts, t targets.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from omicsmlm._types import Grid, Sequences
from omicsmlm.nn import CompositionScores, KernelRegression

from ._module import IsoFormerModule

RATES = (0.3, 0.7, 1.5)
"""Candidates for the rate at which likeness falls with squared distance (in median ones of landmarks)."""
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Candidates for the ridge."""
HELD_OUT = 0.2
"""Share of the rows, whole groups of them, on which the two are chosen."""
PRIOR_ROWS = 30.0
"""Rows that the prior weights count for, against what validation rows say."""
LEAST_EXPLAINED = 0.01
"""Share of squares that an expert is taken to explain at least."""


def fit_scores(module: IsoFormerModule, views: Sequence[dict[str, Any]]) -> None:
    """Fit the components of compositions to the distinct sequences of a sample."""
    for name, scores in module.scores.items():
        assert isinstance(scores, CompositionScores)
        found = torch.cat([scores.composition(batch[name]) for batch in views])
        if len(found) > 1:
            scores.fit(found)


@torch.no_grad()
def fit_kernels(
    module: IsoFormerModule, views: Sequence[dict[str, Any]], target: str, group_n: Tensor, seed: int
) -> dict[str, float]:
    """Solve the kernel regression of each sequence on all rows that have it, and give the held-out share explained."""
    y_nt = torch.cat([batch[target].values for batch in views])
    explained = {}
    for name, kernel in module.kernels.items():
        assert isinstance(kernel, KernelRegression)
        x_nk, has_n = _rows_of_scores(module, name, views)
        generator = torch.Generator().manual_seed(seed)
        if has_n.sum() < 10:
            continue
        held_n = _held_groups(group_n[has_n], generator)
        if held_n.all() or not held_n.any():
            continue
        explained[name] = kernel.fit(x_nk, y_nt[has_n], held_n, RATES, PENALTIES, generator)
    return explained


def fit_weights(module: IsoFormerModule, answers_net: Tensor, set_n: Tensor, target: Grid) -> None:
    """Solve how much each expert counts, for each set of sequences that a row may have, on rows that none has learned from.

    Least squares over all measured targets, pulled to weights in proportion to the share of squares that each expert explains by
    itself over all rows that it has an answer for; these count for :data:`PRIOR_ROWS` rows, and for sets that none of the rows
    has.
    """
    module.reset_weights()
    weight_se = module.get_buffer("weight_se")
    weight_se *= _explained(answers_net, set_n, target, weight_se > 0)
    weight_se /= weight_se.sum(1, keepdim=True)
    for s in set_n.unique().tolist():
        of_n = set_n == s
        a_net, y_nt, visible_nt = answers_net[of_n].double(), target.values[of_n].double(), target.visible[of_n]
        has_e = weight_se[s] > 0
        a_xe = a_net[:, has_e].transpose(1, 2)[visible_nt]
        prior_e = weight_se[s, has_e].double()
        gram_ee, moment_e = a_xe.T @ a_xe, a_xe.T @ y_nt[visible_nt]
        n_rows = int(of_n.sum())
        pull_ee = torch.diag(gram_ee.diagonal() + 1e-9) * (PRIOR_ROWS / n_rows)
        weight_se[s, has_e] = torch.linalg.solve(gram_ee + pull_ee, moment_e + pull_ee @ prior_e).float()


def _explained(answers_net: Tensor, set_n: Tensor, target: Grid, has_se: Tensor) -> Tensor:
    """Give the share of squares that each expert explains, (e,), over the rows that it has an answer for."""
    has_net = has_se[set_n][:, :, None] & target.visible[:, None]
    y_n1t = target.values[:, None]
    error_e = ((answers_net - y_n1t).square() * has_net).sum((0, 2))
    total_e = (y_n1t.square() * has_net).sum((0, 2))
    return (1 - error_e / total_e.clamp(min=1e-12)).clamp(min=LEAST_EXPLAINED)


def _rows_of_scores(module: IsoFormerModule, name: str, views: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Give the scores of the rows that have a sequence, one after the other, and which rows these are, (n,) bool."""
    scores, has = [], []
    for batch in views:
        residues: Sequences = batch[name]
        has.append(residues.of_obs >= 0)
        scores.append(module.composition(name, residues)[residues.of_obs[has[-1]]])
    return torch.cat(scores), torch.cat(has)


def _held_groups(group_n: Tensor, generator: torch.Generator) -> Tensor:
    """Hold out a share of the groups, (n,) bool."""
    groups, of_n = group_n.unique(return_inverse=True)
    is_held = torch.randperm(len(groups), generator=generator) < HELD_OUT * len(groups)
    return is_held[of_n]
