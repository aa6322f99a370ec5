"""The network of TxFM."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from omicsmlm._types import Batch, Encoded, FewVisible, Grid, Module
from omicsmlm.nn import ComponentFit, ConcatenatedTokens, PackedTransformer, ResidualDecoder

from ._config import TxFMConfig

MAX_TOKENS = 2**17
"""Tokens that are embedded at once, about: with 64 to 1,024 dimensions, states of 32 to 512 MiB however many genes there are."""


class TxFMOutputs(NamedTuple):
    """Embedding and predicted logits of a batch."""

    encoded: Encoded
    logits: Tensor
    """(n, g): of every gene of the vocabulary."""
    log_dispersion: Tensor | None
    """(g,): log inverse dispersion of each gene, where the loss has one."""


class TxFMModule(Module):
    """Tokens of (gene embedding, value) and a cell token → transformer → state of the cell token → a logit per gene.

    Parameters
    ----------
    name
        The modality.
    n_genes
        Genes in the vocabulary.
    config
        Hyper-parameters.
    """

    order_g: Tensor
    size_k: Tensor

    def __init__(self, name: str, n_genes: int, config: TxFMConfig) -> None:
        super().__init__()
        c = config
        self.name, self.n_latent, self.config = name, c.width, c
        self.tokens = ConcatenatedTokens(n_genes, c.width)
        self.transformer = PackedTransformer(
            c.width,
            c.n_layers,
            c.n_heads,
            c.feed_forward * c.width,
            layer_scale=c.layer_scale,
            stochastic_depth=c.stochastic_depth,
        )
        self.fit = ComponentFit(n_genes, c.width - 1) if c.gene_start == "components" else None
        self.decoder = ResidualDecoder(c.width, c.n_decoder_layers, n_genes)
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes)) if c.loss == "negative binomial" else None
        self.register_buffer("order_g", torch.randperm(n_genes))
        self.register_buffer("size_k", torch.ones(c.width - 1))

    def state(
        self, values_ng: Tensor, visible_ng: Tensor, first_nd: Tensor | None = None, most: int | None = None
    ) -> Tensor:
        """Return the (n, d) state of each cell token after the last block, from all visible genes at once.

        Parameters
        ----------
        values_ng, visible_ng
            Log counts, and which of them are visible.
        first_nd
            What is added to the cell token's embedding; by default :meth:`initial_state` of what is visible.
        most
            Most genes that are visible of a cell; None for all.
        """
        most = visible_ng.shape[1] if most is None else most
        x_td, offsets = self.tokens(values_ng, visible_ng, most)
        first_nd = self.initial_state(values_ng, visible_ng) if first_nd is None else first_nd
        if first_nd is not None:
            x_td = x_td.index_add(0, offsets[:-1], first_nd.to(x_td.dtype))
        return self.transformer.firsts(x_td, offsets, longest=most + 1)

    def initial_state(self, values_ng: Tensor, visible_ng: Tensor, most: int | None = None) -> Tensor | None:
        """Return the components of cells, scaled and padded to (n, d), that are added to their tokens; None without a fit."""
        if self.fit is None:
            return None
        component_nk = self.fit(values_ng, visible_ng, self.tokens.features.weight, most)
        return nn.functional.pad(component_nk * self.size_k, (0, 1))

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Return the embedding of a batch, deterministically, from subsets of its genes or all at once (``config.embedded``)."""
        grid = views[self.name]
        if self.config.embedded == "all":
            return _without_uncertainty(self._mean_state(grid, [grid.visible], _max_visible(grid)))
        most = int(self.config.n_visible_of(torch.tensor([grid.visible.shape[1]])))
        return _without_uncertainty(self._mean_state(grid, self._subsets(grid.visible), most))

    def forward(self, views: dict[str, Any], batch: Batch) -> TxFMOutputs:
        """Embed from all visible genes at once, and predict the logits of every gene."""
        grid = views[self.name]
        state_nd = self._mean_state(grid, [grid.visible], _max_visible(grid))
        return TxFMOutputs(_without_uncertainty(state_nd), self.decoder(state_nd), self.log_dispersion)

    def _subsets(self, visible_ng: Tensor) -> Iterator[Tensor]:
        """Yield disjoint subsets of each cell's visible genes, (n, g) bool, as few as training's views have room for.

        A cell's subsets differ in size by at most one gene; cells with fewer subsets than others have empty ones at the end.
        """
        ordered_ng = visible_ng[:, self.order_g]
        n_visible_n1 = visible_ng.sum(1, keepdim=True)
        n_sets_n1 = (n_visible_n1 / self.config.n_visible_of(n_visible_n1).clamp(min=1)).ceil().long().clamp(min=1)
        place_ng = ordered_ng.cumsum(1) - 1
        set_ng = torch.where(ordered_ng, place_ng * n_sets_n1 // n_visible_n1.clamp(min=1), -1)
        set_ng = set_ng[:, self.order_g.argsort()]
        for s in range(int(n_sets_n1.max()) if len(visible_ng) else 0):
            yield set_ng == s

    def _mean_state(
        self, grid: Grid | FewVisible, parts: Iterator[Tensor] | Sequence[Tensor], most: int | None
    ) -> Tensor:
        """Return the mean state over parts of the visible genes, of those parts that have any of the cell's.

        Each part's cell token starts with the components of all parts. A cell without visible genes has one, empty, part. No
        part has more than ``most`` genes of a cell.
        """
        values_ng = grid.values
        if not len(values_ng):
            return values_ng.new_zeros(0, self.n_latent)
        first_nd = self.initial_state(values_ng, grid.visible, _max_visible(grid))
        sum_nd: Tensor = torch.zeros((), device=values_ng.device)
        n_parts_n1 = torch.zeros(len(values_ng), 1, device=values_ng.device)
        for s, part_ng in enumerate(parts):
            counts_n1 = part_ng.any(1, keepdim=True) | (s == 0)
            sum_nd = sum_nd + counts_n1 * self._by_chunks(values_ng, part_ng, first_nd, most)
            n_parts_n1 = n_parts_n1 + counts_n1
        return sum_nd / n_parts_n1

    def _by_chunks(self, values_ng: Tensor, visible_ng: Tensor, first_nd: Tensor | None, most: int | None) -> Tensor:
        """Return the states of cells, computed some at a time where no gradient needs them all."""
        if torch.is_grad_enabled():
            return self.state(values_ng, visible_ng, first_nd, most)
        most = int(visible_ng.sum(1).max()) if most is None else most
        n_cells = max(1, MAX_TOKENS // (most + 1))
        parts = []
        for first_cell in range(0, len(values_ng), n_cells):
            own = slice(first_cell, first_cell + n_cells)
            first = None if first_nd is None else first_nd[own]
            parts.append(self.state(values_ng[own], visible_ng[own], first, most))
        return torch.cat(parts)

    def initial_layer(self) -> list[nn.Parameter]:
        """Return the gene embeddings and the parameters of the component fit, which fine-tuning may freeze."""
        return [*self.tokens.features.parameters(), *([] if self.fit is None else self.fit.parameters())]


def _max_visible(grid: Grid | FewVisible) -> int | None:
    """Return the largest number of visible genes of a cell, where the host knows it."""
    return grid.most if isinstance(grid, FewVisible) else None


def _without_uncertainty(state_nd: Tensor) -> Encoded:
    return Encoded(state_nd, torch.zeros_like(state_nd))
