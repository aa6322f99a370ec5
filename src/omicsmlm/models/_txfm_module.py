"""The network of TxFM."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

from omicsmlm._types import Batch, Encoded, Grid, Module
from omicsmlm.nn import ConcatenatedTokens, PackedTransformer, ResidualDecoder

from ._txfm_config import TxFMConfig

TOKENS = 1 << 17
"""Tokens that are embedded at once, about, so that embedding needs little memory however many genes there are."""
N_COMPONENTS = 50
"""Most principal components that the embeddings of genes start at."""
ATTENTION, CALM = 0.7, 0.1
"""At that start: how much more a gene is attended to that is found more than usual (per unit of a token's size), and what is
left of the random scores."""


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
        self.decoder = ResidualDecoder(c.width, c.n_decoder_layers, n_genes)
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes)) if c.loss == "negative binomial" else None
        self.register_buffer("order_g", torch.randperm(n_genes))

    def state(self, values_ng: Tensor, seen_ng: Tensor) -> Tensor:
        """Give the (n, d) state of each row's own token after the last block, from all that is seen at once."""
        return self.transformer.firsts(*self.tokens(values_ng, seen_ng))

    def encode(self, views: dict[str, Grid]) -> Encoded:
        """Embed what is seen of a batch, always alike: as ``config.embedded`` says."""
        grid = views[self.name]
        if self.config.embedded == "all":
            return _certain(self._of_parts(grid.values, grid.seen, [grid.seen]))
        return _certain(self._of_parts(grid.values, grid.seen, self._subsets(grid.seen)))

    def forward(self, views: dict[str, Grid], batch: Batch) -> Outputs:
        """Embed from all that is seen at once, and give the logits of every gene."""
        grid = views[self.name]
        state_nd = self._of_parts(grid.values, grid.seen, [grid.seen])
        return Outputs(_certain(state_nd), self.decoder(state_nd), self.log_dispersion)

    def _subsets(self, seen_ng: Tensor) -> Iterator[Tensor]:
        """Deal out what is seen of each row to as few subsets as training's views have room for; as equal as can be."""
        ordered_ng = seen_ng[:, self.order_g]
        n_seen_n1 = seen_ng.sum(1, keepdim=True)
        n_sets_n1 = (n_seen_n1 / self.config.n_shown(n_seen_n1).clamp(min=1)).ceil().long().clamp(min=1)
        place_ng = ordered_ng.cumsum(1) - 1
        set_ng = torch.where(ordered_ng, place_ng * n_sets_n1 // n_seen_n1.clamp(min=1), -1)
        set_ng = set_ng[:, self.order_g.argsort()]
        for s in range(int(n_sets_n1.max()) if len(seen_ng) else 0):
            yield set_ng == s

    def _of_parts(self, values_ng: Tensor, seen_ng: Tensor, parts: Iterator[Tensor] | Sequence[Tensor]) -> Tensor:
        """Average the states of parts of what is seen, over the parts in which a row has any; a row of nothing has one."""
        sum_nd: Tensor = torch.zeros((), device=values_ng.device)
        n_parts_n1 = torch.zeros(len(values_ng), 1, device=values_ng.device)
        for s, part_ng in enumerate(parts):
            counts_n1 = part_ng.any(1, keepdim=True) | (s == 0)
            sum_nd = sum_nd + counts_n1 * self._by_chunks(values_ng, part_ng)
            n_parts_n1 = n_parts_n1 + counts_n1
        return sum_nd / n_parts_n1 if len(values_ng) else values_ng.new_zeros(0, self.n_latent)

    def _by_chunks(self, values_ng: Tensor, seen_ng: Tensor) -> Tensor:
        """Give the states of rows, some at a time where no gradient needs them all."""
        if torch.is_grad_enabled() or not len(values_ng):
            return self.state(values_ng, seen_ng)
        longest = int(seen_ng.sum(1).max()) + 1
        chunks = zip(values_ng.split(n_rows := max(1, TOKENS // longest)), seen_ng.split(n_rows), strict=True)
        return torch.cat([self.state(*chunk) for chunk in chunks])

    @torch.no_grad()
    def start(self, logit_g: Tensor, component_gk: np.ndarray | None) -> None:
        """Start the decoder at the logits of the mean row, and the embeddings of genes at what is known of each.

        Parameters
        ----------
        logit_g
            Logits of the mean row; positive, so that gradients are alive.
        component_gk
            What is known of each gene: the first dimensions of its embedding; others stay random. None to leave all of them
            random.
        """
        self.decoder.start(logit_g)
        if component_gk is not None:
            k = min(component_gk.shape[1], self.n_latent - 1)
            self.tokens.features.weight[:, :k] = torch.from_numpy(component_gk[:, :k])
            self._listen(k - 1)

    def _listen(self, n_components: int) -> None:
        r"""Let the first block begin by hearing components: it attends to genes that are found more than they usually are.

        With the score :math:`a (x_g - \bar x_g)` and the loadings :math:`v_g` as values, what is heard of K genes is nearly
        :math:`\bar v + \frac{a}{K} \sum_g (x_g - \bar x_g) v_g`, a principal component of what is shown.
        """
        attention = self.transformer.get_submodule("blocks.0.attention")
        query, key, value, out = (attention.get_submodule(part) for part in ("query", "key", "value", "out"))
        first_h = torch.arange(0, self.n_latent, self.n_latent // self.config.n_heads)
        for layer in (query, key):
            layer.get_parameter("weight").mul_(CALM)
            layer.get_parameter("bias").zero_()
        query.get_parameter("bias")[first_h] = (self.n_latent / self.config.n_heads) ** 0.5
        key.get_parameter("weight")[first_h] = 0
        key.get_parameter("weight")[first_h, -1] = ATTENTION
        key.get_parameter("weight")[first_h, 0] = -ATTENTION
        value.get_parameter("weight")[:n_components] = torch.eye(self.n_latent)[1 : n_components + 1]
        out.get_parameter("weight").copy_(torch.eye(self.n_latent))

    def initial_layer(self) -> list[nn.Parameter]:
        """Give the embeddings of the genes."""
        return list(self.tokens.features.parameters())


def gene_components(values_ng: np.ndarray, seen_ng: np.ndarray, panel_n: np.ndarray, seed: int) -> np.ndarray:
    """Give each gene's mean, and its loadings on the principal components of rows.

    Parameters
    ----------
    values_ng, seen_ng
        Log counts, and where they were profiled; a gene is standardised within each data set, and 0 where not profiled.
    panel_n
        (n,) data set of each row.
    seed
        Seed of the randomised SVD.

    Returns
    -------
    numpy.ndarray
        (g, 1 + k) float32: the mean where it was profiled, in the units of the values that stand beside it in a token; then
        k loadings, each column of mean square 1. k is at most ``N_COMPONENTS`` and the rank.
    """
    x_ng = np.zeros_like(values_ng, dtype=np.float32)
    for panel in np.unique(panel_n):
        rows = panel_n == panel
        centred_ng = (values_ng[rows] - values_ng[rows].mean(0)) * seen_ng[rows]
        deviation_g = centred_ng.std(0)
        x_ng[rows] = np.divide(centred_ng, deviation_g, out=np.zeros_like(centred_ng), where=deviation_g > 1e-6)
    k = min(N_COMPONENTS, *x_ng.shape)
    _, _, vt_kg = randomized_svd(x_ng, k, n_iter=4, random_state=seed)
    mean_g = values_ng.sum(0) / np.maximum(seen_ng.sum(0), 1)
    return np.column_stack([mean_g, vt_kg.T * np.sqrt(x_ng.shape[1])]).astype(np.float32)


def _certain(state_nd: Tensor) -> Encoded:
    return Encoded(state_nd, torch.zeros_like(state_nd))
