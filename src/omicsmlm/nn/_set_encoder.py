"""A set encoder over visible (feature, value) tokens: a sum of value times feature embedding."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn


class SetEncoder(nn.Module):
    r"""Sums value × feature embedding over the visible features of every modality.

    .. math:: h_{nd} = \sum_m \begin{cases} \sum_g x^m_{ng} W^m_{gd} & \text{row has } m \\ a^m_d & \text{else}\end{cases}

    Hidden features have value 0 and drop out of the sum, so this is a token encoder over the visible set. It is
    computed as a matrix product, since standardised values leave few zeros.

    Parameters
    ----------
    n_features
        Features per modality.
    width
        d.
    """

    def __init__(self, n_features: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.width = width
        self.names = list(n_features)
        self.features = nn.ModuleList([nn.Linear(g, width, bias=False) for g in n_features.values()])
        self.absent = nn.ParameterList([torch.zeros(width) for _ in n_features])

    def forward(self, scaled: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """Give (n, d) sums from (n, g) scaled values and (n,) presence per modality."""
        total_nd: Tensor | float = 0.0
        for name, features, absent_d in zip(self.names, self.features, self.absent, strict=True):
            total_nd = total_nd + torch.where(present[name][:, None], features(scaled[name]), absent_d)
        assert isinstance(total_nd, Tensor)
        return total_nd

    @torch.no_grad()
    def start(self, name: str, weights_gk: np.ndarray, first: int) -> int:
        """Give a modality's sums a linear start: k directions in the dimensions from ``first``, little elsewhere.

        Returns
        -------
        int
            The first dimension that is still free.
        """
        weight_dg = self.features[self.names.index(name)].get_parameter("weight")
        k = weights_gk.shape[1]
        weight_dg.mul_(0.1)
        weight_dg[first : first + k] = torch.from_numpy(weights_gk.T)
        return first + k
