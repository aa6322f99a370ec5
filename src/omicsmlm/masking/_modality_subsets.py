"""Each observation twice: as it is, and with a subset of its modalities."""

from typing import Any

import torch

from omicsmlm._draws import Draws
from omicsmlm._types import Grid, Masked, Masking

from ._features import dropped_modality, keep_visible


class WithModalitySubsets:
    """Doubles a batch of grids: after the n observations stand the same n again, each without one of its modalities.

    An objective can then compare the embeddings of the two. An observation with one modality is the same in both halves.

    Parameters
    ----------
    masking
        Masking of the batch, applied once, before it is doubled.
    """

    def __init__(self, masking: Masking) -> None:
        self.masking = masking

    def __call__(self, grids: dict[str, Grid], draws: Draws) -> Masked:
        """Return 2 n observations."""
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
    """Return the observations of two grids, one after the other."""
    return Grid(*(torch.cat(parts) for parts in zip(first, second, strict=True)))
