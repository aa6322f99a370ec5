"""The network of MOJO."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._types import Batch, Encoded, Grid, Module
from omicsmlm.nn import (
    APPROXIMATION,
    AxisConvolution,
    AxisEmbedding,
    DownTower,
    RotaryTransformer,
    TokenHead,
    TokenLogits,
    UpTower,
)

from ._config import KERNEL, MOJOConfig
from ._row import RowState


class MOJOOutputs(NamedTuple):
    """Embedding and predictions of a batch."""

    encoded: Encoded
    token_logits: dict[str, TokenLogits]
    """Per modality, the logits of any token, computed where they are asked for."""
    values: dict[str, Tensor]
    """(n, g) per modality: standardised values that the state of the sample predicts; nothing where there is no such state."""


class MOJOModule(Module):
    """Summed embeddings → stem → down tower → transformer → up tower → a head per modality.

    The embedding is the mean over the transformer's outputs, as published, or that of a :class:`RowState`, which also enters the
    up tower, and the heads by the values that it predicts.

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
        self.n_latent = c.row_width or c.width
        self.modalities = list(modalities)
        self.approximation = APPROXIMATION[c.layers]
        n_positions = c.n_positions(n_genes)
        self.embedding = AxisEmbedding(modalities, c.n_bins, n_genes, n_positions, c.gene_width, c.token_width)
        self.stem = AxisConvolution(c.genes_per_position * c.token_width, c.width, c.stem_kernel)
        self.down = DownTower(c.width, c.n_levels, KERNEL, c.layers)
        self.transformer = RotaryTransformer(c.width, c.n_heads, c.feed_width, c.n_blocks)
        self.up = UpTower(c.width, c.n_levels, KERNEL, c.layers)
        self.heads = nn.ModuleList([TokenHead(c.width, c.n_bins, c.layers) for _ in modalities])
        self.patches = Patches(c.genes_per_position, c.token_width, c.width) if c.genes_per_position > 1 else None
        self.row = RowState(modalities, n_genes, c.n_bins, c.row_width, c.width) if c.row_width else None

    def encode(self, views: dict[str, Grid]) -> Encoded:
        """Return the embedding of a batch from its visible values."""
        mean_nd = self._downsampled(self.embedding(views))[0].mean(1)
        return _exact(mean_nd if self.row is None else self.row.readout(self.row(views, mean_nd)))

    def row_state(self, views: dict[str, Grid]) -> Tensor:
        """Return the (n, k) state of each sample, which the embedding is read from; there must be one."""
        assert self.row is not None
        return self.row(views, self._downsampled(self.embedding(views))[0].mean(1))

    def forward(self, views: dict[str, Grid], batch: Batch) -> MOJOOutputs:
        """Embed, upsample to every gene, and predict bins of tokens."""
        tokens_nlw = self.embedding(views)
        short_nsd, entered = self._downsampled(tokens_nlw)
        mean_nd, values = short_nsd.mean(1), dict[str, Tensor]()
        if self.row is None:
            encoded = _exact(mean_nd)
        else:
            state_nk = self.row(views, mean_nd)
            encoded, values = _exact(self.row.readout(state_nk)), self.row.predicted(state_nk)
            short_nsd = short_nsd + self.row.to_short(state_nk)[:, None]
        states_nld = self.up(short_nsd, entered)
        if self.patches is not None:
            states_nld = self.patches.divided(states_nld, tokens_nlw)
        token_logits = {}
        for m, (name, head) in enumerate(zip(self.modalities, self.heads, strict=True)):
            informed_nld = states_nld
            if self.row is not None:
                value_nl = F.pad(values[name], (0, states_nld.shape[1] - values[name].shape[1]))
                informed_nld = torch.addcmul(states_nld, value_nl[:, :, None], self.row.value_directions[m])
            token_logits[name] = head(informed_nld)
        return MOJOOutputs(encoded, token_logits, values)

    def initial_layer(self) -> list[nn.Parameter]:
        """Return the weights of the single genes, which fine-tuning may freeze."""
        own = [self.embedding.features.get_parameter("weight")]
        return own if self.row is None else [*own, *self.row.weights]

    def _downsampled(self, tokens_nlw: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the (n, s, d) outputs of the transformer, and the input of each level of the down tower, for the skips."""
        if self.patches is not None:
            tokens_nlw = self.patches.joined(tokens_nlw)
        states_nld = F.gelu(self.stem(tokens_nlw), approximate=self.approximation)
        short_nsd, entered = self.down(states_nld)
        return self.transformer(short_nsd), entered


class Patches(nn.Module):
    """Joins neighbouring genes to one position before the towers, and divides each position into its genes after them.

    Parameters
    ----------
    n_genes
        Genes of a position, p.
    token_width, width
        Widths of tokens, w, and of the towers, d.
    """

    def __init__(self, n_genes: int, token_width: int, width: int) -> None:
        super().__init__()
        self.n_genes = n_genes
        self.of_position = nn.Linear(width, n_genes * width)
        self.of_token = nn.Linear(token_width, width)

    def joined(self, tokens_nlw: Tensor) -> Tensor:
        """Return the tokens of a position behind one another, (n, l / p, p w)."""
        return tokens_nlw.unflatten(1, (-1, self.n_genes)).flatten(2)

    def divided(self, states_nsd: Tensor, tokens_nlw: Tensor) -> Tensor:
        """Return states of all genes, (n, l, d), from those of the positions, l / p, and the genes' own tokens."""
        parts_nspd = self.of_position(states_nsd).unflatten(2, (self.n_genes, -1))
        return parts_nspd.flatten(1, 2) + self.of_token(tokens_nlw)


def _exact(embedding_nd: Tensor) -> Encoded:
    """Return an embedding without uncertainty."""
    return Encoded(embedding_nd, torch.zeros_like(embedding_nd))
