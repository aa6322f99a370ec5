"""Values of several modalities as bins, on one axis of features that all of them share."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from omicsmlm._types import SPARSE_KINDS, Batch, Grid, Kind, Tokens, obs_of

from ._feature_scales import N_FEATURE_KNOTS, feature_quantiles, from_levels, to_levels

DEPTH = 1e6
"""Counts are normalised to this total before the logarithm."""
N_KNOTS = 65
"""Knots of a scale by quantiles, so that its levels are multiples of 1/64."""
MAX_VALUES = 2_000_000
"""Most values of which quantiles are taken; of more, every k-th."""


class Scale(NamedTuple):
    """A monotonic map from values to [0, 1]: linear between knots, constant beyond the first and the last."""

    knots: list[float] | list[list[float]]
    """Ascending values; or those of each feature of the vocabulary, of which several may be equal."""
    levels: list[float]
    """What they are mapped to: from 0 to 1, ascending."""


class AxisBins(nn.Module):
    """Bins each modality's values, at the positions of their features on the shared axis.

    A value is scaled to [0, 1] and gets the bin of ``numpy.digitize`` with edges ``linspace(0, 1, n_bins)``; bin 0 is for
    what is 0 or less alone, and what is 1 or more gets the last bin.

    Parameters
    ----------
    kinds
        Kind of each modality. Raw counts enter as log10(1 + 10⁶ x / depth); the depth is the sum over the features that
        the object has, divided by the fraction of an observation's total that these usually make up.
    n_bins
        Bins of each modality.
    n_features
        Features on the axis.
    columns
        Per modality, (v,) int64: position on the axis of each feature of its vocabulary, -1 for one that is not on it.
    scales
        Per modality, the map to [0, 1].
    profiles
        Per modality of counts, (v,) mean profile: expected fraction of each feature in an observation's total; sums to 1.

    Notes
    -----
    A feature that a modality or the object lacks, or that is NaN in an observation, is not visible there; nor is any of a
    modality that an observation lacks. In counts, a value that is not stored is a measured zero.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        n_bins: int,
        n_features: int,
        columns: Mapping[str, Tensor],
        scales: Mapping[str, Scale],
        profiles: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.kinds, self.n_bins, self.n_features = dict(kinds), n_bins, n_features
        self.register_buffer("edges", torch.linspace(0, 1, n_bins))
        for m, name in enumerate(kinds):
            self.register_buffer(f"column_{m}", columns[name])
            self.register_buffer(f"knots_{m}", torch.tensor(scales[name].knots))
            self.register_buffer(f"levels_{m}", torch.tensor(scales[name].levels))
            if kinds[name] in SPARSE_KINDS:
                self.register_buffer(f"profile_{m}", profiles[name])

    def forward(self, batch: Batch) -> dict[str, Grid]:
        """Return one (n, g) grid per modality, whose values are bins as float32; the batch is not changed."""
        return {name: self._grid(name, batch) for name in self.kinds}

    def depth(self, name: str, batch: Batch) -> Tensor:
        """Return the expected sum of each observation's counts over the whole vocabulary, (n,)."""
        return observation_depth(batch.tokens[name], batch.measured[name], self._buffer("profile", name))

    def centres(self) -> Tensor:
        """Return the centre of each bin on the scale of 0 to 1, (b,); that of bin 0 is 0."""
        edges: Tensor = self.get_buffer("edges")
        return torch.cat([edges[:1], (edges[1:] + edges[:-1]) / 2])

    def bin_values(self, name: str) -> Tensor:
        """Return the value at the centre of each bin, (v, b), of each feature of the vocabulary; of counts, its logarithm."""
        n_features = len(self._buffer("column", name))
        return self._unscaled(name, self.centres().expand(n_features, -1).T, torch.arange(n_features)).T

    def unscaled(
        self, name: str, scaled_ng: Tensor, depth_n: Tensor | None, features_g: Tensor | None = None
    ) -> Tensor:
        """Return scaled values in the units of the modality, (n, g): the inverse of scaling; counts at the given depths.

        Parameters
        ----------
        name
            The modality.
        scaled_ng
            From 0 to 1.
        depth_n
            Depth of counts; None for other kinds.
        features_g
            Position of each feature in the vocabulary, int64; None for all of it.
        """
        if features_g is None:
            features_g = torch.arange(scaled_ng.shape[1], device=scaled_ng.device)
        values_ng = self._unscaled(name, scaled_ng, features_g)
        if depth_n is None:
            return values_ng
        return (10**values_ng - 1) * (depth_n / DEPTH)[:, None]

    def _unscaled(self, name: str, scaled_ng: Tensor, features_g: Tensor) -> Tensor:
        knots, levels_k = self._buffer("knots", name), self._buffer("levels", name)
        if knots.ndim == 1:
            return _through(scaled_ng, levels_k, knots)
        return from_levels(scaled_ng, knots[features_g.to(knots.device)], levels_k)

    def _scaled(self, name: str, values_t: Tensor, ids_t: Tensor) -> Tensor:
        knots, levels_k = self._buffer("knots", name), self._buffer("levels", name)
        if knots.ndim == 1:
            return _through(values_t, knots, levels_k)
        return to_levels(values_t, ids_t, knots, levels_k)

    def _grid(self, name: str, batch: Batch) -> Grid:
        tokens, column_v = batch.tokens[name], self._buffer("column", name)
        n, is_sparse = len(batch.indices), self.kinds[name] in SPARSE_KINDS
        obs_t, column_t = obs_of(tokens), column_v[tokens.ids.long()]
        values_t = tokens.values
        if is_sparse:
            values_t = log_per_million(values_t, self.depth(name, batch)[obs_t])
        column_t = torch.where(
            column_t >= 0, column_t, self.n_features
        )  # a last column, cut off, for what is off the axis
        at, shape = (obs_t, column_t), (n, self.n_features + 1)
        bins_t = self._digitized(self._scaled(name, values_t, tokens.ids))
        bins_ng = tokens.values.new_zeros(shape).index_put_(at, bins_t.to(tokens.values.dtype))[:, :-1]
        if is_sparse:
            on_axis_g = self._on_axis(batch.measured[name], column_v)
            visible_ng = batch.present[name][:, None] & on_axis_g
        else:
            found_t = torch.ones_like(column_t, dtype=torch.bool)
            visible_ng = found_t.new_zeros(shape).index_put_(at, found_t)[:, :-1]
        return Grid(bins_ng, visible_ng, bins_ng.sum(1))

    def _digitized(self, scaled_t: Tensor) -> Tensor:
        """Return the bin of each scaled value, int64."""
        edges: Tensor = self.get_buffer("edges")
        bins_t = torch.bucketize(scaled_t, edges, right=True).clamp(max=self.n_bins - 1)
        return torch.where(scaled_t > 0, bins_t, 0)

    def _on_axis(self, measured_v: Tensor, column_v: Tensor) -> Tensor:
        """Return which features of the axis the object has, (g,) bool."""
        on_axis_v = measured_v & (column_v >= 0)
        found_g = on_axis_v.new_zeros(self.n_features + 1)
        return found_g.index_fill_(0, torch.where(on_axis_v, column_v, self.n_features), True)[:-1]

    def _buffer(self, part: str, name: str) -> Tensor:
        return self.get_buffer(f"{part}_{list(self.kinds).index(name)}")


