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

from ._config import KERNEL, MOJOConfig


class MOJOOutputs(NamedTuple):
    """Embedding and token predictions of a batch."""

    encoded: Encoded
    token_logits: dict[str, TokenLogits]
    """Per modality, the logits of any token, computed where they are asked for."""


class MOJOModule(Module):
    """Summed embeddings → stem → down tower → transformer (the embedding is its mean) → up tower → a head per modality.

    Parameters
    ----------
    modalities
        Names of the modalities.
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
        self.down = DownTower(c.width, c.n_levels, KERNEL)
        self.transformer = RotaryTransformer(c.width, c.n_heads, c.feed_width, c.n_blocks)
        self.up = UpTower(c.width, c.n_levels, KERNEL)
        self.heads = nn.ModuleList([TokenHead(c.width, c.n_bins) for _ in modalities])

    def encode(self, views: dict[str, Grid]) -> Encoded:
        """Return the embedding of a batch from its visible values."""
        return _pooled(self._downsampled(views)[0])

    def forward(self, views: dict[str, Grid], batch: Batch) -> MOJOOutputs:
        """Embed, upsample to every gene, and predict bins of tokens."""
        short_nsd, entered = self._downsampled(views)
        states_nld = self.up(short_nsd, entered)
        token_logits = {name: head(states_nld) for name, head in zip(self.modalities, self.heads, strict=True)}
        return MOJOOutputs(_pooled(short_nsd), token_logits)

    def initial_layer(self) -> list[nn.Parameter]:
        """Return the weights of the gene embedding, which fine-tuning may freeze."""
        return [self.embedding.features.get_parameter("weight")]

    def _downsampled(self, views: dict[str, Grid]) -> tuple[Tensor, list[Tensor]]:
        """Return the (n, s, d) outputs of the transformer, and the input of each level of the down tower, for the skips."""
        states_nld = nn.functional.gelu(self.stem(self.embedding(views)))
        short_nsd, entered = self.down(states_nld)
        return self.transformer(short_nsd), entered


def _pooled(short_nsd: Tensor) -> Encoded:
    """Return the mean over positions as an embedding without uncertainty."""
    mean_nd = short_nsd.mean(1)
    return Encoded(mean_nd, torch.zeros_like(mean_nd))
