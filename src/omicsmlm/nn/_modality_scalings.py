"""The scalings of all modalities of an object, by their kind."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._stored import UnmaskedGrid
from omicsmlm._types import Grid, Kind

from ._accessibility_scaling import AccessibilityScaling
from ._scaling import CountScaling, ProteinScaling, ScaledTokens, Scaling, Standardised


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
