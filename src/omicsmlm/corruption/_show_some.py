"""Showing a few features of a row and hiding all others, as masked autoencoders do."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from omicsmlm._draws import Draws
from omicsmlm._types import Corrupted, FewSeen, Grid

from ._hide import show


class ShowSome(nn.Module):
    """Shows so many of the features that were measured in a row, zeros among them; drawn anew for each row.

    Parameters
    ----------
    n_shown
        From the number of features that were measured in each row, (n,) int64, to how many of them are shown; of more, no
        fewer.
    weights
        Per modality, (g,) weight of each feature, not negative: features are drawn one after the other without replacement,
        each with a probability proportional to its weight among those that are left. None where all are alike.
    """

    def __init__(self, n_shown: Callable[[Tensor], Tensor], weights: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.n_shown = n_shown
        self.weighted = list(weights or {})
        for m, weight_g in enumerate((weights or {}).values()):
            self.register_buffer(f"weight_{m}", weight_g.float().clamp(min=1e-12), persistent=False)

    def forward(self, grids: dict[str, Grid], draws: Draws) -> Corrupted:
        """Return what is shown as inputs and everything as targets."""
        inputs = {name: self._shown(name, grid, draws) for name, grid in grids.items()}
        return Corrupted(inputs=inputs, targets=grids)

    def _shown(self, name: str, grid: Grid, draws: Draws) -> FewSeen:
        """Draw the first to arrive, where a feature of weight w waits for a time of mean 1 / w."""
        time_ng = -torch.log1p(-draws.uniform(grid.values.shape[1]))
        if name in self.weighted:
            time_ng = time_ng / self.get_buffer(f"weight_{self.weighted.index(name)}")
        time_ng = time_ng.masked_fill(~grid.seen, torch.inf)
        shown_n = self.n_shown(grid.seen.sum(1))
        most = int(self.n_shown(torch.tensor([grid.seen.shape[1]])))
        first = time_ng.topk(most, dim=1, largest=False).indices
        is_first = torch.arange(most, device=first.device) < shown_n[:, None]
        shown_ng = torch.zeros_like(grid.seen).scatter_(1, first, is_first) & grid.seen
        return FewSeen(*show(grid, shown_ng), most)