def observation_depth(tokens: Tokens, measured_v: Tensor, profile_v: Tensor) -> Tensor:
    """Return the expected sum of each observation's counts if the object lacked no feature, (n,)."""
    total_n = tokens.values.new_zeros(len(tokens.offsets) - 1).index_add_(0, obs_of(tokens), tokens.values)
    return total_n / (profile_v * measured_v).sum().clamp(min=1e-3)


def log_per_million(values_t: Tensor, depth_t: Tensor) -> Tensor:
    """Return log10(1 + 10⁶ x / depth).

    Examples
    --------
    >>> log_per_million(torch.tensor([0.0, 99.0]), torch.tensor(1e6))
    tensor([0., 2.])
    """
    return torch.log10(1 + values_t * (DEPTH / depth_t.clamp(min=1)))


def fit_scale(kind: Kind, method: str, batches: Sequence[Tokens], depths: Sequence[Tensor] | None) -> Scale:
    """Return the map of a modality to [0, 1], fitted to training observations.

    Parameters
    ----------
    kind
        Fractions stay as they are, and counts, after the logarithm, are divided by the largest value of all.
    method
        Of real values: "maximum" divides them by the largest of all, as the paper does with log10(1 + TPM); "range" maps
        the smallest of all to 0 and the largest to 1; "quantiles" maps the q-th quantile of all of them to q, so that
        every bin has about as many values, also of z-scores with long tails; "auto" is "quantiles" if there are negative
        values, and otherwise "maximum".
    batches
        The stored values of these observations.
    depths
        Of counts, the expected sum of each observation over the whole vocabulary.

    Returns
    -------
    Scale
        Numbers that JSON keeps exactly.

    Examples
    --------
    >>> values = Tokens(torch.arange(3), torch.tensor([-1.0, 0.0, 3.0]), torch.tensor([0, 3]))
    >>> fit_scale("real", "range", [values], None)
    Scale(knots=[-1.0, 3.0], levels=[0.0, 1.0])
    """
    if kind == "fraction":
        return Scale([0.0, 1.0], [0.0, 1.0])
    values = [tokens.values for tokens in batches]
    if depths is not None:
        values = [log_per_million(v, d[obs_of(t)]) for v, d, t in zip(values, depths, batches, strict=True)]
    stored_t = torch.cat(values)
    low, high = (float(part) for part in stored_t.aminmax()) if len(stored_t) else (0.0, 1.0)
    if method == "auto":
        method = "quantiles" if low < 0 and kind == "real" else "maximum"
    if kind == "real" and method == "quantiles":
        return _quantiles(stored_t)
    first = low if kind == "real" and method == "range" else 0.0
    return Scale([first, high if high > first else first + 1.0], [0.0, 1.0])


