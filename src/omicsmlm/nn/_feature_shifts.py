"""Features whose values in a new batch lie outside of the reference's: they count less where that batch is embedded."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls
from sklearn.cluster import KMeans
from torch import Tensor, nn

MOST_PROFILES = 30
"""Mean profiles of a reference, of clusters of its embedding, among which the composition of a batch is sought."""
MOST_GROUPS = 10
"""Groups of a batch that are explained each by itself."""
OBSERVATIONS_PER_CLUSTER = 30
"""Fewer profiles and groups where there are few observations; of a batch of fewer than this, nothing is said."""
ROBUSTNESS = 0.1
"""Shift, in standard deviations of a feature, at which its weight in the fit of the composition is halved."""
HALVING = 0.5
"""Shift beyond what is tolerated at which a feature's weight is halved (``docs/experiments/queries_and_labels.md``)."""
SHARED = 1 / 3
"""Fraction of a batch that must have a shift: what fewer have may be a type that the reference lacks."""
NOISE = 2.0
"""Standard errors of a mean that are tolerated."""
N_FITS = 10
"""Fits of a composition, each weighted by what the last one left."""
SUM_WEIGHT = 1e3
"""Weight of the condition that fractions add up to 1."""


class ShiftSizes(NamedTuple):
    """Sizes of :class:`FeatureShifts`; no profiles where there is none."""

    modalities: tuple[str, ...] = ()
    """Modalities whose features are compared: those of standardised values."""
    n_profiles: int = 0
    """k."""


class Observed(NamedTuple):
    """Scaled values of some observations, as if all features were visible."""

    x_ng: np.ndarray
    visible_ng: np.ndarray
    """bool."""


class FeatureShifts(nn.Module):
    r"""Weighs the features of each new batch by how far their values are from what the reference could give.

    A batch may differ from the reference by its composition, by a few features (induced by a treatment, or of another
    technology), or both. So each group of it, a cluster of its embedding, is explained as a mixture of the mean profiles of
    clusters of the reference, robustly, by non-negative least squares; what is left of a feature's mean, and is shared by a
    third of the batch, is its shift s, in standard deviations of the reference. Its scaled values are multiplied by

    .. math:: w = \frac{1}{1 + (e / 0.5)^2}, \qquad e = \max\left(0, |s| - t - 2 / \sqrt{n}\right)

    with t the largest shift of the feature among the reference's own batches and n the observations of the batch. No label is
    read, and nothing is trained. Observations of batches without a shifted feature, those of the reference among them, pass
    through unchanged.

    Parameters
    ----------
    n_features
        Features of each compared modality.
    n_profiles
        k.
    n_fixed
        Batches of the reference.
    n_batches
        All batches.
    """

    profile_kg: Tensor
    tolerance_g: Tensor
    weight_bg: Tensor
    is_shifted_b: Tensor

    def __init__(self, n_features: Mapping[str, int], n_profiles: int, n_fixed: int, n_batches: int) -> None:
        super().__init__()
        self.n_features = dict(n_features)
        self.n_fixed = n_fixed
        n_new, g = max(0, n_batches - n_fixed), sum(n_features.values())
        self.register_buffer("profile_kg", torch.zeros(n_profiles, g))
        self.register_buffer("tolerance_g", torch.zeros(g))
        self.register_buffer("weight_bg", torch.ones(n_new, g))
        self.register_buffer("is_shifted_b", torch.zeros(n_new, dtype=torch.bool))

    def is_shifted(self, batch_n: Tensor) -> Tensor:
        """Return, (n,) bool, which observations are of a new batch with shifted features."""
        if not len(self.is_shifted_b):
            return torch.zeros_like(batch_n, dtype=torch.bool)
        place_n = batch_n - self.n_fixed
        return (place_n >= 0) & self.is_shifted_b[place_n.clamp(min=0)]

    def n_shifted(self) -> int:
        """Count the features whose weight is below a half in a new batch."""
        return int((self.weight_bg < 0.5).any(0).sum()) if len(self.weight_bg) else 0

    def forward(self, scaled: Mapping[str, Tensor], batch_n: Tensor) -> dict[str, Tensor]:
        """Return (n, g) scaled values per modality, weighed where the batch has shifted features."""
        weight_ng = torch.where(
            self.is_shifted(batch_n)[:, None], self.weight_bg[(batch_n - self.n_fixed).clamp(min=0)], 1.0
        )
        weights = dict(zip(self.n_features, weight_ng.split(list(self.n_features.values()), 1), strict=True))
        return {name: x_ng * weights[name] if name in weights else x_ng for name, x_ng in scaled.items()}

    @torch.no_grad()
    def summarise(self, observed: Observed, z_nd: np.ndarray, batch_n: np.ndarray) -> None:
        """Keep the mean profiles of a reference, and the largest shifts of its batches.

        Parameters
        ----------
        observed
            Observations of the reference.
        z_nd
            Their embedding.
        batch_n
            (n,) int: their batch.
        """
        cluster_n = _clusters(z_nd, len(self.profile_kg), 1)
        profiles = [_means(observed, cluster_n == k) for k in range(len(self.profile_kg))]
        self.profile_kg.copy_(torch.from_numpy(np.nan_to_num(np.stack(profiles))))
        sizes = [np.zeros(len(self.tolerance_g))]
        for batch in np.unique(batch_n):
            is_own_n = batch_n == batch
            if is_own_n.sum() >= OBSERVATIONS_PER_CLUSTER:
                sizes.append(self._shifts(Observed(*(part[is_own_n] for part in observed)), z_nd[is_own_n]))
        self.tolerance_g.copy_(torch.from_numpy(np.max(sizes, 0)))

    @torch.no_grad()
    def fit(self, batch: int, observed: Observed, z_nd: np.ndarray) -> None:
        """Fit the weights of a new batch.

        Parameters
        ----------
        batch
            Its category.
        observed
            Its observations; of fewer than 30, all weights stay 1.
        z_nd
            Their embedding.
        """
        if len(z_nd) < OBSERVATIONS_PER_CLUSTER:
            return
        n_g = np.maximum(observed.visible_ng.sum(0), 1)
        excess_g = self._shifts(observed, z_nd) - self.tolerance_g.cpu().numpy() - NOISE / np.sqrt(n_g)
        weight_g = 1 / (1 + (np.maximum(excess_g, 0) / HALVING) ** 2)
        self.weight_bg[batch - self.n_fixed] = torch.from_numpy(weight_g).to(self.weight_bg)
        self.is_shifted_b[batch - self.n_fixed] = bool((weight_g < 1).any())

    @torch.no_grad()
    def load_from(self, other: "FeatureShifts") -> None:
        """Copy the weights of one that knows fewer batches."""
        self.weight_bg[: len(other.weight_bg)] = other.weight_bg
        self.is_shifted_b[: len(other.is_shifted_b)] = other.is_shifted_b

    def _shifts(self, observed: Observed, z_nd: np.ndarray) -> np.ndarray:
        """Compute the size of each feature's shift, (g,), that is shared by enough of some observations."""
        group_n = _clusters(z_nd, MOST_GROUPS, OBSERVATIONS_PER_CLUSTER)
        profile_kg = self.profile_kg.cpu().double().numpy()
        groups = range(int(group_n.max()) + 1)
        left_jg = np.stack([unexplained(profile_kg, _means(observed, group_n == j)) for j in groups])
        return shared_size(left_jg, np.bincount(group_n), SHARED)


