"""A second look at each row, without one of its modalities."""

from typing import Any

import torch

from omicsmlm._draws import Draws
from omicsmlm._types import Grid, Masked, Masking

from ._features import dropped_modality, keep_visible


class WithPartialView:
    """Doubles a batch of grids: after the n rows come the same n again, each without one of its modalities.

    A row that has one modality only is the same in both halves.

    Parameters
    ----------
    masking
        What masks the other things; alike in both halves.
    """

    def __init__(self, masking: Masking) -> None:
        self.masking = masking

    def __call__(self, grids: dict[str, Grid], draws: Draws) -> Masked:
        """Return 2 n rows."""
        once = self.masking(grids, draws)
        has_nm = torch.stack([grid.visible.any(1) for grid in once.inputs.values()], 1)
        lost_nm = dropped_modality(has_nm, 1.0, draws)
        inputs = {
            name: _joined(grid, keep_visible(grid, grid.visible & ~lost_nm[:, m, None]))
            for m, (name, grid) in enumerate(once.inputs.items())
        }
        targets = {name: _joined(grid, grid) for name, grid in once.targets.items()}
        evaluated: dict[str, Any] | None = None
        if once.evaluated is not None:
            evaluated = {name: torch.cat([evaluated_ng, evaluated_ng]) for name, evaluated_ng in once.evaluated.items()}
        return Masked(inputs, targets, evaluated)


def _joined(first: Grid, second: Grid) -> Grid:
    return Grid(*(torch.cat(parts) for parts in zip(first, second, strict=True)))
