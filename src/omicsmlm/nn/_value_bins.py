"""Bins of values: the same for every call, on one axis for all modalities."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from omicsmlm._types import Kind, TokenSet, obs_of

DEPTH = 1e4
"""Counts are normalised to this total before the logarithm."""


class ValueBins(nn.Module):
    """Bins: 0 for a zero, then from small to large, and a last one for what is masked.

    Counts are binned as log1p(10⁴ · count / depth), with edges at quantiles of the non-zero values of training observations;
    the depth is estimated from the visible counts. Equal values always share a bin (scGPT spreads ties at random, and bins
    each cell by its own quantiles, so that a bin has no fixed meaning). Accessibility is binned as it is: 1, 2, … and the last
    bin for all that is more; with one bin, only that a region is open is encoded.

    Parameters
    ----------
    kinds
        Kind of each modality.
    n_bins
        Bins of each modality beside those of zero and masked. They share one axis, so that a bin does not name a modality.
    """

    def __init__(self, kinds: Mapping[str, Kind], n_bins: Mapping[str, int]) -> None:
        super().__init__()
        self.kinds = dict(kinds)
        self.n_bins = dict(n_bins)
        self.hidden = max(n_bins.values()) + 1
        for m, name in enumerate(kinds):
            self.register_buffer(f"edge_{m}", torch.arange(1, n_bins[name]) + 0.5)
            self.register_buffer(f"level_{m}", torch.zeros(self.hidden + 1))

    def __len__(self) -> int:
        """Return the number of bins, zero and masked among them."""
        return self.hidden + 1

    def digitize(self, name: str, values_t: Tensor, total_t: Tensor) -> Tensor:
        """Return the bins, (t,) int64, of values in observations of these totals; a NaN is masked."""
        edges = self.get_buffer(f"edge_{self._place(name)}")
        bins_t = 1 + torch.bucketize(self._transformed(name, values_t, total_t).contiguous(), edges)
        bins_t = torch.where(values_t > 0, bins_t, 0)
        return torch.where(values_t.isnan(), self.hidden, bins_t)

    def forward(self, name: str, part: TokenSet, obs_t: Tensor) -> Tensor:
        """Return the bin of each token, (t,) int64, by what is visible of its observation."""
        return self.digitize(name, part.values, visible_total(part, obs_t)[obs_t])

    def level(self, name: str) -> Tensor:
        """Return the mean value in each bin, (b,), of counts after the logarithm; for masked that of all non-zero ones."""
        return self.get_buffer(f"level_{self._place(name)}")

    @torch.no_grad()
    def fit(self, name: str, parts: Sequence[TokenSet]) -> None:
        """Set edges and levels from training observations."""
        obs = [obs_of(part) for part in parts]
        totals = [visible_total(part, obs_t)[obs_t] for part, obs_t in zip(parts, obs, strict=True)]
        values_t, total_t = torch.cat([part.values for part in parts]), torch.cat(totals)
        x_t = self._transformed(name, values_t, total_t)
        if self.kinds[name] != "accessibility" and len(x_t):
            cuts = np.quantile(x_t.double().numpy(), np.linspace(0, 1, self.n_bins[name] + 1)[1:-1])
            edges = self.get_buffer(f"edge_{self._place(name)}")
            edges.fill_(torch.inf)  # where many values are equal, there are fewer bins
            distinct = torch.from_numpy(np.unique(cuts)).to(edges)
            edges[: len(distinct)] = distinct
        bins_t = self.digitize(name, values_t, total_t)
        level, n_b = self.level(name), torch.bincount(bins_t, minlength=len(self))
        level.copy_(torch.zeros_like(level).index_add_(0, bins_t, x_t) / n_b.clamp(min=1))
        level[self.hidden] = x_t.mean() if len(x_t) else 0.0

    def _transformed(self, name: str, values_t: Tensor, total_t: Tensor) -> Tensor:
        if self.kinds[name] == "accessibility":
            return values_t
        return torch.log1p(values_t * (DEPTH / total_t.clamp(min=1)))

    def _place(self, name: str) -> int:
        return list(self.kinds).index(name)


def visible_total(part: TokenSet, obs_t: Tensor) -> Tensor:
    """Return the estimated total of each observation, (n,), from its visible values."""
    sum_n = part.values.new_zeros(len(part.covered)).index_add_(0, obs_t, part.values.nan_to_num(0.0))
    return sum_n / part.covered.clamp(min=1e-6)
