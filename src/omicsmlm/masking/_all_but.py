"""Masking all but a few features of an observation, as masked autoencoders do (He et al. 2022)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from omicsmlm._draws import Draws
from omicsmlm._types import FewVisible, Grid, Masked

from ._features import keep_visible


class MaskAllBut(nn.Module):
    """Masks all but a number of the features that were measured in an observation, zeros among them, chosen at random.

    Parameters
    ----------
    n_visible
        Maps the number of features that were measured in each observation, (n,) int64, to the number that stays visible; a
        non-decreasing function.
    weights
        Per modality, (g,) non-negative weight of each feature: features are drawn one after the other without replacement,
        each with a probability proportional to its weight among those that are left. None for equal weights.
    """

    def __init__(self, n_visible: Callable[[Tensor], Tensor], weights: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.n_visible = n_visible
        self.weighted = list(weights or {})
        for m, weight_g in enumerate((weights or {}).values()):
            self.register_buffer(
                f"weight_{m}", weight_g.float().clamp(min=1e-12), persistent=False
            )  # 0 would divide by 0

    def forward(self, grids: dict[str, Grid], draws: Draws) -> Masked:
        """Return what is visible as inputs and everything as targets."""
        inputs = {name: self._visible(name, grid, draws) for name, grid in grids.items()}
        return Masked(inputs=inputs, targets=grids)

    def _visible(self, name: str, grid: Grid, draws: Draws) -> FewVisible:
        """Return a grid with the features of the smallest of exponential times of mean 1 / weight.

        Their order is that of weighted draws without replacement (Efraimidis and Spirakis 2006), for all features at once.
        """
        time_ng = -torch.log1p(-draws.uniform(grid.values.shape[1]))
        if name in self.weighted:
            time_ng = time_ng / self.get_buffer(f"weight_{self.weighted.index(name)}")
        time_ng = time_ng.masked_fill(~grid.visible, torch.inf)
        visible_n = self.n_visible(grid.visible.sum(1))
        most = int(self.n_visible(torch.tensor([grid.visible.shape[1]])))
        first = time_ng.topk(most, largest=False).indices
        is_first = torch.arange(most, device=first.device) < visible_n[:, None]
        visible_ng = torch.zeros_like(grid.visible).scatter_(1, first, is_first) & grid.visible
        return FewVisible(*keep_visible(grid, visible_ng), most)
