"""The network of ScMBERT."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._types import Batch, Encoded, Grid, Kind, TokenSet, masked_positions, obs_of
from omicsmlm.models.base import N_DIRECTIONS, N_SAMPLED, Batches, ComponentModule
from omicsmlm.nn import (
    Decoded,
    Fitting,
    FoldSizes,
    LatentHead,
    LatentTransformer,
    PackedTransformer,
    TokenLayout,
    TokenSummary,
    ValueBins,
    drawn,
    initial_components,
    only_present,
    ridge_estimates,
)

from ._cell_tokens import with_lengths, without
from ._config import LINEAR_POWER, LINEAR_SCALE, LINKED_POWER, RESIDUAL_SCALE, ScMBERTConfig


class ScMBERTOutputs(NamedTuple):
    """Embedding, reconstruction and token predictions of a batch."""

    encoded: Encoded
    decoded: dict[str, Decoded]
    batch_logits: Tensor | None
    value_logits: dict[str, Tensor]
    """(s, b) per modality: bins of the masked values."""
    modality_logits: dict[str, Tensor]
    """(t, m) per modality: the modality of each token."""


class TransformerStates(NamedTuple):
    """Outputs of the transformer for a batch."""

    summed_nd: Tensor
    """Sum of each cell's tokens: the embedding of its cell token."""
    cell_nd: Tensor
    """State of each cell token."""
    tokens: dict[str, Tensor]
    """(t, d) per modality: states of the tokens."""


