"""Masking bins on a fixed axis, as BERT masks words."""

import torch

from omicsmlm._draws import Draws
from omicsmlm._types import Grid, Masked

from ._features import dropped_modality

MASKED, REPLACED = 0.8, 0.1
"""Of the tokens that are judged, the share that is masked and the share that gets a random bin; the others stay."""


class MaskBins:
    """Chooses tokens to be judged, each modality's by themselves, and masks most of them (Devlin et al. 2019).

    Of the chosen tokens 80 % are masked, 10 % get a bin drawn from all bins alike, and 10 % stay as they are, so that the
    encoder cannot trust what it sees. A zero is a token like any other.

    Parameters
    ----------
    n_bins
        Bins of every modality.
    rate
        Probability that a measured token is chosen.
    modality_rate
        Probability that all that is seen of one modality is masked as well, in a row with several; of such a modality too,
        the chosen tokens alone are judged.
    """

    def __init__(self, n_bins: int, rate: float = 0.15, modality_rate: float = 0.0) -> None:
        self.n_bins, self.rate, self.modality_rate = n_bins, rate, modality_rate

    def __call__(self, grids: dict[str, Grid], draws: Draws) -> Masked:
        """Return what is seen, everything, and per modality which of it is judged, (n, g) bool."""
        has_nm = torch.stack([grid.visible.any(1) for grid in grids.values()], 1)
        lost_nm = dropped_modality(has_nm, self.modality_rate, draws)
        inputs, evaluated = {}, {}
        for m, (name, grid) in enumerate(grids.items()):
            drawn_ng = draws.uniform(grid.values.shape[1])
            evaluated[name] = grid.visible & (drawn_ng < self.rate)
            fate_ng = drawn_ng / self.rate if self.rate else drawn_ng  # uniform among the chosen ones
            visible_ng = grid.visible & ~(evaluated[name] & (fate_ng < MASKED)) & ~lost_nm[:, m, None]
            replaced_ng = evaluated[name] & (fate_ng >= MASKED) & (fate_ng < MASKED + REPLACED)
            other_ng = (draws.uniform(grid.values.shape[1]) * self.n_bins).floor()
            values_ng = torch.where(replaced_ng, other_ng, grid.values) * visible_ng
            inputs[name] = Grid(values_ng, visible_ng, values_ng.sum(1))
        return Masked(inputs, grids, evaluated)
