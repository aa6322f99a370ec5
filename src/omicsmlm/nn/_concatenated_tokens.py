"""Tokens in which the value of a feature stands beside the feature's own embedding."""

import torch
from torch import Tensor, nn

from omicsmlm._sizes import positions_of_true


class ConcatenatedTokens(nn.Module):
    """The token of a feature is its embedding with the value as the last dimension; an observation begins with one of its own.

    Parameters
    ----------
    n_features
        Features in the vocabulary.
    width
        d; the embeddings are d − 1 wide.
    """

    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        self.features = nn.Embedding(n_features, width - 1)
        self.first = nn.Parameter(0.02 * torch.randn(width))  # most of its state will be what it hears of the others

    def forward(self, values_ng: Tensor, visible_ng: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
        """Gather what is visible of a grid.

        Parameters
        ----------
        values_ng, visible_ng
            Values, and which of them are visible.
        most
            Most that is visible of an observation; None for all features.

        Returns
        -------
        tuple of torch.Tensor
            (t, d) tokens, packed, each observation's own before those of its features; (n + 1,) cumulative lengths. On a device
            there are as many tokens as if ``most`` were visible of each observation, zeros behind those of the last one.
        """
        n, n_features = visible_ng.shape
        place_t, is_there_t = positions_of_true(visible_ng.flatten(), n * (n_features if most is None else most))
        obs_t, id_t = place_t // n_features, place_t % n_features
        obs_t = torch.where(is_there_t, obs_t, n - 1)
        features_td = torch.cat([self.features(id_t), values_ng.flatten()[place_t][:, None]], 1)
        features_td = torch.where(is_there_t[:, None], features_td, 0)
        length_n = visible_ng.sum(1) + 1
        offsets = torch.cat([length_n.new_zeros(1), length_n.cumsum(0)])
        place_t = torch.arange(1, len(obs_t) + 1, device=obs_t.device) + obs_t
        x_td = torch.zeros(len(obs_t) + len(visible_ng), len(self.first), dtype=features_td.dtype, device=obs_t.device)
        x_td = x_td.index_copy(0, place_t, features_td)
        return x_td.index_copy(0, offsets[:-1], self.first.to(x_td.dtype).expand(len(visible_ng), -1)), offsets
