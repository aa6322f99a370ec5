"""Masking of features and whole modalities on grids."""

import torch
from torch import Tensor

from omicsmlm._draws import Draws
from omicsmlm._stored import StoredGrid, as_float, has_visible
from omicsmlm._types import Grid, Masked


class MaskFeatures:
    """Masks a random fraction of the features of each observation, and sometimes a whole modality.

    Parameters
    ----------
    rates
        Lowest and highest fraction of masked features; each observation draws its own, uniformly, for all its modalities.
    modality_rate
        Probability that one modality of an observation with several is masked; the last one never is.
    """

    def __init__(self, rates: tuple[float, float], modality_rate: float) -> None:
        self.rates = rates
        self.modality_rate = modality_rate

    def __call__(self, grids: dict[str, Grid], draws: Draws) -> Masked:
        """Return the visible part as inputs and everything as targets.

        A masked value leaves no trace in the inputs: it is set to 0, and the observation's total is reduced by it.
        """
        low, high = self.rates
        rate_n = low + (high - low) * draws.uniform()
        has_nm = torch.stack([has_visible(grid) for grid in grids.values()], 1)
        lost_nm = dropped_modality(has_nm, self.modality_rate, draws)
        inputs = {}
        for m, (name, grid) in enumerate(grids.items()):
            visible_n = torch.where(lost_nm[:, m], 0.0, 1 - rate_n)
            inputs[name] = keep_visible(grid, grid.visible & draws.bernoulli(visible_n, grid.visible.shape[1]))
        return Masked(inputs=inputs, targets=grids)


def dropped_modality(has_nm: Tensor, rate: float, draws: Draws) -> Tensor:
    """Return, (n, m) bool, the modality that each observation loses: with a probability one of several, else none."""
    if has_nm.shape[1] == 1:
        return torch.zeros_like(has_nm)
    score_nm = draws.uniform(has_nm.shape[1]) * has_nm
    loses_n = draws.uniform() < rate
    loses_n &= has_nm.sum(1) > 1
    chosen_nm = torch.zeros_like(has_nm).scatter_(1, score_nm.argmax(1, keepdim=True), True)
    return chosen_nm & loses_n[:, None]


def keep_visible(grid: Grid, visible_ng: Tensor) -> Grid:
    """Return a grid of which only some features, (n, g) bool, stay visible; its total is reduced by the masked values."""
    values_ng = grid.values * as_float(visible_ng)
    masked = Grid(values_ng, visible_ng, grid.total - (grid.values - values_ng).sum(1))
    if not isinstance(grid, StoredGrid) or not values_ng.numel():
        return masked
    stored = grid.stored
    values_t = stored.values_t * as_float(visible_ng.view(-1).index_select(0, stored.at_t))
    return StoredGrid.of(masked, stored._replace(values_t=values_t))
