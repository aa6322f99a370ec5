"""The scaling of open regions: weighted by their rarity, then of length 1."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from omicsmlm._stored import StoredGrid, UnmaskedGrid, as_float, dense_grid, sums_by_obs
from omicsmlm._types import Grid

from ._scaling import ScaledTokens, Scaling

LEAST_LENGTH = 1e-6
"""Length that an observation without open regions is divided by."""


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
        return x_ng / x_ng.norm(dim=1, keepdim=True).clamp(min=LEAST_LENGTH)

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
        norm_n = np.sqrt(np.asarray(squares_ng.sum(1))).ravel().clip(LEAST_LENGTH)
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
        return x_t, 1 / length_n.clamp(min=LEAST_LENGTH)
