"""From raw values on a grid to the numbers that are summed: one scaling per kind, fitted once, then fixed.

A hidden feature contributes 0. What remains is rescaled, so that the size of the sum does not tell how much was hidden.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._stored import StoredGrid, as_numbers
from omicsmlm._types import Grid, Kind

DEPTH = 1e4
"""Counts are normalised to this total before the logarithm."""
LIMIT = 10.0
"""Standardised values are clipped to plus or minus this."""


class Scaling(nn.Module, ABC):
    """Scaled values of a grid, with statistics that :meth:`fit` takes from training rows."""

    usual: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("usual", torch.ones(()))

    @abstractmethod
    def fit(self, grids: Sequence[Grid]) -> None:
        """Set the statistics from grids of training rows; rows that lack the modality must not be among them."""

    @abstractmethod
    def forward(self, grid: Grid) -> Tensor:
        """Give (n, g) float32 scaled values, 0 where not seen."""

    def amount(self, grid: Grid) -> Tensor:
        """Give how much is seen of each row, (n,): by default the number of values."""
        return as_numbers(grid.seen).sum(1)

    def evidence(self, grid: Grid) -> Tensor:
        """Give how much is seen of each row, (n,), relative to the median training row, at most twice that."""
        return (self.amount(grid) / self.usual).clamp(max=2)


class Standardised(Scaling):
    """(value − mean) / sd per feature, clipped, over what is seen, times 1/√(visible share)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))

    def transformed(self, grid: Grid) -> Tensor:
        """Give the values before standardising; for real values and fractions these are the values."""
        return grid.values

    def fit(self, grids: Sequence[Grid]) -> None:
        """Set mean and standard deviation per feature over the seen values."""
        n_g = sum(grid.seen.sum(0) for grid in grids).clamp(min=1)  # type: ignore[union-attr]
        values = [self.transformed(grid).double() for grid in grids]
        mean_g = sum((v * g.seen).sum(0) for v, g in zip(values, grids, strict=True)) / n_g
        squares_g = sum(((v - mean_g).square() * g.seen).sum(0) for v, g in zip(values, grids, strict=True))
        self.mean.copy_(mean_g)
        self.deviation.copy_((squares_g / n_g).sqrt() + 1e-4)

    def forward(self, grid: Grid) -> Tensor:
        """Standardise, clip and rescale."""
        seen_ng = as_numbers(grid.seen)
        z_ng = self.standardised(self.transformed(grid)).mul_(seen_ng)
        return z_ng.mul_(_rescaling(seen_ng))

    def standardised(self, y: Tensor, column_t: Tensor | None = None) -> Tensor:
        """Standardise and clip transformed values, of all features or, packed, of those at some columns."""
        mean, deviation = self.mean, self.deviation
        if column_t is not None:
            mean, deviation = mean.index_select(0, column_t), deviation.index_select(0, column_t)
        return ((y - mean) / deviation).clamp_(-LIMIT, LIMIT)


class CountScaling(Standardised):
    """log1p(10⁴ · count / depth), standardised.

    The depth is estimated from the visible counts alone, x̂ = Σ visible / (1 − expected share of the hidden), so that
    a hidden count cannot leak through it.
    """

    share: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.register_buffer("share", torch.zeros(n_features))

    def fit(self, grids: Sequence[Grid]) -> None:
        """Set each feature's mean share of a row's total, then mean and deviation."""
        n = sum(len(grid.values) for grid in grids)
        shares_g = torch.stack([(g.values / g.total[:, None].clamp(min=1)).sum(0) for g in grids]).sum(0)
        self.share.copy_(shares_g / n)
        super().fit(grids)

    def amount(self, grid: Grid) -> Tensor:
        """Count the visible molecules."""
        return grid.values.sum(1)

    def transformed(self, grid: Grid) -> Tensor:
        """Normalise to a total of 10⁴ and take log1p."""
        return torch.log1p(grid.values * self._factor(grid, as_numbers(grid.seen))[:, None])

    def forward(self, grid: Grid) -> Tensor:
        """Standardise, clip and rescale; where the grid knows its stored values, only those, as all zeros are alike."""
        if not isinstance(grid, StoredGrid) or not grid.values.numel():
            return super().forward(grid)
        stored, seen_ng = grid.stored, as_numbers(grid.seen)
        y_t = torch.log1p(stored.values_t * self._factor(grid, seen_ng).index_select(0, stored.row_t))
        zero_g, rescaling_n1 = self.standardised(torch.zeros_like(self.mean)), _rescaling(seen_ng)
        above_t = self.standardised(y_t, stored.column_t) - zero_g.index_select(0, stored.column_t)
        z_ng = seen_ng.mul_(zero_g)
        z_ng.view(-1).index_add_(0, stored.at_t, above_t)
        return z_ng.mul_(rescaling_n1)

    def _factor(self, grid: Grid, seen_ng: Tensor) -> Tensor:
        """Return, (n,), what counts are multiplied with."""
        hidden_n = self.share.sum() - seen_ng @ self.share
        depth_n = (grid.total / (1 - hidden_n).clamp(min=1e-3)).clamp(min=1)
        return DEPTH / depth_n


