"""Masking bins on a fixed axis, as BERT masks words."""

import torch
from torch import Tensor

from omicsmlm._draws import Draws
from omicsmlm._types import Grid, Masked

from ._features import dropped_modality, keep_visible

MASKED_FRACTION, RANDOM_FRACTION = 0.8, 0.1
"""Fractions of the chosen tokens that are masked and that get a random bin (Devlin et al. 2019); the others stay."""

EVALUATED_FRACTION = 0.25
"""Fraction of the masked tokens that the loss is taken over where rates are a range: of rates of .3 to .9, 15 % of all tokens, as
with BERT's one rate. The logits of the others would take most of a step's time."""


class MaskBins:
    """Chooses tokens to be predicted, in each modality independently, and masks most or all of them (Devlin et al. 2019).

    With one rate for all observations, 80 % of the chosen tokens are masked, 10 % get a uniformly drawn bin, and 10 % stay as
    they are, so that the encoder has to represent visible tokens as well. With a range of rates all of them are masked, and
    ``EVALUATED_FRACTION`` of them are evaluated. A zero is a token like any other.

    Parameters
    ----------
    n_bins
        Bins of every modality.
    rate
        Probability that a measured token is chosen, or the lowest and the highest one: each observation then draws its own,
        uniformly, for all its modalities.
    modality_rate
        Probability that one modality of an observation with several is masked as a whole; the loss is still taken over the
        chosen tokens alone.
    """

    def __init__(self, n_bins: int, rate: float | tuple[float, float] = 0.15, modality_rate: float = 0.0) -> None:
        self.n_bins, self.rate, self.modality_rate = n_bins, rate, modality_rate

    @property
    def most_evaluated(self) -> float:
        """Largest fraction of an observation's tokens that is evaluated, in expectation."""
        return self.rate[1] * EVALUATED_FRACTION if isinstance(self.rate, tuple) else self.rate

    def __call__(self, grids: dict[str, Grid], draws: Draws) -> Masked:
        """Return the visible tokens as inputs, all as targets, and the chosen ones per modality, (n, g) bool."""
        has_nm = torch.stack([grid.visible.any(1) for grid in grids.values()], 1)
        lost_nm = dropped_modality(has_nm, self.modality_rate, draws)
        if isinstance(self.rate, tuple):
            return self._all_masked(grids, lost_nm, draws, *self.rate)
        inputs, evaluated = {}, {}
        for m, (name, grid) in enumerate(grids.items()):
            drawn_ng = draws.uniform(grid.values.shape[1])
            evaluated[name] = grid.visible & (drawn_ng < self.rate)
            # Given that a token is chosen, its draw is uniform below the rate: scaled, it decides what becomes of the token.
            fate_ng = drawn_ng / self.rate
            visible_ng = grid.visible & ~(evaluated[name] & (fate_ng < MASKED_FRACTION)) & ~lost_nm[:, m, None]
            replaced_ng = evaluated[name] & (fate_ng < MASKED_FRACTION + RANDOM_FRACTION)  # or masked, and then 0
            other_ng = (draws.uniform(grid.values.shape[1]) * self.n_bins).floor()
            values_ng = torch.where(replaced_ng, other_ng, grid.values) * visible_ng
            inputs[name] = Grid(values_ng, visible_ng, values_ng.sum(1))
        return Masked(inputs, grids, evaluated)

    def _all_masked(
        self, grids: dict[str, Grid], lost_nm: Tensor, draws: Draws, lowest: float, highest: float
    ) -> Masked:
        """Return the same where each observation draws its own rate, and all chosen tokens are masked, some of them evaluated."""
        rate_n = lowest + (highest - lowest) * draws.uniform()
        inputs, evaluated = {}, {}
        for m, (name, grid) in enumerate(grids.items()):
            n_features = grid.visible.shape[1]
            chosen_ng = grid.visible & draws.bernoulli(rate_n, n_features)
            evaluated[name] = chosen_ng & draws.bernoulli(torch.full_like(rate_n, EVALUATED_FRACTION), n_features)
            inputs[name] = keep_visible(grid, grid.visible & ~chosen_ng & ~lost_nm[:, m, None])
        return Masked(inputs, grids, evaluated)
