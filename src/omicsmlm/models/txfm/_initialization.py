"""Where TxFM starts, if not at random: components in the row's token.

The paper starts at random and trains on 1.4 million rows. With some thousand rows, a state that must first learn to gather
hundreds of tokens reads less off them than principal components do (``docs/experiments.md``). So, in the same network,

- embeddings of genes start at loadings of a factor analysis of the rows;
- the row's token starts as the row's components, fitted to what is shown of it (:class:`omicsmlm.nn.ComponentFit`);
- blocks start by adding little.

Everything is trained from there. The decoder starts at the mean row, as it does at random: solved for the components, it left
rows nothing to learn, and told less of genes.
"""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from ._module import TxFMModule

SHRUNK = 0.5
"""How far the noise of a gene is drawn to the mean noise."""
CALM = 0.1
"""What is left of what the random blocks add."""


class Components(NamedTuple):
    """A factor analysis of rows."""

    mean_g: np.ndarray
    """Mean over the data sets of a gene's mean log count."""
    table_gk: np.ndarray
    """Loadings, each column of mean square 1, or 0 where the rows have no more components."""
    strength_k: np.ndarray
    """What that column is to be multiplied by."""
    noise_g: np.ndarray
    """Variance of a log count that the components leave."""


def gene_components(
    values_ng: np.ndarray, visible_ng: np.ndarray, panel_n: np.ndarray, n_components: int, seed: int
) -> Components:
    """Find the components along which log counts differ within their data set; genes are centred, not scaled.

    Parameters
    ----------
    values_ng, visible_ng
        Log counts, and where they were profiled.
    panel_n
        (n,) data set of each row.
    n_components
        k.
    seed
        Seed of the randomised SVD.
    """
    panels = [panel_n == panel for panel in np.unique(panel_n)]
    mean_sg = np.stack([values_ng[indices].mean(0) for indices in panels])
    profiled_sg = np.stack([visible_ng[indices].any(0) for indices in panels])
    n_sets_g = np.maximum(profiled_sg.sum(0), 1)
    x_ng = np.zeros_like(values_ng, dtype=np.float32)
    for indices, mean_g in zip(panels, mean_sg, strict=True):
        x_ng[indices] = (values_ng[indices] - mean_g) * visible_ng[indices]
    k, n, g = min(n_components, *x_ng.shape), *x_ng.shape
    _, s_k, v_kg = randomized_svd(x_ng, k, n_iter=4, random_state=seed)
    table_gk, strength_k = np.zeros((g, n_components)), np.full(n_components, 1e-6)
    table_gk[:, :k], strength_k[:k] = v_kg.T * np.sqrt(g), np.maximum(s_k / np.sqrt(n * g), 1e-6)
    left_g = (x_ng**2).sum(0) / np.maximum(visible_ng.sum(0), 1) - np.square(table_gk * strength_k).sum(1)
    noise_g = SHRUNK * left_g.mean() + (1 - SHRUNK) * left_g
    mean_g = (mean_sg * profiled_sg).sum(0) / n_sets_g
    found = mean_g, table_gk, strength_k, noise_g.clip(max(0.05 * left_g.mean(), 1e-6))
    return Components(*(np.asarray(part, dtype=np.float32) for part in found))


@torch.no_grad()
def start(module: TxFMModule, components: Components) -> None:
    """Start the embeddings of genes and the row's token at components, and let blocks add little to them.

    Parameters
    ----------
    module
        Module that was made at random, with a fit of components.
    components
        Of as many components as the embeddings are wide.
    """
    assert module.fit is not None
    mean_g, table_gk, strength_k, noise_g = (torch.from_numpy(part) for part in components)
    module.tokens.features.weight.copy_(table_gk)
    module.fit.initialize(mean_g, strength_k, noise_g)
    module.size_k.copy_((strength_k / strength_k[0]).sqrt())
    for block in module.transformer.blocks:
        for part in ("attention_scale", "feed_forward_scale"):
            block.get_parameter(part).mul_(CALM)
