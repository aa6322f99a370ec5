"""Latent attention: a few learned queries that look at every visible (feature, value) token."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class LatentAttention(nn.Module):
    r"""Learned latents attend to the visible tokens of all modalities, then to each other.

    The token of feature g with scaled value x has the key :math:`x K_g + B_g` and the value :math:`x V_g + U_g`. As the
    queries do not depend on the observation, the scores are affine in x,

    .. math:: s_{nlg} = x_{ng}\, (q_l \cdot K_g) + q_l \cdot B_g,

    so exact attention over a set of g tokens costs n·l·g, and no token is ever gathered. Latents of Jaegle et al. (2021),
    tokens ours.

    Parameters
    ----------
    n_features
        Features per modality.
    n_latents, width
        l and the width of keys, values and latents.
    n_layers
        Transformer layers among the latents, at least 1.
    n_out
        Width of the output.
    dropout
        Dropout in those layers.
    """

    def __init__(
        self, n_features: Mapping[str, int], n_latents: int, width: int, n_layers: int, n_out: int, dropout: float
    ) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.queries = nn.Parameter(torch.randn(n_latents, width))
        self.names = list(n_features)
        n_all = sum(n_features.values())
        self.keys, self.key_offsets = _table(n_all, width), _table(n_all, width)
        self.values, self.value_offsets = _table(n_all, width), _table(n_all, width)
        layers = [
            nn.TransformerEncoderLayer(width, 4, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(n_layers)
        ]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, n_out)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, scaled: Mapping[str, Tensor], visible: Mapping[str, Tensor]) -> Tensor:
        """Return (n, n_out) from (n, g) scaled values and what is visible; zero for an observation of which nothing is visible."""
        x_ng = torch.cat([scaled[name] for name in self.names], 1)
        visible_ng = torch.cat([visible[name] for name in self.names], 1)
        slope_lg, level_lg = self.queries @ self.keys.T * self.scale, self.queries @ self.key_offsets.T * self.scale
        score_nlg = torch.addcmul(level_lg, x_ng[:, None, :], slope_lg)
        score_nlg = score_nlg.masked_fill(~visible_ng[:, None, :], torch.finfo(score_nlg.dtype).min)
        weight_nlg = score_nlg.softmax(2)
        latents_nld = (weight_nlg * x_ng[:, None, :]) @ self.values + weight_nlg @ self.value_offsets
        pooled_nd = self.norm(self.layers(self.queries + latents_nld)).mean(1)
        return self.out(pooled_nd) * visible_ng.any(1, keepdim=True)


def _table(n_features: int, width: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(n_features, width) * width**-0.5)
