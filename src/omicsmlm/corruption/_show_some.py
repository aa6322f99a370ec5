"""Showing a few features of a row and hiding all others, as masked autoencoders do."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from omicsmlm._draws import Draws
from omicsmlm._types import Corrupted, Grid

from ._hide import show


class ShowSome:
    """Shows so many of the features that were measured in a row, zeros among them; drawn anew for each row.

    Parameters
    ----------
    n_shown
        From the number of features that were measured in each row, (n,) int64, to how many of them are shown.
    weights
        Per modality, (g,) weight of each feature, not negative: features are drawn one after the other without replacement,
        each with a probability proportional to its weight among those that are left. None where all are alike.
    """

    def __init__(self, n_shown: Callable[[Tensor], Tensor], weights: Mapping[str, Tensor] | None = None) -> None:
        self.n_shown = n_shown
        self.weights = dict(weights or {})

    def __call__(self, grids: dict[str, Grid], draws: Draws) -> Corrupted:
        """Return what is shown as inputs and everything as targets."""
        inputs = {name: show(grid, self._shown(name, grid, draws)) for name, grid in grids.items()}
        return Corrupted(inputs=inputs, targets=grids)

    def _shown(self, name: str, grid: Grid, draws: Draws) -> Tensor:
        """Draw, (n, g) bool: the first to arrive, where a feature of weight w waits for a time of mean 1 / w."""
        time_ng = -torch.log1p(-draws.uniform(grid.values.shape[1]))
        if name in self.weights:
            time_ng = time_ng / self.weights[name].to(time_ng).clamp(min=1e-12)
        time_ng = time_ng.masked_fill(~grid.seen, torch.inf)
        shown_n = self.n_shown(grid.seen.sum(1))
        most = int(shown_n.max()) if len(shown_n) else 0
        first = time_ng.topk(most, dim=1, largest=False).indices
        is_first = torch.arange(most, device=first.device) < shown_n[:, None]
        return torch.zeros_like(grid.seen).scatter_(1, first, is_first) & grid.seen
