"""From raw values on a grid to the numbers that are summed: standardised values, counts and proteins; fitted once, then fixed.

A masked feature contributes 0. What remains is rescaled, so that the size of the sum does not depend on how much was masked.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from omicsmlm._stored import StoredGrid, UnmaskedGrid, as_float, sums_by_obs
from omicsmlm._types import Grid

DEPTH = 1e4
"""Counts are normalised to this total before the logarithm."""
LIMIT = 10.0
"""Standardised values are clipped to plus or minus this."""
LEAST_DEVIATION = 1e-6
"""Standard deviation, relative to the largest value, up to which a feature is constant but for rounding; divided by a deviation
that small, rounding would count as much as biology."""


class ScaledTokens(NamedTuple):
    """Scaled values of unmasked counts: what a zero is scaled to, and how far the stored ones are above it."""

    column_t: Tensor
    """(t,) int64: feature."""
    above_t: Tensor
    """(t,) float32."""
    offsets: Tensor
    """(n + 1,) int64: cumulative lengths."""
    zero_sg: Tensor
    """(s, g) float32: scaled zeros of what was measured in a panel, 0 elsewhere."""
    panel_n: Tensor
    """(n,) int64: panel of each observation."""
    factor_n: Tensor
    """(n,) float32: what all of an observation is multiplied with."""


class Scaling(nn.Module, ABC):
    """Scaled values of a grid, with statistics that :meth:`fit` takes from training observations."""

    usual: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("usual", torch.ones(()))

    @abstractmethod
    def fit(self, grids: Sequence[Grid]) -> None:
        """Set the statistics from grids of training observations; observations that lack the modality must not be among them."""

    @abstractmethod
    def forward(self, grid: Grid) -> Tensor:
        """Return (n, g) float32 scaled values, 0 where not visible."""

    def tokens(self, grid: UnmaskedGrid) -> ScaledTokens | None:
        """Return the scaled values as tokens; None where zeros are not all alike, or where there are too few of them."""
        return None

    def amount(self, grid: Grid) -> Tensor:
        """Return how much is visible of each observation, (n,): by default the number of values."""
        return as_float(grid.visible).sum(1)

    def relative_depth(self, grid: Grid) -> Tensor:
        """Return how much is visible of each observation, (n,), relative to the median training observation, at most twice that."""
        return (self.amount(grid) / self.usual).clamp(max=2)


class Standardised(Scaling):
    """(value − mean) / sd per feature, clipped, over what is visible, times 1/√(visible fraction)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))

    def transformed(self, grid: Grid) -> Tensor:
        """Return the values before standardising; for real values and fractions these are the values."""
        return grid.values

    def fit(self, grids: Sequence[Grid]) -> None:
        """Set mean and standard deviation per feature over the visible values."""
        n_g = sum(grid.visible.sum(0) for grid in grids).clamp(min=1)  # type: ignore[union-attr]
        values = [self.transformed(grid).double() for grid in grids]
        mean_g = sum((v * g.visible).sum(0) for v, g in zip(values, grids, strict=True)) / n_g
        squares_g = sum(((v - mean_g).square() * g.visible).sum(0) for v, g in zip(values, grids, strict=True))
        deviation_g = (squares_g / n_g).sqrt()
        sizes = [self._sizes(v, g) for v, g in zip(values, grids, strict=True)]
        largest_g = torch.stack([size.amax(0) for size in sizes if len(size)] or [torch.zeros_like(mean_g)]).amax(0)
        is_constant_g = (deviation_g <= LEAST_DEVIATION * largest_g) & (largest_g > 0)
        self.mean.copy_(mean_g)
        self.deviation.copy_(torch.where(is_constant_g, 1.0, deviation_g + 1e-4))

    def _sizes(self, values_ng: Tensor, grid: Grid) -> Tensor:
        """Return the size, (n, g), of the numbers whose rounding transformed values have; 0 where not visible."""
        return values_ng.abs() * grid.visible

    def forward(self, grid: Grid) -> Tensor:
        """Standardise, clip and rescale."""
        visible_ng = as_float(grid.visible)
        z_ng = self.standardised(self.transformed(grid)).mul_(visible_ng)
        return z_ng.mul_(_rescaling(visible_ng))

    def standardised(self, y: Tensor, column_t: Tensor | None = None) -> Tensor:
        """Standardise and clip transformed values, of all features or, packed, of those at some columns."""
        mean, deviation = self.mean, self.deviation
        if column_t is not None:
            mean, deviation = mean.index_select(0, column_t), deviation.index_select(0, column_t)
        return ((y - mean) / deviation).clamp_(-LIMIT, LIMIT)


