"""A set encoder over visible (feature, value) tokens: a sum of value times feature embedding."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ._linear_start import Estimates

LEAST_PRECISION = -3.0
"""Log precision of estimates that nothing is known of."""
NOTHING = -1e4
"""Log precision of a modality that is absent."""


class SetEncoder(nn.Module):
    r"""Sums value × feature embedding over the visible features of each modality, and weighs the modalities' sums.

    .. math:: h_{nd} = \sum_m w^m_{nd} \Big(b^m_d + \sum_g x^m_{ng} W^m_{gd}\Big)
        + \sum_{m\ \text{absent}} a^m_d, \qquad
        w^m_{nd} = \frac{e^m_n\, \lambda^m_d}{\sum_{m'} e^{m'}_n\, \lambda^{m'}_d}

    Each modality's sum is its own estimate of the same component d; as estimates are combined, they count by their
    precision: :math:`\lambda^m_d`, learned, times the evidence :math:`e^m_n`, what is seen of the row relative to the
    usual row (0 where the modality is absent). Hidden features have value 0 and drop out of the sum, so this is a token
    encoder over the visible set. It is computed as a matrix product, since standardised values leave few zeros.

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
        self.offset = nn.ParameterList([torch.zeros(width) for _ in n_features])
        self.absent = nn.ParameterList([torch.zeros(width) for _ in n_features])
        self.log_precision = nn.ParameterList([torch.zeros(width) for _ in n_features])

    def forward(self, scaled: Mapping[str, Tensor], evidence: Mapping[str, Tensor]) -> Tensor:
        """Give (n, d) from (n, g) scaled values and (n,) evidence per modality, 0 where a modality is absent."""
        evidence_nm = torch.stack([evidence[name] for name in self.names], 1)
        has_nm = evidence_nm > 0
        score_nmd = evidence_nm.clamp(min=1e-6).log()[:, :, None] + torch.stack(list(self.log_precision))
        weight_nmd = score_nmd.masked_fill(~has_nm[:, :, None], NOTHING).softmax(1)
        h_nd = (~has_nm).float() @ torch.stack(list(self.absent))
        for m, (name, features) in enumerate(zip(self.names, self.features, strict=True)):
            h_nd = h_nd + weight_nmd[:, m] * (features(scaled[name]) + self.offset[m])
        return h_nd

    @torch.no_grad()
    def calm(self) -> None:
        """Let all estimates begin small and imprecise."""
        for features, log_precision_d in zip(self.features, self.log_precision, strict=True):
            features.get_parameter("weight").mul_(0.1)
            log_precision_d.fill_(LEAST_PRECISION)

    @torch.no_grad()
    def start(self, name: str, estimates: Estimates, first: int) -> None:
        """Start a modality's estimates of some components, in the dimensions from ``first``."""
        m = self.names.index(name)
        last = first + len(estimates.precision_k)
        self.features[m].get_parameter("weight")[first:last] = torch.from_numpy(estimates.weights_gk.T)
        self.offset[m][first:last] = torch.from_numpy(estimates.offset_k)
        self.log_precision[m][first:last] = torch.from_numpy(estimates.precision_k).log()
