"""From raw values on a grid to the numbers that are summed: one scaling per kind, fitted once, then fixed.

A masked feature contributes 0. What remains is rescaled, so that the size of the sum does not depend on how much was masked.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._stored import StoredGrid, UnmaskedGrid, as_float, dense_grid, sums_by_obs
from omicsmlm._types import Grid, Kind

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


class AccessibilityScaling(Scaling):
    """Open regions weighted by their rarity, log(1 + n / n_open), and normalised to length 1 over what is visible."""

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
        """Return the number of visible open regions."""
        if isinstance(grid, StoredGrid):
            return sums_by_obs(grid.stored.obs_t, as_float(grid.stored.values_t > 0), len(grid.total))
        return as_float(grid.values > 0).sum(1)

    def forward(self, grid: Grid) -> Tensor:
        """Weight and normalise; where the grid knows its stored values, only those."""
        if isinstance(grid, StoredGrid):
            x_t, factor_n = self._weighted(grid)
            x_t.mul_(factor_n.index_select(0, grid.stored.obs_t))
            return dense_grid(grid.stored.at_t, x_t, len(grid.total), len(self.rarity))
        x_ng = as_float(grid.values > 0) * self.rarity
        return x_ng / x_ng.norm(dim=1, keepdim=True).clamp(min=1e-6)

    def fit_sparse(self, open_ng: sparse.csr_matrix) -> sparse.csr_matrix:
        """Set the same statistics from (n, g) values in observations that were measured in all regions; return their scaled values.

        The values that are stored are those above 0.
        """
        n, n_g = open_ng.shape[0], np.bincount(open_ng.indices, minlength=open_ng.shape[1])
        self.rarity.copy_(torch.from_numpy(np.log1p(n / np.maximum(n_g, 1))))
        length_n = open_ng.getnnz(1)
        self.usual.copy_(torch.from_numpy(length_n.astype(np.float32)).median().clamp(min=1))
        x_t = self.rarity.numpy()[open_ng.indices]
        squares_ng = sparse.csr_matrix((np.square(x_t), open_ng.indices, open_ng.indptr), shape=open_ng.shape)
        norm_n = np.sqrt(np.asarray(squares_ng.sum(1))).ravel().clip(1e-6)
        x_t /= np.repeat(norm_n, length_n)
        return sparse.csr_matrix((x_t, open_ng.indices, open_ng.indptr), shape=open_ng.shape)

    def tokens(self, grid: UnmaskedGrid) -> ScaledTokens:
        """Return the scaled values as tokens: zeros stay 0."""
        x_t, factor_n = self._weighted(grid)
        zero_sg = torch.zeros_like(grid.measured_sg, dtype=torch.float32)
        return ScaledTokens(grid.stored.column_t, x_t, grid.stored.offsets, zero_sg, grid.panel_n, factor_n)

    def _weighted(self, grid: StoredGrid) -> tuple[Tensor, Tensor]:
        """Return weighted stored values, (t,), and what normalises them, (n,)."""
        stored = grid.stored
        x_t = as_float(stored.values_t > 0) * self.rarity.index_select(0, stored.column_t)
        length_n = sums_by_obs(stored.obs_t, x_t.square(), len(grid.total)).sqrt()
        return x_t, 1 / length_n.clamp(min=1e-6)


def _rescaling(visible_ng: Tensor) -> Tensor:
    """Return 1/√(visible fraction), (n, 1)."""
    return visible_ng.mean(1, keepdim=True).clamp(min=1e-3).rsqrt()


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
        """Return (n, g) float32 scaled values per modality, whatever autocast says: fractions of a depth are small numbers."""
        with torch.autocast(self.in_order[0].get_buffer("usual").device.type, enabled=False):
            return {name: scaling(grids[name]) for name, scaling in zip(self.kinds, self.in_order, strict=True)}

    def tokens(self, grids: Mapping[str, Grid]) -> dict[str, Tensor | ScaledTokens]:
        """Return scaled values per modality as tokens, where that is quicker and the grid is of stored counts; or as (n, g)."""
        with torch.autocast(self.in_order[0].get_buffer("usual").device.type, enabled=False):
            return {name: self._tokens(name, grids[name]) for name in self.kinds}

    def _tokens(self, name: str, grid: Grid) -> Tensor | ScaledTokens:
        scaling = self._scaling(name)
        tokens = scaling.tokens(grid) if isinstance(grid, UnmaskedGrid) else None
        return scaling(grid) if tokens is None else tokens

    def relative_depth(self, grids: Mapping[str, Grid]) -> dict[str, Tensor]:
        """Return (n,) per modality: how much is visible of each observation, relative to the usual; 0 where it is absent."""
        return {name: self._scaling(name).relative_depth(grids[name]) for name in self.kinds}

    def _scaling(self, name: str) -> Scaling:
        scaling = self.in_order[list(self.kinds).index(name)]
        assert isinstance(scaling, Scaling)
        return scaling

    @torch.no_grad()
    def fit(self, name: str, values: Sequence[Grid] | sparse.csr_matrix) -> np.ndarray | sparse.csr_matrix:
        """Fit one modality's scaling to observations that have it and return their scaled values; sparse ones for open regions.

        Open regions may be given as (n, g) values, if the observations were measured in all of them.
        """
        scaling = self._scaling(name)
        if sparse.issparse(values):
            assert isinstance(scaling, AccessibilityScaling)
            return scaling.fit_sparse(values)
        scaling.fit(values)
        scaling.usual.copy_(torch.cat([scaling.amount(grid) for grid in values]).median().clamp(min=1))
        blocks = (scaling(grid).numpy() for grid in values)
        if self.kinds[name] == "accessibility":
            return sparse.vstack([sparse.csr_matrix(block) for block in blocks], format="csr")
        return np.concatenate(list(blocks))
