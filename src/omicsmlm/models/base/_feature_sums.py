"""Running sums over observations, batch by batch, from which tables of features follow."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from omicsmlm._types import Grid

LEAST_DEVIATION = 1e-6
"""Standard deviation, of scaled values, under which a feature is said not to vary: rounding of float32 makes about as much."""


class CorrelationSums:
    """Running sums from which the correlations of features with whitened dimensions follow.

    A dimension is whitened over all observations (mean 0, variance 1), a feature is standardised over those in which it is
    measured.

    Parameters
    ----------
    n_features, n_latent
        Numbers of features, g, and of dimensions, d.
    """

    def __init__(self, n_features: int, n_latent: int) -> None:
        self.n_obs = 0
        self.n_g = torch.zeros(n_features, dtype=torch.float64)
        self.x_g = torch.zeros(n_features, dtype=torch.float64)
        self.squares_g = torch.zeros(n_features, dtype=torch.float64)
        self.q_gd = torch.zeros(n_features, n_latent, dtype=torch.float64)
        self.products_gd = torch.zeros(n_features, n_latent, dtype=torch.float64)

    def add(self, x_ng: Tensor, visible_ng: Tensor, q_nd: Tensor) -> None:
        """Add observations: (n, g) scaled values, which are 0 where not visible, and the (n, d) whitened embedding."""
        self.n_obs += int(visible_ng.any(1).sum())
        self.n_g += visible_ng.sum(0).cpu()
        self.x_g += x_ng.cpu().double().sum(0)
        self.squares_g += x_ng.cpu().double().square().sum(0)
        self.q_gd += (visible_ng.to(q_nd.dtype).T @ q_nd).cpu()
        self.products_gd += (x_ng.T @ q_nd).cpu()

    def correlations(self) -> np.ndarray:
        """Return the correlations, (g, d) float32; 0 for a feature that does not vary or was not measured."""
        n_g1 = self.n_g[:, None].clamp(min=1)
        mean_g1 = self.x_g[:, None] / n_g1
        covariance_gd = self.products_gd / n_g1 - mean_g1 * self.q_gd / n_g1
        deviation_g1 = (self.squares_g[:, None] / n_g1 - mean_g1.square()).clamp(min=0).sqrt()
        found_gd = torch.where(
            deviation_g1 > LEAST_DEVIATION, covariance_gd / deviation_g1.clamp(min=LEAST_DEVIATION), 0.0
        )
        return found_gd.clamp(-1, 1).numpy().astype(np.float32)


class LabelSums:
    """Running sums per label and feature, over the observations in which the feature is measured.

    Parameters
    ----------
    n_labels, n_features
        Numbers of labels, k, and of features, g.
    """

    def __init__(self, n_labels: int, n_features: int) -> None:
        self.n_kg = torch.zeros(n_labels, n_features, dtype=torch.float64)
        self.attribution_kg = torch.zeros_like(self.n_kg)
        self.positive_kg = torch.zeros_like(self.n_kg)
        self.value_kg = torch.zeros_like(self.n_kg)

    def add(self, code_n: Tensor, attribution_ng: Tensor, grid: Grid) -> None:
        """Add observations: (n,) codes of their labels, (n, g) attributions, and their values on the grid."""
        for total_kg, value_ng in (
            (self.n_kg, grid.visible),
            (self.attribution_kg, attribution_ng),
            (self.positive_kg, attribution_ng > 0),
            (self.value_kg, grid.values),
        ):
            total_kg.index_add_(0, code_n.cpu(), value_ng.detach().cpu().double())

    def means(self) -> Mapping[str, np.ndarray]:
        """Return, by column of the table, (k, g) float32; NaN where no observation has the feature."""
        outside = ((total_kg.sum(0) - total_kg) for total_kg in (self.value_kg, self.n_kg))
        found = {
            "attribution": self.attribution_kg / self.n_kg,
            "positive": self.positive_kg / self.n_kg,
            "mean_inside": self.value_kg / self.n_kg,
            "mean_outside": torch.div(*outside),
        }
        return {name: value_kg.numpy().astype(np.float32) for name, value_kg in found.items()}