def _clusters(z_nd: np.ndarray, most: int, n_per_cluster: int) -> np.ndarray:
    n_clusters = max(1, min(most, len(z_nd) // n_per_cluster))
    return np.asarray(KMeans(n_clusters, random_state=0, n_init=1).fit_predict(z_nd))


def _means(observed: Observed, chosen_n: np.ndarray) -> np.ndarray:
    """Compute the mean of each feature where it is visible, (g,) float64; NaN where it nowhere is."""
    visible_ng = observed.visible_ng[chosen_n]
    n_g, sum_g = visible_ng.sum(0), (observed.x_ng[chosen_n] * visible_ng).sum(0, dtype=np.float64)
    return np.where(n_g > 0, sum_g / np.maximum(n_g, 1), np.nan)


def unexplained(profile_kg: np.ndarray, mean_g: np.ndarray) -> np.ndarray:
    r"""Compute what no mixture of profiles explains of a mean, (g,): a robust fit of fractions, by non-negative least squares.

    Fractions π add up to 1 and minimise :math:`\sum_g w_g (\bar x_g - \sum_k \pi_k \mu_{kg})^2`, with weights
    :math:`w = 1 / (1 + (r / 0.1)^2)` of the residuals r of the fit before: a few features that are far off do not count.

    Parameters
    ----------
    profile_kg
        Profiles μ.
    mean_g
        Mean of the observations to explain; NaN where a feature was not measured, for which 0 is returned.

    Examples
    --------
    >>> profiles = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    >>> mean = np.array([0.25, 0.75, 1.0, 8.0])  # a fourth of the first, three fourths of the second, and a shift
    >>> np.allclose(unexplained(profiles, mean), [0, 0, 0, 8], atol=1e-4)
    True
    """
    measured_g, left_g = np.isfinite(mean_g), np.zeros(len(mean_g))
    if not measured_g.any():
        return left_g
    profile_kg, mean_g = profile_kg[:, measured_g], mean_g[measured_g]
    residual_g = mean_g
    for _ in range(N_FITS):
        root_g = 1 / np.sqrt(1 + (residual_g / ROBUSTNESS) ** 2)
        equations = np.vstack([profile_kg.T * root_g[:, None], np.full((1, len(profile_kg)), SUM_WEIGHT)])
        fraction_k, _ = nnls(equations, np.append(mean_g * root_g, SUM_WEIGHT))
        residual_g = mean_g - fraction_k @ profile_kg
    left_g[measured_g] = residual_g
    return left_g


def shared_size(shift_jg: np.ndarray, n_j: np.ndarray, fraction: float) -> np.ndarray:
    """Compute the largest size, (g,), of a shift in one direction that at least a fraction of the observations have.

    Parameters
    ----------
    shift_jg
        Shift of each feature in each group.
    n_j
        Observations of the groups.
    fraction
        Between 0 and 1.

    Examples
    --------
    >>> shift = np.array([[3.0, 3.0, -1.0], [2.0, 0.0, -1.0], [0.0, 0.0, 1.0]])
    >>> shared_size(shift, np.array([10, 10, 10]), 0.5).tolist()  # of 30 observations, 15 must have it
    [2.0, 0.0, 1.0]
    """
    sizes = []
    for signed_jg in (shift_jg, -shift_jg):
        order_jg = np.argsort(-signed_jg, 0, kind="stable")
        has_jg = n_j[order_jg].cumsum(0) >= fraction * n_j.sum()
        first_1g = has_jg.argmax(0)[None]
        sizes.append(np.take_along_axis(np.take_along_axis(signed_jg, order_jg, 0), first_1g, 0)[0])
    return np.maximum(np.maximum(*sizes), 0)
