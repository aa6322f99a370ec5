"""Initialization of TxFM, if not at random: components in the cell token.

The paper starts at random and trains on 1.4 million profiles. With some thousand cells, a state that must first learn to
gather hundreds of tokens holds less of them than principal components do (``docs/experiments.md``). So, in the same network,

- embeddings of genes start at loadings of a factor analysis of the cells;
- the cell token starts as the cell's components, fitted to its visible genes (:class:`omicsmlm.nn.ComponentFit`);
- residual branches start small.

Everything is trained from there. The decoder starts at the mean expression profile, as it does at random: fitted to the
components, it left training little to improve, and its weights told less of which genes go together.
"""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from ._module import TxFMModule

NOISE_SHRINKAGE = 0.5
"""Weight of the mean noise of all genes in that of one, since few cells estimate the variance of rare genes poorly (ours)."""
MIN_STRENGTH = 1e-6
"""Least root mean square of a component's loadings: where cells have no more components, division stays defined."""
N_POWER_ITERATIONS = 4
"""Of the randomised SVD: scikit-learn's default, but for very few components."""
LEAST_SINGULAR_VALUE = 1e-4
"""Singular value, relative to the largest, up to which a component is rounding: log counts have seven digits."""
MIN_VARIANCE = 1e-6
"""Least noise of a gene where nothing varies, so that its inverse stays finite."""
BRANCH_SCALE = 0.1
"""Factor of what the random blocks add at first, beside their LayerScale (ours)."""


class Components(NamedTuple):
    """A factor analysis of log counts."""

    mean_g: np.ndarray
    """Mean over the data sets of a gene's mean log count."""
    table_gk: np.ndarray
    """Loadings, each column of mean square 1, or 0 where the cells have no more components."""
    strength_k: np.ndarray
    """Factor of each column: the root mean square of a component's loadings."""
    noise_g: np.ndarray
    """Variance of a log count that the components leave."""


def gene_components(
    values_ng: np.ndarray, visible_ng: np.ndarray, panel_n: np.ndarray, n_components: int, seed: int
) -> Components:
    """Compute the components of log counts within data sets; genes are centred in each data set, not scaled.

    Parameters
    ----------
    values_ng, visible_ng
        Log counts, and where they were measured.
    panel_n
        (n,) data set, with a gene panel of its own, of each cell.
    n_components
        k.
    seed
        Seed of the randomised SVD.
    """
    panels = [panel_n == panel for panel in np.unique(panel_n)]
    mean_sg = np.stack([values_ng[indices].mean(0) for indices in panels])
    measured_sg = np.stack([visible_ng[indices].any(0) for indices in panels])
    n_sets_g = np.maximum(measured_sg.sum(0), 1)
    x_ng = np.zeros_like(values_ng, dtype=np.float32)
    for indices, mean_g in zip(panels, mean_sg, strict=True):
        x_ng[indices] = (values_ng[indices] - mean_g) * visible_ng[indices]
    k, n, g = min(n_components, *x_ng.shape), *x_ng.shape
    _, s_k, v_kg = randomized_svd(x_ng, k, n_iter=N_POWER_ITERATIONS, random_state=seed)
    table_gk, strength_k = np.zeros((g, n_components)), np.full(n_components, MIN_STRENGTH)
    table_gk[:, :k], strength_k[:k] = v_kg.T * np.sqrt(g), np.maximum(s_k / np.sqrt(n * g), MIN_STRENGTH)
    table_gk[:, :k][:, s_k <= LEAST_SINGULAR_VALUE * s_k[0]] = 0
    left_g = (x_ng**2).sum(0) / np.maximum(visible_ng.sum(0), 1) - np.square(table_gk * strength_k).sum(1)
    noise_g = NOISE_SHRINKAGE * left_g.mean() + (1 - NOISE_SHRINKAGE) * left_g
    mean_g = (mean_sg * measured_sg).sum(0) / n_sets_g
    found = mean_g, table_gk, strength_k, noise_g.clip(MIN_VARIANCE)
    return Components(*(np.asarray(part, dtype=np.float32) for part in found))


@torch.no_grad()
def initialize(module: TxFMModule, components: Components) -> None:
    """Initialize the gene embeddings and the cell token at components, and residual branches small, in place.

    Parameters
    ----------
    module
        Module with random weights and a component fit.
    components
        As many components as the gene embeddings are wide.
    """
    assert module.fit is not None
    mean_g, table_gk, strength_k, noise_g = (torch.from_numpy(part) for part in components)
    module.tokens.features.weight.copy_(table_gk)
    module.fit.initialize(mean_g, strength_k, noise_g)
    module.size_k.copy_((strength_k / strength_k[0]).sqrt())
    for block in module.transformer.blocks:
        for part in ("attention_scale", "feed_forward_scale"):
            block.get_parameter(part).mul_(BRANCH_SCALE)