def fit_feature_scales(values_nv: np.ndarray) -> Scale:
    """Return a scale of each feature by its own quantiles, fitted to training observations.

    Parameters
    ----------
    values_nv
        Values, NaN where not measured; of counts their logarithms, zeros included.

    Returns
    -------
    Scale
        With the knots of each feature, to six digits, that is as float32 nearly keeps them.
    """
    knots = [[float(f"{knot:.6g}") for knot in row] for row in feature_quantiles(values_nv)]
    return Scale(knots, np.linspace(0, 1, N_FEATURE_KNOTS).tolist())


def _quantiles(values_t: Tensor) -> Scale:
    """Return the map of each quantile of the values to its level; of equal quantiles, to the lowest level."""
    part = values_t[:: -(-len(values_t) // MAX_VALUES)].double().numpy()
    levels = np.linspace(0, 1, N_KNOTS)
    knots, first = np.unique(np.quantile(part, levels).astype(np.float32), return_index=True)
    if len(knots) == 1:
        return Scale([float(knots[0]), float(knots[0]) + 1.0], [0.0, 1.0])
    chosen = levels[first]
    chosen[-1] = 1.0  # of a value that is several quantiles, the lowest counts, but the largest value is at 1
    return Scale(knots.astype(float).tolist(), chosen.tolist())


def _through(x: Tensor, knots_k: Tensor, levels_k: Tensor) -> Tensor:
    """Return values mapped by linear interpolation between knots, constant beyond the first and the last.

    Examples
    --------
    >>> _through(torch.tensor([-1.0, 1.0, 2.0, 9.0]), torch.tensor([0.0, 2.0, 4.0]), torch.tensor([0.0, 0.9, 1.0]))
    tensor([0.0000, 0.4500, 0.9000, 1.0000])
    """
    k = torch.searchsorted(knots_k, x.contiguous(), right=True).clamp(1, len(knots_k) - 1)
    fraction = ((x - knots_k[k - 1]) / (knots_k[k] - knots_k[k - 1])).clamp(0, 1)
    return levels_k[k - 1] + fraction * (levels_k[k] - levels_k[k - 1])