class ProteinScaling(Standardised):
    """Centred log ratio over the seen proteins, log1p(x) − mean log1p(x), standardised."""

    def transformed(self, grid: Grid) -> Tensor:
        """Take the centred log ratio."""
        seen_ng = as_numbers(grid.seen)
        log_ng = torch.log1p(grid.values) * seen_ng
        return log_ng - log_ng.sum(1, keepdim=True) / seen_ng.sum(1, keepdim=True).clamp(min=1)


class AccessibilityScaling(Scaling):
    """Open regions weighted by their rarity, log(1 + n / n_open), and normalised to length 1 over what is seen."""

    rarity: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("rarity", torch.zeros(n_features))

    def fit(self, grids: Sequence[Grid]) -> None:
        """Set the rarity of each region."""
        n = sum(len(grid.values) for grid in grids)
        open_g = sum((grid.values > 0).sum(0) for grid in grids)
        self.rarity.copy_(torch.log1p(n / open_g.clamp(min=1)))  # type: ignore[union-attr]

    def amount(self, grid: Grid) -> Tensor:
        """Count the visible open regions."""
        if isinstance(grid, StoredGrid):
            return _sums(as_numbers(grid.stored.values_t > 0), grid)
        return as_numbers(grid.values > 0).sum(1)

    def forward(self, grid: Grid) -> Tensor:
        """Weight and normalise; where the grid knows its stored values, only those."""
        if isinstance(grid, StoredGrid) and grid.values.numel():
            stored = grid.stored
            x_t = as_numbers(stored.values_t > 0) * self.rarity.index_select(0, stored.column_t)
            length_n = _sums(x_t.square(), grid).sqrt().clamp(min=1e-6)
            x_t = x_t / length_n.index_select(0, stored.row_t)
            return torch.zeros_like(grid.values).view(-1).index_add_(0, stored.at_t, x_t).view_as(grid.values)
        x_ng = as_numbers(grid.values > 0) * self.rarity
        return x_ng / x_ng.norm(dim=1, keepdim=True).clamp(min=1e-6)


def _rescaling(seen_ng: Tensor) -> Tensor:
    """Return 1/√(visible share), (n, 1)."""
    return seen_ng.mean(1, keepdim=True).clamp(min=1e-3).rsqrt()


def _sums(x_t: Tensor, grid: StoredGrid) -> Tensor:
    """Return (n,) sums of what stands for stored values."""
    return x_t.new_zeros(len(grid.values)).index_add_(0, grid.stored.row_t, x_t)


class Scalings(nn.Module):
    """The scalings of all modalities.

    Parameters
    ----------
    kinds
        Kind of each modality.
    n_features
        Features of each modality.
    """

    def __init__(self, kinds: Mapping[str, Kind], n_features: Mapping[str, int]) -> None:
        super().__init__()
        self.kinds = dict(kinds)
        makers: dict[str, type[Standardised] | type[AccessibilityScaling]] = {
            "counts": CountScaling,
            "protein": ProteinScaling,
            "accessibility": AccessibilityScaling,
        }
        self.in_order = nn.ModuleList([makers.get(kind, Standardised)(n_features[m]) for m, kind in kinds.items()])

    def forward(self, grids: Mapping[str, Grid]) -> dict[str, Tensor]:
        """Give (n, g) float32 scaled values per modality, whatever autocast says: shares of a depth are small numbers."""
        with torch.autocast(self.in_order[0].get_buffer("usual").device.type, enabled=False):
            return {name: scaling(grids[name]) for name, scaling in zip(self.kinds, self.in_order, strict=True)}

    def evidence(self, grids: Mapping[str, Grid]) -> dict[str, Tensor]:
        """Give (n,) per modality: how much is seen of each row, relative to the usual; 0 where it is absent."""
        return {name: self._scaling(name).evidence(grids[name]) for name in self.kinds}

    def _scaling(self, name: str) -> Scaling:
        scaling = self.in_order[list(self.kinds).index(name)]
        assert isinstance(scaling, Scaling)
        return scaling

    @torch.no_grad()
    def fit(self, name: str, grids: Sequence[Grid]) -> np.ndarray | sparse.csr_matrix:
        """Fit one modality's scaling to rows that have it and give their scaled values; sparse ones for open regions."""
        scaling = self._scaling(name)
        scaling.fit(grids)
        scaling.usual.copy_(torch.cat([scaling.amount(grid) for grid in grids]).median().clamp(min=1))
        blocks = (scaling(grid).numpy() for grid in grids)
        if self.kinds[name] == "accessibility":
            return sparse.vstack([sparse.csr_matrix(block) for block in blocks], format="csr")
        return np.concatenate(list(blocks))
