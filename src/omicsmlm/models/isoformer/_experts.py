"""Experts beside IsoFormer's network: regressions on composition, short k-mers, vectors and architecture.

All of this is ours. A few thousand sequences are too few to learn by gradient how the frequencies of k-mers in them predict
expression; ridge regressions on k-mers are hard to beat. So these are fitted exactly, and their predictions are averaged with
the network's (``_expert_weights.py``). Tensor axes: n observations, k components, e experts, t targets.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omicsmlm._types import Sequences
from omicsmlm.nn import (
    CompositionScores,
    GroupRegression,
    KernelRegression,
    group_folds,
    longest_frames,
    residue_codes,
)

from ._held_out import Predictions, targets_of
from ._module import OF_ARCHITECTURE, IsoFormerModule

RATES = (0.3, 0.7, 1.5)
"""Candidates for the rate of the Gaussian kernel, per median squared distance of the landmarks: around 1, twice as far apart."""
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Candidates for the ridge penalty, about equally spaced on a logarithmic scale."""
LINEAR_PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
"""The same of the linear regressions, whose features are standardised."""
MIN_FRAME = 150
"""Residues of the open reading frame of a transcript, 50 codons, from which on it is not one by chance."""
N_FOLDS = 5
"""Folds of whole groups: each regression predicts a fold from the others."""
MIN_FITTED = 10
"""Observations with a sequence below which its kernel regression is left out: too few to hold any out."""


type Chosen = tuple[tuple[float, ...], ...]
"""Of each list of candidates of a regression, the chosen one, as a list of one."""


class Fitted(NamedTuple):
    """What regressions that were fitted to observations predict of them when they are not."""

    explained: dict[str, float]
    """The held-out fraction of squares that each expert explains, of those that could be fitted."""
    crossed: Predictions
    """What all regressions predict of each observation when they are fitted to other folds, 0 where they cannot."""
    chosen: dict[str, Chosen]
    """What was chosen for each."""


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
    module: IsoFormerModule,
    views: Sequence[dict[str, Any]],
    target: str,
    group_n: Tensor,
    group_weight: float,
    seed: int,
    chosen: Mapping[str, Chosen] = MappingProxyType({}),
) -> Fitted:
    """Fit the regression of each expert, in place, to all training observations.

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
    group_weight
        How often differences within groups count in the regression on architecture.
    seed
        Seed of the folds and landmarks.
    chosen
        Rates and penalties that were chosen before, of the regressions for which nothing is to be chosen.
    """
    grid = targets_of(views, target)
    y_nt, explained, predictions, now = grid.values, {}, [], {}
    set_n = torch.zeros(len(y_nt), dtype=torch.int64)
    for i, (name, expert) in enumerate([*module.kernels.items(), *module.linear.items()]):
        x_nk, has_n = (torch.cat(parts) for parts in zip(*(module.features(name, b) for b in views), strict=True))
        if name in module.kernels:
            set_n += has_n.long() << i
        predictions.append(torch.zeros_like(y_nt))
        generator = torch.Generator().manual_seed(seed)
        fold_n = group_folds(group_n[has_n], N_FOLDS, generator)
        if has_n.sum() < MIN_FITTED or not fold_n.any():
            continue
        if isinstance(expert, KernelRegression):
            rates, penalties = chosen.get(name, (RATES, PENALTIES))
            found = expert.fit(x_nk, y_nt[has_n], fold_n, rates, penalties, generator)
        else:
            assert isinstance(expert, GroupRegression)
            weight = group_weight if name == OF_ARCHITECTURE else 0.0
            found = expert.fit(
                x_nk, y_nt[has_n], group_n[has_n], fold_n, weight, *chosen.get(name, (LINEAR_PENALTIES,))
            )
        explained[name], predictions[-1][has_n], now[name] = found
    return Fitted(explained, Predictions(torch.stack(predictions, 1), set_n, grid, group_n), now)
