"""The network of TxFM."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from omicsmlm._types import Batch, Encoded, FewVisible, Grid, Module
from omicsmlm.nn import ComponentFit, ConcatenatedTokens, PackedTransformer, ResidualDecoder

from ._config import TxFMConfig

TOKENS = 1 << 17
"""Tokens that are embedded at once, about, so that embedding needs little memory however many genes there are."""


class Outputs(NamedTuple):
    """What the module makes of a batch."""

    encoded: Encoded
    logits: Tensor
    """(n, g): of every gene of the vocabulary."""
    log_dispersion: Tensor | None
    """(g,): log inverse dispersion of each gene, where the loss has one."""


class TxFMModule(Module):
    """Tokens of (gene embedding, value) and one of the row → transformer → state of the row's token → a logit per gene.

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
        """Give the (n, d) state of each row's own token after the last block, from all that is seen at once.

        Parameters
        ----------
        values_ng, visible_ng
            Log counts, and which of them are seen.
        first_nd
            What the row's token starts with beside what it always does; by default :meth:`first` of what is seen.
        most
            Most genes that are seen of a row; None for all.
        """
        most = visible_ng.shape[1] if most is None else most
        x_td, offsets = self.tokens(values_ng, visible_ng, most)
        first_nd = self.first(values_ng, visible_ng) if first_nd is None else first_nd
        if first_nd is not None:
            x_td = x_td.index_add(0, offsets[:-1], first_nd.to(x_td.dtype))
        return self.transformer.firsts(x_td, offsets, longest=most + 1)

    def first(self, values_ng: Tensor, visible_ng: Tensor, most: int | None = None) -> Tensor | None:
        """Give the components of rows, sized and padded to (n, d), that their tokens start with; None where they do not."""
        if self.fit is None:
            return None
        component_nk = self.fit(values_ng, visible_ng, self.tokens.features.weight, most)
        return nn.functional.pad(component_nk * self.size_k, (0, 1))

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed what is seen of a batch, always alike: as ``config.embedded`` says."""
        grid = views[self.name]
        if self.config.embedded == "all":
            return _certain(self._of_parts(grid, [grid.visible], _most(grid)))
        most = int(self.config.n_shown(torch.tensor([grid.visible.shape[1]])))
        return _certain(self._of_parts(grid, self._subsets(grid.visible), most))

    def forward(self, views: dict[str, Any], batch: Batch) -> Outputs:
        """Embed from all that is seen at once, and give the logits of every gene."""
        grid = views[self.name]
        state_nd = self._of_parts(grid, [grid.visible], _most(grid))
        return Outputs(_certain(state_nd), self.decoder(state_nd), self.log_dispersion)

    def _subsets(self, visible_ng: Tensor) -> Iterator[Tensor]:
        """Deal out what is seen of each row to as few subsets as training's views have room for; as equal as can be."""
        ordered_ng = visible_ng[:, self.order_g]
        n_visible_n1 = visible_ng.sum(1, keepdim=True)
        n_sets_n1 = (n_visible_n1 / self.config.n_shown(n_visible_n1).clamp(min=1)).ceil().long().clamp(min=1)
        place_ng = ordered_ng.cumsum(1) - 1
        set_ng = torch.where(ordered_ng, place_ng * n_sets_n1 // n_visible_n1.clamp(min=1), -1)
        set_ng = set_ng[:, self.order_g.argsort()]
        for s in range(int(n_sets_n1.max()) if len(visible_ng) else 0):
            yield set_ng == s

    def _of_parts(
        self, grid: Grid | FewVisible, parts: Iterator[Tensor] | Sequence[Tensor], most: int | None
    ) -> Tensor:
        """Average the states of parts of what is seen, over the parts in which a row has any; a row of nothing has one.

        The row's token starts, in each part, with what is known from all parts. No part has more than ``most`` genes of a row.
        """
        values_ng = grid.values
        if not len(values_ng):
            return values_ng.new_zeros(0, self.n_latent)
        first_nd = self.first(values_ng, grid.visible, _most(grid))
        sum_nd: Tensor = torch.zeros((), device=values_ng.device)
        n_parts_n1 = torch.zeros(len(values_ng), 1, device=values_ng.device)
        for s, part_ng in enumerate(parts):
            counts_n1 = part_ng.any(1, keepdim=True) | (s == 0)
            sum_nd = sum_nd + counts_n1 * self._by_chunks(values_ng, part_ng, first_nd, most)
            n_parts_n1 = n_parts_n1 + counts_n1
        return sum_nd / n_parts_n1

    def _by_chunks(self, values_ng: Tensor, visible_ng: Tensor, first_nd: Tensor | None, most: int | None) -> Tensor:
        """Give the states of rows, some at a time where no gradient needs them all."""
        if torch.is_grad_enabled():
            return self.state(values_ng, visible_ng, first_nd, most)
        most = int(visible_ng.sum(1).max()) if most is None else most
        n_rows = max(1, TOKENS // (most + 1))
        parts = []
        for start in range(0, len(values_ng), n_rows):
            own = slice(start, start + n_rows)
            first = None if first_nd is None else first_nd[own]
            parts.append(self.state(values_ng[own], visible_ng[own], first, most))
        return torch.cat(parts)

    def initial_layer(self) -> list[nn.Parameter]:
        """Give the embeddings of the genes, and what the fit of components knows of them."""
        return [*self.tokens.features.parameters(), *([] if self.fit is None else self.fit.parameters())]


def _most(grid: Grid | FewVisible) -> int | None:
    """Give the most genes that are seen of a row, where that is known."""
    return grid.most if isinstance(grid, FewVisible) else None


def _certain(state_nd: Tensor) -> Encoded:
    return Encoded(state_nd, torch.zeros_like(state_nd))