class ScMBERTModule(ComponentModule):
    """Tokens of feature + value bin + modality, and a cell token → transformer → readout, and heads for tokens and cells.

    Parameters
    ----------
    kinds
        Kind of each modality.
    n_features
        Features in the vocabulary of each modality.
    chosen
        Positions in the vocabulary of the features that are summed, and reconstructed, per modality.
    n_categories
        Categories of each covariate, the batch first.
    config
        Hyper-parameters.
    is_exact
        Whether attention is exact, or goes through latents.
    n_fixed
        Batches of the reference, where a query has brought others.
    n_reference
        Rows whose embedding is kept, for queries to be aligned with.
    folds
        Folds of the cells that it is initialised with.
    """

    def __init__(
        self,
        kinds: dict[str, Kind],
        n_features: Mapping[str, int],
        chosen: Mapping[str, Tensor],
        n_categories: list[int],
        config: ScMBERTConfig,
        *,
        is_exact: bool,
        n_fixed: int | None = None,
        n_reference: int = 0,
        folds: FoldSizes = FoldSizes(),  # noqa: B008  # an immutable record
    ) -> None:
        super().__init__()
        c, d = config, config.width
        self.kinds = kinds
        for m, name in enumerate(kinds):
            self.register_buffer(f"chosen_{m}", chosen[name], persistent=False)
        n_chosen = {name: len(chosen[name]) for name in kinds}
        self._set_up_cross_fitting(n_chosen, min(d, N_DIRECTIONS), folds)
        n_bins = {name: c.n_bins_of(kind) for name, kind in kinds.items()}
        self.bins = ValueBins(kinds, n_bins, per_cell=c.bins_per_cell)
        self.summary = TokenSummary(kinds, n_features, d)
        self.value_of_bin = nn.Embedding(len(self.bins), d)
        self.modality = nn.ParameterList([torch.randn(d) for _ in kinds])
        self.mask_feature = nn.Parameter(torch.randn(d))
        shape = c.n_layers, c.n_heads, c.feed_forward, c.dropout, c.layer_scale
        self.transformer: PackedTransformer | LatentTransformer = (
            PackedTransformer(d, *shape) if is_exact else LatentTransformer(d, c.n_latents, *shape)
        )
        self.readout = LatentHead(d, c.n_nonlinear, c.n_linear, c.dropout)
        self.norm, self.row_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.values = nn.ModuleList([nn.Linear(2 * d, self.bins.n_bins[name] + 1) for name in kinds])
        self.modality_read = nn.ParameterList([d**-0.5 * torch.randn(d) for _ in kinds])
        self._set_up_decoder(
            d,
            n_chosen,
            N_SAMPLED,
            Batches(n_categories, n_fixed, n_reference),
            has_adversary=c.cell_weight > 0,
        )

    def visible_bins(self, parts: dict[str, TokenSet]) -> dict[str, Tensor]:
        """Return the bin of each token, (t,) per modality, as the transformer sees it: that of masked values where masked."""
        return {name: self.bins(name, part, obs_of(part)) for name, part in parts.items()}

    def states(self, parts: dict[str, TokenSet], fold_n: Tensor | None = None) -> TransformerStates:
        """Return the states of the tokens of each cell, of given folds, and of its cell token, whose embedding is their sum."""
        summed_nd, x_td, layout = self._joined(parts, fold_n)
        x_td = self.transformer(x_td, layout.offsets, layout.lengths)
        return TransformerStates(
            summed_nd, x_td[layout.first_n], {name: x_td[place_t] for name, place_t in layout.places.items()}
        )

    def _joined(self, parts: dict[str, TokenSet], fold_n: Tensor | None = None) -> tuple[Tensor, Tensor, TokenLayout]:
        """Return the sum of each cell's tokens, the packed tokens of all cells, and their layout."""
        parts = with_lengths(parts)
        indices, bins = {name: obs_of(part) for name, part in parts.items()}, self.visible_bins(parts)
        levels = {name: self.bins.level(name)[bins[name]] for name in parts}
        added = None
        if self.cross_fitting is not None and fold_n is not None:
            scaled = {
                name: self.summary.scaled(name, parts[name], levels[name], indices[name], self.chosen(name))
                for name in self.kinds
            }
            added = {name: self.cross_fitting(name, scaled[name], fold_n) for name in self.kinds}
        summed_nd = self.summary(parts, levels, indices, added)
        tokens = {name: self._tokens(m, name, part.ids, bins[name]) for m, (name, part) in enumerate(parts.items())}
        layout = TokenLayout.of(parts, indices)
        return summed_nd, layout.join(summed_nd, tokens), layout

    def _tokens(self, m: int, name: str, ids: Tensor, bins_t: Tensor) -> Tensor:
        """Return the (t, d) embeddings of the m-th modality's tokens; ``ids`` are -1 where the feature is masked."""
        known_t1 = (ids >= 0)[:, None]
        feature_td = self.summary.table(name)[ids.clamp(min=0)] + self.modality[m]
        return torch.where(known_t1, feature_td, self.mask_feature) + self.value_of_bin(bins_t)

    def chosen(self, name: str) -> Tensor:
        """Return the positions in the vocabulary of the features of a modality that are summed, and reconstructed, (g,) int64."""
        return self.get_buffer(f"chosen_{list(self.kinds).index(name)}")

    def encode(self, views: dict[str, TokenSet], fold_n: Tensor | None = None) -> Encoded:
        """Return the embedding of the visible part of a batch, of cells of given folds; it depends on no covariate."""
        summed_nd, x_td, layout = self._joined(views, fold_n)
        encoded = self.readout(summed_nd, self.transformer.firsts(x_td, layout.offsets, layout.lengths))
        return self._matched(encoded, {name: part.present for name, part in views.items()})

    def unaligned(self, views: dict[str, TokenSet], batch: Batch) -> Encoded:
        """Return the embedding where no batch is moved; cells that it was initialised with are estimated by other folds."""
        return self.encode(views, self.folds(batch))

    def forward(self, parts: dict[str, TokenSet], batch: Batch) -> ScMBERTOutputs:
        """Embed; predict masked values and modalities from the states of their tokens, and the cell from its latent."""
        states = self.states(parts, self.folds(batch))
        unmoved = self.readout(states.summed_nd, states.cell_nd)
        encoded = self.aligned(self._matched(unmoved, {name: part.present for name, part in parts.items()}), batch)
        draws = batch.draws if self.training else None
        z_nd = drawn(encoded, draws)
        return ScMBERTOutputs(
            encoded=encoded,
            decoded=self.decoder(z_nd, batch.covariates, draws),
            batch_logits=None if self.adversary is None else self.adversary(z_nd),
            value_logits={
                name: self._value_logits(m, name, part, states) for m, (name, part) in enumerate(parts.items())
            },
            modality_logits={
                name: self.norm(states_td) @ torch.stack(list(self.modality_read)).T
                for name, states_td in states.tokens.items()
            },
        )

    def initialize(
        self,
        sets: Sequence[dict[str, TokenSet]],
        values: Mapping[str, Sequence[Grid] | sparse.csr_matrix],
        fitting: Fitting,
        digest_n: np.ndarray,
        config: ScMBERTConfig,
        stage: Callable[[str], None],
    ) -> None:
        """Fit the bins; initialize embeddings at loadings of principal components, and the decoder at log means.

        Parameters
        ----------
        sets, values
            Cells to read the statistics from: as tokens, and by modality the decoder's values of those that have it (see
            :func:`omicsmlm.tokenizers.sample_values`).
        fitting
            Seed, batches and links; the folds follow from the names.
        digest_n
            Digests of the names of these cells.
        config
            Hyper-parameters.
        stage
            Called with the name of each stage before it begins.
        """
        c = config
        self.readout.initialize(RESIDUAL_SCALE)
        x = {}
        for name in self.kinds:
            stage(f"scaling {name}")
            x[name] = self._fit(name, sets, self.chosen(name))
        has = {name: torch.cat([parts[name].present for parts in sets]).numpy() for name in self.kinds}
        n_components = {name: self._component_fraction(name, min(c.width, N_DIRECTIONS)) for name in self.kinds}
        cross, chosen = self.cross_fitting, {name: self.chosen(name) for name in self.kinds}
        fold_n = None if cross is None else cross.fold_of(digest_n)
        components = initial_components(x, has, n_components, fitting._replace(fold_n=fold_n), stage)
        if cross is not None:
            cross.initialize(digest_n, components, {name: self.summary.rates(name, chosen[name]) for name in chosen})
        self.summary.initialize(components, chosen)
        power = LINEAR_POWER if self.moments is None else LINKED_POWER
        for name in self.kinds:
            self._initialize_latent(name, components[name], c.n_linear, LINEAR_SCALE, power)
            self._initialize_head(name, values[name], fitting.groups_n, has[name])

    @torch.no_grad()
    def initialize_added(
        self,
        sets: Sequence[dict[str, TokenSet]],
        grids: Sequence[dict[str, Grid]],
        groups_n: np.ndarray | None,
        chosen: Mapping[str, Tensor],
        seed: int,
    ) -> None:
        """Fit the embeddings of added features to what the reference's features say of the same cells.

        Parameters
        ----------
        sets, grids, groups_n
            Cells of the query, as in :meth:`initialize`.
        chosen
            Positions in the vocabulary, of the added modalities alone, of the features that are reconstructed.
        seed
            Seed of the ridge regression's sample.
        """
        summed_nd = torch.cat([self._joined(without(parts, chosen))[0] for parts in sets]).numpy()
        for m, name in enumerate(self.kinds):
            if name not in chosen:
                continue
            x_ng = self._fit(name, sets, chosen[name])
            has_n = torch.cat([parts[name].present for parts in sets]).numpy()
            estimates = ridge_estimates(x_ng, summed_nd[has_n], seed)
            self.summary.combination.initialize(name, estimates, 0)
            self.summary.set_loadings(m, chosen[name], torch.from_numpy(estimates.weights_gk), self.summary.width)
            self._initialize_head(name, [only_present(grid[name]) for grid in grids], groups_n, has_n)

    def _fit(self, name: str, sets: Sequence[dict[str, TokenSet]], chosen: Tensor) -> np.ndarray | sparse.csr_matrix:
        """Fit bins and summary of a modality; return scaled values of the chosen features, of cells that have it."""
        own = [parts[name] for parts in sets]
        self.bins.fit(name, own)
        levels = [self.bins.level(name)[self.bins(name, part, obs_of(part))] for part in own]
        return self.summary.fit(name, own, levels, chosen)

    def _value_logits(self, m: int, name: str, part: TokenSet, states: TransformerStates) -> Tensor:
        """Return bin logits of tokens with a masked value, from their state and its product, by dimension, with the cell token's."""
        masked_t = masked_positions(part)
        token_sd = self.norm(states.tokens[name][masked_t])
        cell_sd = self.row_norm(states.cell_nd)[obs_of(part)[masked_t]]
        return self.values[m](torch.cat([token_sd, token_sd * cell_sd], 1))

    def initial_layer(self) -> list[nn.Parameter]:
        """Return the weights of the token embeddings and of their sum, which fine-tuning may freeze."""
        return [*self.summary.parameters(), *self.value_of_bin.parameters(), *self.modality, self.mask_feature]

    def linear_path(self) -> list[nn.Parameter]:
        """Return the weights from the features to the linear dimensions of the latent: they are the embeddings of the tokens, too."""
        return [*self.summary.parameters(), *self.readout.skip.parameters()]

    def adapt_only(self, n_known: int, added: Sequence[str]) -> None:
        """Let training update only the weights that a query's batches and added features add."""
        super().adapt_only(n_known, added)
        for m, name in enumerate(self.kinds):
            if name in added:
                for weight in (
                    self.summary.tables[m],
                    self.modality[m],
                    self.modality_read[m],
                    *self.values[m].parameters(),
                ):
                    weight.requires_grad_(True)
