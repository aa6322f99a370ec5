"""A set encoder over visible (feature, value) tokens: a sum of value times feature embedding."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._ridge_estimates import Estimates
from ._scaling import ScaledTokens

UNKNOWN_LOG_PRECISION = -3.0
"""Log precision of estimates before any is known: e⁻³ weighs a twentieth of one whose noise is as large as its signal."""
ABSENT_SCORE = -1e4
"""Score of a modality that is absent: its softmax is 0 in float32."""


class PrecisionWeighting(nn.Module):
    r"""Precision-weighted mean of what several modalities estimate.

    .. math:: h_{nd} = \sum_m w^m_{nd} \big(b^m_d + s^m_{nd}\big) + \sum_{m\ \text{absent}} a^m_d, \qquad
        w^m_{nd} = \frac{e^m_n\, \lambda^m_d}{\sum_{m'} e^{m'}_n\, \lambda^{m'}_d}

    Each modality's sum :math:`s^m` is its own estimate of the same component d; as estimates are combined, they count by
    their precision: :math:`\lambda^m_d`, learned, times the relative depth :math:`e^m_n`, what is visible of the observation
    relative to the usual observation (0 where the modality is absent).

    Parameters
    ----------
    names
        Modalities.
    width
        d.
    """

    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        self.names = list(names)
        self.offset = nn.ParameterList([torch.zeros(width) for _ in names])
        self.absent = nn.ParameterList([torch.zeros(width) for _ in names])
        self.log_precision = nn.ParameterList([torch.full((width,), UNKNOWN_LOG_PRECISION) for _ in names])

    def forward(self, sums: Mapping[str, Tensor], relative_depth: Mapping[str, Tensor]) -> Tensor:
        """Return (n, d) from (n, d) sums and (n,) relative depths per modality, 0 where a modality is absent."""
        if len(self.names) == 1:  # nothing to weigh: the same, without a softmax over one
            (name,) = self.names
            has_n1 = (relative_depth[name] > 0)[:, None]
            return torch.where(has_n1, sums[name] + self.offset[0], self.absent[0])
        relative_depth_nm = torch.stack([relative_depth[name] for name in self.names], 1)
        has_nm = relative_depth_nm > 0
        score_nmd = relative_depth_nm.clamp(min=1e-6).log()[:, :, None] + torch.stack(list(self.log_precision))
        weight_nmd = score_nmd.masked_fill(~has_nm[:, :, None], ABSENT_SCORE).softmax(1) * has_nm[:, :, None]
        h_nd = (~has_nm).float() @ torch.stack(list(self.absent))
        for m, name in enumerate(self.names):
            h_nd = h_nd + weight_nmd[:, m] * (sums[name] + self.offset[m])
        return h_nd

    @torch.no_grad()
    def initialize(self, name: str, estimates: Estimates, first: int) -> None:
        """Initialise offset and precision of a modality's estimates of some components, in the dimensions from ``first``."""
        m, last = self.names.index(name), first + len(estimates.precision_k)
        self.offset[m][first:last] = torch.from_numpy(estimates.offset_k)
        self.log_precision[m][first:last] = torch.from_numpy(estimates.precision_k).log()


class SetEncoder(nn.Module):
    r"""Sums value × feature embedding over the visible features of each modality, and combines the modalities' sums.

    .. math:: s^m_{nd} = \sum_g x^m_{ng} W^m_{gd}

    Masked features have value 0 and drop out of the sum, so this is a token encoder over the visible set. It is computed as
    a matrix product, since standardised values leave few zeros. See :class:`PrecisionWeighting`.

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
        self.combination = PrecisionWeighting(self.names, width)

    def forward(
        self,
        scaled: Mapping[str, Tensor | ScaledTokens],
        relative_depth: Mapping[str, Tensor],
        added: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return (n, d) from scaled values, and how much is visible.

        Parameters
        ----------
        scaled
            Scaled values per modality, (n, g) or tokens.
        relative_depth
            (n,) relative depths per modality, 0 where it is absent.
        added
            (n, c) per modality, what is added to the first c dimensions of its sum (:class:`CrossFitting`); None for nothing.
        """
        sums = {name: summed(features, scaled[name]) for name, features in zip(self.names, self.features, strict=True)}
        return self.combination(with_added(sums, added), relative_depth)

    @torch.no_grad()
    def shrink(self) -> None:
        """Scale all estimates down, so that those without a linear initialisation begin small."""
        for features in self.features:
            features.get_parameter("weight").mul_(0.1)

    @torch.no_grad()
    def initialize(self, name: str, estimates: Estimates, first: int) -> None:
        """Initialise a modality's estimates of some components, in the dimensions from ``first``."""
        last = first + len(estimates.precision_k)
        weight_dg = self.features[self.names.index(name)].get_parameter("weight")
        weight_dg[first:last] = torch.from_numpy(estimates.weights_gk.T)
        self.combination.initialize(name, estimates, first)


def with_added(sums: Mapping[str, Tensor], added: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
    """Return sums, (n, d) per modality, with something added to the first dimensions of some of them.

    Examples
    --------
    >>> with_added({"rna": torch.ones(1, 3)}, {"rna": torch.tensor([[1.0, 2.0]])})["rna"].tolist()
    [[2.0, 3.0, 1.0]]
    """
    if added is None:
        return sums
    padded = {name: F.pad(part, (0, sums[name].shape[1] - part.shape[1])) for name, part in added.items()}
    return {name: sum_nd + padded[name] if name in padded else sum_nd for name, sum_nd in sums.items()}


def summed(features: nn.Module, scaled: Tensor | ScaledTokens) -> Tensor:
    """Return (n, d) sums of scaled values × feature embeddings."""
    if isinstance(scaled, Tensor):
        found = features(scaled)
        assert isinstance(found, Tensor)
        return found
    weight_gd = features.get_parameter("weight").T.contiguous()
    above_nd = F.embedding_bag(
        scaled.column_t, weight_gd, scaled.offsets[:-1], mode="sum", per_sample_weights=scaled.above_t
    )
    zero_nd = (scaled.zero_sg @ weight_gd).index_select(0, scaled.panel_n)
    return (above_nd + zero_nd) * scaled.factor_n[:, None]
