"""The network of MOJO."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omicsmlm._types import Batch, Encoded, Grid, Module
from omicsmlm.nn import (
    AxisConvolution,
    AxisEmbedding,
    DownTower,
    RotaryTransformer,
    TokenHead,
    TokenReading,
    UpTower,
)

from ._mojo_config import MOJOConfig

COMPONENT_ROWS = 2000
"""Rows of each modality from which the components are taken; a random sample where there are more."""


class Outputs(NamedTuple):
    """What the module makes of a batch."""

    encoded: Encoded
    readings: dict[str, TokenReading]
    """Per modality, what its head says of any token."""


class MOJOModule(Module):
    """Summed embeddings → stem → down tower → transformer (the embedding is its mean) → up tower → a head per modality.

    Parameters
    ----------
    modalities
        Their names.
    n_genes
        Genes on the axis.
    config
        Hyper-parameters.
    """

    def __init__(self, modalities: Sequence[str], n_genes: int, config: MOJOConfig) -> None:
        super().__init__()
        c = config
        self.n_latent = c.width
        self.modalities = list(modalities)
        n_positions = c.n_positions(n_genes)
        self.embedding = AxisEmbedding(modalities, c.n_bins, n_genes, n_positions, c.gene_width, c.token_width)
        self.stem = AxisConvolution(c.token_width, c.width, c.stem_kernel)
        self.down = DownTower(c.width, c.n_levels, c.kernel)
        self.transformer = RotaryTransformer(c.width, c.n_heads, c.feed_width, c.n_blocks)
        self.up = UpTower(c.width, c.n_levels, c.kernel)
        self.heads = torch.nn.ModuleList([TokenHead(c.width, c.n_bins) for _ in modalities])

    def encode(self, views: dict[str, Grid]) -> Encoded:
        """Embed what is seen of a batch."""
        return _pooled(self._shortened(views)[0])

    def forward(self, views: dict[str, Grid], batch: Batch) -> Outputs:
        """Embed, and lead back to every gene."""
        short_nsd, entered = self._shortened(views)
        states_nld = self.up(short_nsd, entered)
        readings = {name: head(states_nld) for name, head in zip(self.modalities, self.heads, strict=True)}
        return Outputs(_pooled(short_nsd), readings)

    def _shortened(self, views: dict[str, Grid]) -> tuple[Tensor, list[Tensor]]:
        """Give (n, s, d) outputs of the transformer, and what entered each level of the down tower."""
        states_nld = torch.nn.functional.gelu(self.stem(self.embedding(views)))
        short_nsd, entered = self.down(states_nld)
        return self.transformer(short_nsd), entered

    @torch.no_grad()
    def start(self, grids: Sequence[dict[str, Grid]], seed: int) -> None:
        """Start the gene embedding at the genes' loadings on principal components of some rows, each of variance 1.

        The rows of all modalities stand below one another, as standardised bins, 0 where not seen: a gene's loadings tell
        which genes it goes with in any of them. Dimensions beyond the rank stay random.
        """
        rng = np.random.default_rng(seed)
        blocks = [_standardised([grid[name] for grid in grids], rng) for name in self.modalities]
        x_ng = np.concatenate(blocks)
        genes_kg = np.linalg.svd(x_ng, full_matrices=False)[2] if len(x_ng) else x_ng
        k = min(self.embedding.features.embedding_dim, len(genes_kg))
        n_genes = self.embedding.n_features
        loadings_gk = torch.from_numpy(genes_kg[:k].T.copy()) * n_genes**0.5
        self.embedding.features.weight[:n_genes, :k] = loadings_gk


def _pooled(short_nsd: Tensor) -> Encoded:
    mean_nd = short_nsd.mean(1)
    return Encoded(mean_nd, torch.zeros_like(mean_nd))


def _standardised(grids: Sequence[Grid], rng: np.random.Generator) -> np.ndarray:
    """Give (n, g) float32 of rows that have a modality: centred and of variance 1 per gene, 0 where not seen."""
    values_ng = torch.cat([grid.values for grid in grids]).numpy()
    seen_ng = torch.cat([grid.seen for grid in grids]).numpy()
    has = np.flatnonzero(seen_ng.any(1))
    if len(has) > COMPONENT_ROWS:
        has = np.sort(rng.choice(has, COMPONENT_ROWS, replace=False))
    values_ng, seen_ng = values_ng[has], seen_ng[has]
    n_g = np.maximum(seen_ng.sum(0), 1)
    centred_ng = (values_ng - (values_ng * seen_ng).sum(0) / n_g) * seen_ng
    deviation_g = np.sqrt(np.square(centred_ng).sum(0) / n_g)
    return np.divide(centred_ng, deviation_g, out=np.zeros_like(centred_ng), where=deviation_g > 1e-6)
