"""The network of MOJO."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from omicsmlm._types import Batch, Encoded, Grid, Module
from omicsmlm.nn import (
    AxisConvolution,
    AxisEmbedding,
    DownTower,
    RotaryTransformer,
    TokenHead,
    TokenLogits,
    UpTower,
)

from ._config import MOJOConfig


class Outputs(NamedTuple):
    """What the module makes of a batch."""

    encoded: Encoded
    token_logits: dict[str, TokenLogits]
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
        self.heads = nn.ModuleList([TokenHead(c.width, c.n_bins) for _ in modalities])

    def encode(self, views: dict[str, Grid]) -> Encoded:
        """Embed what is seen of a batch."""
        return _pooled(self._shortened(views)[0])

    def forward(self, views: dict[str, Grid], batch: Batch) -> Outputs:
        """Embed, and lead back to every gene."""
        short_nsd, entered = self._shortened(views)
        states_nld = self.up(short_nsd, entered)
        token_logits = {name: head(states_nld) for name, head in zip(self.modalities, self.heads, strict=True)}
        return Outputs(_pooled(short_nsd), token_logits)

    def initial_layer(self) -> list[nn.Parameter]:
        """Give the gene embedding."""
        return [self.embedding.features.get_parameter("weight")]

    def _shortened(self, views: dict[str, Grid]) -> tuple[Tensor, list[Tensor]]:
        """Give (n, s, d) outputs of the transformer, and what entered each level of the down tower."""
        states_nld = nn.functional.gelu(self.stem(self.embedding(views)))
        short_nsd, entered = self.down(states_nld)
        return self.transformer(short_nsd), entered


def _pooled(short_nsd: Tensor) -> Encoded:
    mean_nd = short_nsd.mean(1)
    return Encoded(mean_nd, torch.zeros_like(mean_nd))
