"""Bins of values: the same for every call, on one axis for all modalities."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from omicsmlm._types import Kind, TokenSet, obs_of, positions_of

DEPTH = 1e4
"""Counts are normalised to this total before the logarithm."""


class ValueBins(nn.Module):
    """Bins: 0 for a zero, then from small to large, and a last one for what is masked.

    Counts are binned as log1p(10⁴ · count / depth), with edges at quantiles of the non-zero values of training observations;
    the depth is estimated from the visible counts. Equal values always share a bin (scGPT spreads ties at random).
    Accessibility is binned as it is: 1, 2, … and the last bin for all that is more; with one bin, only that a region is open is
    encoded.

    Parameters
    ----------
    kinds
        Kind of each modality.
    n_bins
        Bins of each modality beside those of zero and masked. They share one axis, so that a bin does not name a modality.
    per_cell
        Whether counts are binned by the quantiles of the non-zero values of their own cell instead, as in scGPT: see
        :func:`cell_bins`. A bin then has no value that is the same in all cells, and needs no depth.
    """

    def __init__(self, kinds: Mapping[str, Kind], n_bins: Mapping[str, int], *, per_cell: bool = False) -> None:
        super().__init__()
        self.kinds = dict(kinds)
        self.n_bins = dict(n_bins)
        self.per_cell = per_cell
        self.hidden = max(n_bins.values()) + 1
        for m, name in enumerate(kinds):
            self.register_buffer(f"edge_{m}", torch.arange(1, n_bins[name]) + 0.5)
            self.register_buffer(f"level_{m}", torch.zeros(self.hidden + 1))

    def __len__(self) -> int:
        """Return the number of bins, zero and masked among them."""
        return self.hidden + 1

    def digitize(self, name: str, values_t: Tensor, total_t: Tensor) -> Tensor:
        """Return the bins, (t,) int64, by the edges of all observations, of values in observations of these totals; a NaN is masked."""
        edges = self.get_buffer(f"edge_{self._place(name)}")
        bins_t = 1 + torch.bucketize(self._transformed(name, values_t, total_t).contiguous(), edges)
        return self._with_zero_and_masked(values_t, bins_t)

    def bins_within(self, name: str, values_t: Tensor, obs_t: Tensor, total_n: Tensor, part: TokenSet) -> Tensor:
        """Return the bins, (t,) int64, of values in the observations of a batch.

        Parameters
        ----------
        name
            The modality.
        values_t, obs_t
            The values, and their observations; a NaN is masked.
        total_n
            (n,) totals of the observations.
        part
            Their tokens, by whose values they are binned where each cell has its own edges.
        """
        if not self.per_cell or self.kinds[name] == "accessibility":
            return self.digitize(name, values_t, total_n[obs_t])
        return self._with_zero_and_masked(values_t, cell_bins(values_t, obs_t, part, self.n_bins[name]))

    def _with_zero_and_masked(self, values_t: Tensor, bins_t: Tensor) -> Tensor:
        bins_t = torch.where(values_t > 0, bins_t, 0)
        return torch.where(values_t.isnan(), self.hidden, bins_t)

    def forward(self, name: str, part: TokenSet, obs_t: Tensor) -> Tensor:
        """Return the bin of each token, (t,) int64, by what is visible of its observation."""
        return self.bins_within(name, part.values, obs_t, visible_total(part, obs_t), part)

    def level(self, name: str) -> Tensor:
        """Return the mean value in each bin, (b,), of counts after the logarithm; for masked that of all non-zero ones."""
        return self.get_buffer(f"level_{self._place(name)}")

    @torch.no_grad()
    def fit(self, name: str, parts: Sequence[TokenSet]) -> None:
        """Set edges and levels from training observations."""
        obs = [obs_of(part) for part in parts]
        totals = [visible_total(part, obs_t)[obs_t] for part, obs_t in zip(parts, obs, strict=True)]
        x_t = self._transformed(name, torch.cat([part.values for part in parts]), torch.cat(totals))
        if self.kinds[name] != "accessibility" and len(x_t) and not self.per_cell:
            cuts = np.quantile(x_t.double().numpy(), np.linspace(0, 1, self.n_bins[name] + 1)[1:-1])
            edges = self.get_buffer(f"edge_{self._place(name)}")
            edges.fill_(torch.inf)  # where many values are equal, there are fewer bins
            distinct = torch.from_numpy(np.unique(cuts)).to(edges)
            edges[: len(distinct)] = distinct
        bins_t = torch.cat([self(name, part, obs_t) for part, obs_t in zip(parts, obs, strict=True)])
        level, n_b = self.level(name), torch.bincount(bins_t, minlength=len(self))
        level.copy_(torch.zeros_like(level).index_add_(0, bins_t, x_t) / n_b.clamp(min=1))
        level[self.hidden] = x_t.mean() if len(x_t) else 0.0

    def _transformed(self, name: str, values_t: Tensor, total_t: Tensor) -> Tensor:
        if self.kinds[name] == "accessibility":
            return values_t
        return torch.log1p(values_t * (DEPTH / total_t.clamp(min=1)))

    def _place(self, name: str) -> int:
        return list(self.kinds).index(name)


def cell_bins(values_t: Tensor, obs_t: Tensor, part: TokenSet, n_bins: int) -> Tensor:
    """Return the bin, from 1 to n_bins, of each value by the quantiles of the visible non-zero values of its observation.

    The edges are the quantiles at 1/n_bins, 2/n_bins, … (linear between values, as ``numpy.quantile``); a value has the bin 1 +
    the number of edges below it, so that equal values share the lowest bin that they reach.

    Parameters
    ----------
    values_t, obs_t
        (t,) values, and their observations.
    part
        Tokens of these observations, by whose values the edges are found.
    n_bins
        Bins.

    Examples
    --------
    >>> values = torch.tensor([1.0, 1.0, 1.0, 1.0, 2.0, 9.0])
    >>> none = torch.zeros(0)
    >>> part = TokenSet(torch.arange(6), values, torch.tensor([0, 6]), none, none, none, none)
    >>> cell_bins(values, torch.zeros(6, dtype=torch.int64), part, 3).tolist()  # edges at 1 and 1.33
    [1, 1, 1, 1, 3, 3]
    """
    owner_t = positions_of(part.offsets, len(part.values))[0]
    is_owned_t = torch.arange(len(part.values), device=owner_t.device) < part.offsets[-1]
    # What is masked, zero or of no observation stands behind the values of the observation, without a wait for the device.
    is_counted_t = is_owned_t & (part.values > 0)
    order_t = torch.where(is_counted_t, part.values, torch.inf).argsort()
    order_t = order_t[owner_t[order_t].argsort(stable=True)]
    sorted_t = torch.cat([part.values[order_t], part.values.new_zeros(1)])
    first_n = part.offsets[:-1]
    last_n = (torch.zeros_like(first_n).index_add_(0, owner_t, is_counted_t.long()) - 1).clamp(min=0)
    bins_t = torch.ones_like(obs_t)
    for b in range(1, n_bins):
        # Whole numbers: an edge that lies on a value is that value.
        below_n, rest_n = b * last_n // n_bins, b * last_n % n_bins
        low_n, high_n = sorted_t[first_n + below_n], sorted_t[first_n + torch.minimum(below_n + 1, last_n)]
        edge_n = low_n + (high_n - low_n) * (rest_n / n_bins)
        bins_t += edge_n[obs_t] < values_t
    return bins_t


def visible_total(part: TokenSet, obs_t: Tensor) -> Tensor:
    """Return the estimated total of each observation, (n,), from its visible values."""
    sum_n = part.values.new_zeros(len(part.covered)).index_add_(0, obs_t, part.values.nan_to_num(0.0))
    return sum_n / part.covered.clamp(min=1e-6)