class CountScaling(Standardised):
    """log1p(10⁴ · count / depth), standardised.

    The depth is estimated from the visible counts alone, x̂ = Σ visible / (1 − expected fraction of the masked), so that
    a masked count cannot leak through it.
    """

    fraction: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.register_buffer("fraction", torch.zeros(n_features))

    def fit(self, grids: Sequence[Grid]) -> None:
        """Set each feature's mean fraction of an observation's total, then mean and deviation."""
        n = sum(len(grid.values) for grid in grids)
        fractions_g = torch.stack([(g.values / g.total[:, None].clamp(min=1)).sum(0) for g in grids]).sum(0)
        self.fraction.copy_(fractions_g / n)
        super().fit(grids)

    def amount(self, grid: Grid) -> Tensor:
        """Return the number of visible molecules."""
        return (
            sums_by_obs(grid.stored.obs_t, grid.stored.values_t, len(grid.total))
            if isinstance(grid, UnmaskedGrid)
            else grid.values.sum(1)
        )

    def transformed(self, grid: Grid) -> Tensor:
        """Normalise to a total of 10⁴ and take log1p."""
        return torch.log1p(grid.values * self._factor(grid, as_float(grid.visible))[:, None])

    def forward(self, grid: Grid) -> Tensor:
        """Standardise, clip and rescale; where the grid knows its stored values, only those, as all zeros are alike."""
        if not isinstance(grid, StoredGrid):
            return super().forward(grid)
        visible_ng = as_float(grid.visible)
        above_t, zero_g = self._above(grid, self._factor(grid, visible_ng))
        rescaling_n1 = _rescaling(visible_ng)
        z_ng = visible_ng.mul_(zero_g)
        if z_ng.numel():
            z_ng.view(-1).index_add_(0, grid.stored.at_t, above_t)
        return z_ng.mul_(rescaling_n1)

    def tokens(self, grid: UnmaskedGrid) -> ScaledTokens | None:
        """Return the scaled values as tokens, where at most a third is stored."""
        stored, visible_sg = grid.stored, as_float(grid.measured_sg)
        if 3 * len(stored.at_t) > grid.panel_n.numel() * visible_sg.shape[1]:
            return None
        above_t, zero_g = self._above(grid, self._factor(grid, visible_sg, grid.panel_n))
        factor_n = _rescaling(visible_sg)[:, 0].index_select(0, grid.panel_n)
        return ScaledTokens(stored.column_t, above_t, stored.offsets, visible_sg.mul_(zero_g), grid.panel_n, factor_n)

    def _above(self, grid: StoredGrid, factor_n: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far stored values are above zeros, (t,), and what zeros are, (g,); standardised."""
        stored = grid.stored
        y_t = torch.log1p(stored.values_t * factor_n.index_select(0, stored.obs_t))
        zero_g = self.standardised(torch.zeros_like(self.mean))
        return self.standardised(y_t, stored.column_t) - zero_g.index_select(0, stored.column_t), zero_g

    def _factor(self, grid: Grid, visible_sg: Tensor, panel_n: Tensor | None = None) -> Tensor:
        """Return, (n,), what counts are multiplied with; what is visible is given by observation or by gene panel."""
        visible_s = 1 - self.fraction.sum() + visible_sg @ self.fraction
        visible_n = visible_s if panel_n is None else visible_s[panel_n]
        return DEPTH / (grid.total / visible_n.clamp(min=1e-3)).clamp(min=1)


class ProteinScaling(Standardised):
    """Centred log ratio over the visible proteins, log1p(x) − mean log1p(x), standardised."""

    def transformed(self, grid: Grid) -> Tensor:
        """Take the centred log ratio."""
        visible_ng = as_float(grid.visible)
        log_ng = torch.log1p(grid.values) * visible_ng
        return log_ng - log_ng.sum(1, keepdim=True) / visible_ng.sum(1, keepdim=True).clamp(min=1)

    def _sizes(self, values_ng: Tensor, grid: Grid) -> Tensor:
        """Return the logarithms before they are centred."""
        return torch.log1p(grid.values) * grid.visible


def _rescaling(visible_ng: Tensor) -> Tensor:
    """Return 1/√(visible fraction), (n, 1)."""
    return visible_ng.mean(1, keepdim=True).clamp(min=1e-3).rsqrt()
