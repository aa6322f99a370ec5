"""Tokens of several modalities on one axis of features: summed on the way in, one head each on the way out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._types import Grid

from ._convolution import APPROXIMATION, Form


class AxisEmbedding(nn.Module):
    """Sum, at each position of the axis, of a token's embedding per modality and of the feature's own.

    The tokens of a modality are its bins, one that pads the axis, and one (the mask) for all that is not visible.

    Parameters
    ----------
    modalities
        Their names.
    n_bins
        Bins of each modality; with two more tokens each.
    n_features, n_positions
        Features on the axis, and positions with the padding behind them.
    feature_width, width
        Width of the features' own embedding, and that to which it is projected and of all the others.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        n_bins: int,
        n_features: int,
        n_positions: int,
        feature_width: int,
        width: int,
    ) -> None:
        super().__init__()
        self.modalities, self.n_bins = list(modalities), n_bins
        self.n_features, self.n_positions = n_features, n_positions
        self.tokens = nn.ModuleList([nn.Embedding(n_tokens(n_bins), width) for _ in self.modalities])
        self.features = nn.Embedding(n_positions, feature_width)
        self.projection = nn.Linear(feature_width, width)

    def forward(self, grids: Mapping[str, Grid]) -> Tensor:
        """Return (n, n_positions, width) from grids of bin numbers on the axis."""
        states_nld = self.projection(self.features.weight)
        for name, table in zip(self.modalities, self.tokens, strict=True):
            states_nld = states_nld + table(self._ids(grids[name]))
        return states_nld

    def _ids(self, grid: Grid) -> Tensor:
        """Return (n, n_positions) int64 tokens."""
        bin_ng = grid.values.long().clamp(0, self.n_bins - 1)
        id_ng = torch.where(grid.visible, bin_ng, torch.full_like(bin_ng, self.n_bins + 1))
        return F.pad(id_ng, (0, self.n_positions - self.n_features), value=self.n_bins)


class TokenLogits(NamedTuple):
    """The states of all positions with the head that makes logits of them: these are computed where needed, and only there."""

    states: Tensor
    """(n, l, d)."""
    hidden_weight: Tensor
    hidden_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    approximation: str
    """Of GELU: "tanh" or "none"."""

    def logits(self, at_ng: Tensor) -> Tensor:
        """Return (t, n_tokens) logits of the t positions that are true, observation by observation.

        Parameters
        ----------
        at_ng
            Bool, over the features of the axis, which are its first positions.
        """
        return F.linear(self.hidden(at_ng), self.out_weight, self.out_bias)

    def hidden(self, at_ng: Tensor) -> Tensor:
        """Return the (t, d) inputs of the last layer for these logits."""
        return self._hidden(self.states[:, : at_ng.shape[1]][at_ng])

    def logits_at(self, place_t: Tensor, n_features: int) -> Tensor:
        """Return (t, n_tokens) logits at the places observation · n_features + feature, (t,) int64."""
        position_t = place_t // n_features * self.states.shape[1] + place_t % n_features
        hidden_td = self._hidden(self.states.flatten(0, 1).index_select(0, position_t))
        return F.linear(hidden_td, self.out_weight, self.out_bias)

    def _hidden(self, states_td: Tensor) -> Tensor:
        entering_td = F.gelu(states_td, approximate=self.approximation)
        return F.gelu(F.linear(entering_td, self.hidden_weight, self.hidden_bias), approximate=self.approximation)


class TokenHead(nn.Module):
    """GELU → linear → GELU → linear, to the tokens of a modality.

    Parameters
    ----------
    width
        d, of the states and of the hidden layer.
    n_bins
        Bins of the modality.
    form
        Of GELU.
    """

    def __init__(self, width: int, n_bins: int, form: Form = "published") -> None:
        super().__init__()
        self.approximation = APPROXIMATION[form]
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, n_tokens(n_bins))

    def forward(self, states_nld: Tensor) -> TokenLogits:
        """Return the logits of states, not yet computed."""
        hidden, out = self.hidden, self.out
        return TokenLogits(states_nld, hidden.weight, hidden.bias, out.weight, out.bias, self.approximation)


def n_tokens(n_bins: int) -> int:
    """Return the number of tokens of a modality: the bins, the padding (``n_bins``) and the mask (``n_bins + 1``)."""
    return n_bins + 2
