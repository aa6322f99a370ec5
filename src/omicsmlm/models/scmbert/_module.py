"""The network of ScMBERT."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._types import Batch, Encoded, Grid, Kind, Known, TokenSet, lengths_of, masked_of, obs_of
from omicsmlm.models.base import N_DIRECTIONS, Batches, ComponentModule
from omicsmlm.nn import (
    Decoded,
    LatentHead,
    LatentTransformer,
    PackedTransformer,
    RowLayout,
    TokenSummary,
    ValueBins,
    component_starts,
    drawn,
    only_present,
    ridge_estimates,
)

from ._config import ScMBERTConfig


class Outputs(NamedTuple):
    """What the module makes of a batch."""

    encoded: Encoded
    decoded: dict[str, Decoded]
    batch_logits: Tensor | None
    value_logits: dict[str, Tensor]
    modality_logits: dict[str, Tensor]


class States(NamedTuple):
    """What the transformer makes of a batch."""

    summed_nd: Tensor
    """Sum of each row's tokens: what its own token started as."""
    row_nd: Tensor
    """State of each row's own token."""
    tokens: dict[str, Tensor]
    """(t, d) per modality: states of the tokens."""


class ScMBERTModule(ComponentModule):
    """Tokens of feature + value bin + modality, and one of the row; transformer; readout; heads for tokens and cells.

    Parameters
    ----------
    kinds
        Kind of each modality.
    n_features
        Features in the vocabulary of each modality.
    n_decoded
        Features that are rebuilt, per modality.
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
    """

    def __init__(
        self,
        kinds: dict[str, Kind],
        n_features: Mapping[str, int],
        n_decoded: Mapping[str, int],
        n_categories: list[int],
        config: ScMBERTConfig,
        *,
        is_exact: bool,
        n_fixed: int | None = None,
        n_reference: int = 0,
    ) -> None:
        super().__init__()
        c, d = config, config.width
        self.kinds = kinds
        self.bins = ValueBins(kinds, {name: c.bins_of(name, kind) for name, kind in kinds.items()})
        self.summary = TokenSummary(kinds, n_features, d)
        self.value_of_bin = nn.Embedding(len(self.bins), d)
        self.modality = nn.ParameterList([torch.randn(d) for _ in kinds])
        self.hidden_feature = nn.Parameter(torch.randn(d))
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
            n_decoded,
            c.n_sampled,
            Batches(n_categories, n_fixed, n_reference),
            has_adversary=c.adversary_weight > 0 and c.cell_weight > 0,
        )

    def shown_bins(self, parts: dict[str, TokenSet]) -> dict[str, Tensor]:
        """Give the bin of each token, (t,) per modality, as it is shown."""
        return {name: self.bins(name, part, obs_of(part)) for name, part in parts.items()}

    def states(self, parts: dict[str, TokenSet]) -> States:
        """Run the transformer over the tokens of each row and the row's own, which starts as their sum."""
        summed_nd, x_td, layout = self._joined(parts)
        x_td = self.transformer(x_td, layout.offsets, layout.lengths)
        return States(summed_nd, x_td[layout.first_n], {name: x_td[place_t] for name, place_t in layout.places.items()})

    def _joined(self, parts: dict[str, TokenSet]) -> tuple[Tensor, Tensor, RowLayout]:
        """Give the sum of each row's tokens, the tokens of all rows, and where they stand."""
        parts = with_lengths(parts)
        indices, bins = {name: obs_of(part) for name, part in parts.items()}, self.shown_bins(parts)
        levels = {name: self.bins.level(name)[bins[name]] for name in parts}
        summed_nd = self.summary(parts, levels, indices)
        tokens = {name: self._tokens(m, name, part.ids, bins[name]) for m, (name, part) in enumerate(parts.items())}
        layout = RowLayout.of(parts, indices)
        return summed_nd, layout.join(summed_nd, tokens), layout

    def _tokens(self, m: int, name: str, ids: Tensor, bins_t: Tensor) -> Tensor:
        known_t1 = (ids >= 0)[:, None]
        feature_td = self.summary.table(name)[ids.clamp(min=0)] + self.modality[m]
        return torch.where(known_t1, feature_td, self.hidden_feature) + self.value_of_bin(bins_t)

    def encode(self, views: dict[str, TokenSet]) -> Encoded:
        """Embed the visible part of a batch; the batch it came from is not known here."""
        summed_nd, x_td, layout = self._joined(views)
        return self.readout(summed_nd, self.transformer.firsts(x_td, layout.offsets, layout.lengths))

    def forward(self, parts: dict[str, TokenSet], batch: Batch) -> Outputs:
        """Embed; predict hidden values and modalities from the states of their tokens, and the cell from its latent."""
        states = self.states(parts)
        encoded = self.aligned(self.readout(states.summed_nd, states.row_nd), batch)
        draws = batch.draws if self.training else None
        z_nd = drawn(encoded, draws)
        return Outputs(
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

    def start(
        self,
        sets: Sequence[dict[str, TokenSet]],
        values: Mapping[str, Sequence[Grid] | sparse.csr_matrix],
        groups_n: np.ndarray | None,
        chosen: Mapping[str, Tensor],
        config: ScMBERTConfig,
        stage: Callable[[str], None],
    ) -> None:
        """Fit the bins; start embeddings at loadings of principal components, and the decoder at log means.

        Parameters
        ----------
        sets, values
            Rows to read the statistics from: as tokens, and by modality what the decoder's grid holds of those that have it (see
            :func:`omicsmlm.tokenizers.sample_values`).
        groups_n
            Batch of each of these rows, or None for one batch.
        chosen
            Positions in the vocabulary of the features of that grid.
        config
            Hyper-parameters.
        stage
            Is told what is done next.
        """
        c = config
        self.readout.start(c.residual_scale)
        x = {}
        for name in self.kinds:
            stage(f"scaling {name}")
            x[name] = self._fit(name, sets, chosen[name])
        has = {name: torch.cat([parts[name].present for parts in sets]).numpy() for name in self.kinds}
        shares = {name: self._component_fraction(name, min(c.width, N_DIRECTIONS)) for name in self.kinds}
        components = component_starts(x, has, shares, groups_n, c.seed, stage)
        self.summary.start(components, chosen)
        for name in self.kinds:
            self._initialize_latent(name, components[name], c.n_linear, c.linear_scale, c.linear_power)
            self._initialize_head(name, values[name], groups_n, has[name])

    @torch.no_grad()
    def start_added(
        self,
        sets: Sequence[dict[str, TokenSet]],
        grids: Sequence[dict[str, Grid]],
        groups_n: np.ndarray | None,
        chosen: Mapping[str, Tensor],
        seed: int,
    ) -> None:
        """Fit added features of a query to tell what its rows show by the features of the reference.

        Parameters
        ----------
        sets, grids, groups_n
            Rows of the query, as in :meth:`start`.
        chosen
            Positions in the vocabulary, of the added modalities alone, of the features that are rebuilt.
        seed
            Seed of the ridge regression's sample.
        """
        summed_nd = torch.cat([self._joined(_without(parts, chosen))[0] for parts in sets]).numpy()
        for m, name in enumerate(self.kinds):
            if name not in chosen:
                continue
            x_ng = self._fit(name, sets, chosen[name])
            has_n = torch.cat([parts[name].present for parts in sets]).numpy()
            estimates = ridge_estimates(x_ng, summed_nd[has_n], seed)
            self.summary.combination.start(name, estimates, 0)
            self.summary.set_loadings(m, chosen[name], torch.from_numpy(estimates.weights_gk), self.summary.width)
            self._initialize_head(name, [only_present(grid[name]) for grid in grids], groups_n, has_n)

    def _fit(self, name: str, sets: Sequence[dict[str, TokenSet]], chosen: Tensor) -> np.ndarray | sparse.csr_matrix:
        """Fit bins and summary of a modality; give scaled values of the chosen features, of rows that have it."""
        own = [parts[name] for parts in sets]
        self.bins.fit(name, own)
        levels = [self.bins.level(name)[self.bins(name, part, obs_of(part))] for part in own]
        return self.summary.fit(name, own, levels, chosen)

    def _value_logits(self, m: int, name: str, part: TokenSet, states: States) -> Tensor:
        """Judge tokens with a hidden value by their state, and by how it agrees, dimension by dimension, with the row's."""
        hidden_t = masked_of(part)
        token_sd = self.norm(states.tokens[name][hidden_t])
        row_sd = self.row_norm(states.row_nd)[obs_of(part)[hidden_t]]
        return self.values[m](torch.cat([token_sd, token_sd * row_sd], 1))

    def initial_layer(self) -> list[nn.Parameter]:
        """Give what makes tokens of features, values and modalities, and sums them."""
        return [*self.summary.parameters(), *self.value_of_bin.parameters(), *self.modality, self.hidden_feature]

    def adapt_only(self, n_known: int, added: Sequence[str]) -> None:
        """Let training move what a query's batches, and its added features, alone bring."""
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


def _without(parts: dict[str, TokenSet], names: Iterable[str]) -> dict[str, TokenSet]:
    """Show rows as if they lacked some modalities."""
    emptied = {}
    for name in names:
        part = parts[name]
        emptied[name] = part._replace(
            ids=part.ids[:0],
            values=part.values[:0],
            offsets=torch.zeros_like(part.offsets),
            present=torch.zeros_like(part.present),
        )
    return {**parts, **emptied}


def with_lengths(parts: dict[str, TokenSet]) -> dict[str, TokenSet]:
    """Let the host know the lengths of the rows, for which it waits once where it does not, and leave tokens of no row out."""
    if all(lengths_of(part) is not None for part in parts.values()):
        return parts
    lengths = torch.stack([part.offsets.diff() for part in parts.values()]).tolist()
    known = {}
    for (name, part), own in zip(parts.items(), lengths, strict=True):
        n = sum(own)
        known[name] = part._replace(ids=part.ids[:n], values=part.values[:n], known=Known(part.offsets, own))
    return known
