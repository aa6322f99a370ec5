"""The network of OmicsMLM."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._sizes import is_on_host
from omicsmlm._types import Batch, Encoded, Grid, Kind
from omicsmlm.models.base import N_DIRECTIONS, N_SAMPLED, Batches, ComponentModule
from omicsmlm.nn import (
    Decoded,
    FeatureShifts,
    Fitting,
    FoldSizes,
    LatentAttention,
    LatentHead,
    ScaledTokens,
    Scalings,
    SetEncoder,
    ShiftSizes,
    drawn,
    initial_components,
    only_present,
    ridge_estimates,
)

from ._config import ATTENTION_WIDTH, N_LATENTS, OmicsMLMConfig


class OmicsMLMOutputs(NamedTuple):
    """Embedding and reconstruction of a batch."""

    encoded: Encoded
    decoded: dict[str, Decoded]
    batch_logits: Tensor | None
    label_logits: Tensor | None


class OmicsMLMModule(ComponentModule):
    """Encoder: sum of scaled values × feature embeddings → two layers → latent, plus a linear path; decoder per kind.

    Parameters
    ----------
    kinds
        Kind of each modality.
    n_features
        Selected features, per modality.
    batches
        What is known of batches, further covariates and the reference.
    config
        Hyper-parameters.
    folds
        Folds of the observations that it is initialised with.
    n_labels
        Labels that the embedding may be trained to tell apart; 0 for none.
    shifts
        Modalities in which shifted features of a query's batches are found.
    """

    def __init__(
        self,
        kinds: dict[str, Kind],
        n_features: dict[str, int],
        batches: Batches,
        config: OmicsMLMConfig,
        *,
        folds: FoldSizes = FoldSizes(),  # noqa: B008  # an immutable record
        n_labels: int = 0,
        shifts: ShiftSizes = ShiftSizes(),  # noqa: B008  # an immutable record
    ) -> None:
        super().__init__()
        width = config.width
        self.kinds = kinds
        self.scalings = Scalings(kinds, n_features)
        self.features = SetEncoder(n_features, width)
        self.attention = (
            LatentAttention(n_features, N_LATENTS, ATTENTION_WIDTH, config.n_attention_layers, width, config.dropout)
            if config.n_attention_layers
            else None
        )
        self._set_up_cross_fitting(n_features, min(width, N_DIRECTIONS), folds)
        self.readout = LatentHead(width, config.latent.n_nonlinear, config.latent.n_linear, config.dropout)
        self._set_up_decoder(
            width,
            n_features,
            N_SAMPLED,
            batches,
            has_adversary=config.batch_strength > 0,
        )
        self.labels = nn.Linear(self.n_latent, n_labels) if n_labels else None
        self.shifts: FeatureShifts | None = None
        if shifts.n_profiles:
            compared = {name: n_features[name] for name in shifts.modalities}
            n_batches = batches.n_categories[0] if batches.n_categories else 1
            n_fixed = n_batches if batches.n_fixed is None else batches.n_fixed
            self.shifts = FeatureShifts(compared, shifts.n_profiles, n_fixed, n_batches)

    def encode(
        self, grids: dict[str, Grid], scaled: dict[str, Tensor] | None = None, fold_n: Tensor | None = None
    ) -> Encoded:
        """Return the embedding of the visible part of a batch; it depends on no covariate.

        Parameters
        ----------
        grids
            Values.
        scaled
            Their scaled values, where others are to be embedded than these have.
        fold_n
            Fold of each observation: see :meth:`folds`.
        """
        relative_depth = self.scalings.relative_depth(grids)
        is_present = {name: e_n > 0 for name, e_n in relative_depth.items()}
        if self.attention is None:
            h_nd = self._combined(self.scalings.tokens(grids) if scaled is None else scaled, relative_depth, fold_n)
            return self._matched(self.readout(h_nd, h_nd), is_present)
        scaled = self.scalings(grids) if scaled is None else scaled
        h_nd = self._combined(scaled, relative_depth, fold_n)
        attended_nd = self.attention(scaled, {m: grid.visible for m, grid in grids.items()})
        return self._matched(self.readout(h_nd, h_nd + attended_nd), is_present)

    def _combined(
        self, scaled: Mapping[str, Tensor | ScaledTokens], relative_depth: Mapping[str, Tensor], fold_n: Tensor | None
    ) -> Tensor:
        """Return the sum over features that the encoder starts from, (n, width)."""
        cross = self.cross_fitting
        added = None if cross is None or fold_n is None else {m: cross(m, scaled[m], fold_n) for m in self.kinds}
        return self.features(scaled, relative_depth, added)

    def unaligned(self, grids: dict[str, Grid], batch: Batch) -> Encoded:
        """Return the embedding where no batch is moved; observations that it was initialised with are estimated by other folds."""
        return self._weighed(grids, batch, None)

    def embed(self, grids: dict[str, Grid], batch: Batch, scaled: dict[str, Tensor] | None = None) -> Encoded:
        """Return the embedding, with the observations of batches that a query has added aligned with the reference."""
        return self.aligned(self._weighed(grids, batch, scaled), batch)

    def _weighed(self, grids: dict[str, Grid], batch: Batch, scaled: dict[str, Tensor] | None) -> Encoded:
        """Return the embedding, in which features that a query's batch has shifted count less; of others as :meth:`encode` gives it."""
        fold_n = self.folds(batch)
        encoded = self.encode(grids, scaled, fold_n)
        if self.shifts is None or not batch.covariates.shape[1] or not len(self.shifts.is_shifted_b):
            return encoded
        batch_n = batch.covariates[:, 0]
        is_shifted_n1 = self.shifts.is_shifted(batch_n)[:, None]
        if is_on_host(is_shifted_n1) and not is_shifted_n1.any():
            return encoded
        weighed = self.encode(grids, self.shifts(self.scalings(grids) if scaled is None else scaled, batch_n), fold_n)
        return Encoded(*(torch.where(is_shifted_n1, new, old) for new, old in zip(weighed, encoded, strict=True)))

    @torch.no_grad()
    def load_from(self, other: Self) -> None:
        """Copy the weights of a module that knows fewer batches, or fewer features; what it lacks stays as it is."""
        super().load_from(other)
        if self.shifts is not None and other.shifts is not None:
            self.shifts.load_from(other.shifts)

    def forward(self, grids: dict[str, Grid], batch: Batch) -> OmicsMLMOutputs:
        """Embed, draw a latent, and reconstruct every modality from it and from the covariates."""
        encoded = self.embed(grids, batch)
        draws = batch.draws if self.training else None
        z_nd = drawn(encoded, draws)
        batch_logits = None if self.adversary is None else self.adversary(z_nd)
        label_logits = None if self.labels is None else self.labels(encoded.mean)
        decoded = self.decoder(z_nd, batch.covariates, draws, batch.numbers)
        return OmicsMLMOutputs(encoded, decoded, batch_logits, label_logits)

    def initialize(
        self,
        values: Mapping[str, Sequence[Grid] | sparse.csr_matrix],
        has: Mapping[str, np.ndarray],
        fitting: Fitting,
        config: OmicsMLMConfig,
        stage: Callable[[str], None],
        digest_n: np.ndarray | None = None,
    ) -> None:
        """Fit the scalings; initialize the encoder at principal components and the decoder at log means.

        Parameters
        ----------
        values
            Values of each modality, of the observations that have it: see :func:`omicsmlm.tokenizers.sample_values`.
        has
            (n,) bool per modality: which observations have it.
        fitting
            Seed, batches and links; the folds follow from the names.
        config
            Hyper-parameters.
        stage
            Called with the name of each stage before it begins.
        digest_n
            Digests of the names of these observations; only needed where they have folds.
        """
        latent, n_directions = config.latent, min(self.features.width, N_DIRECTIONS)
        self.readout.initialize(latent.residual_scale)
        self.features.shrink()
        x = {}
        for name in self.kinds:
            stage(f"scaling {name}")
            x[name] = self.scalings.fit(name, values[name])
        n_components = {name: self._component_fraction(name, n_directions) for name in self.kinds}
        cross = self.cross_fitting
        fold_n = None if cross is None or digest_n is None else cross.fold_of(digest_n)
        components = initial_components(x, has, n_components, fitting._replace(fold_n=fold_n), stage)
        if cross is not None and digest_n is not None:
            cross.initialize(digest_n, components)
        for name, found in components.items():
            for other, estimates in found.estimates.items():
                self.features.initialize(other, estimates, found.first)
            self._initialize_latent(name, found, latent.n_linear, latent.linear_scale, latent.linear_power)
        for name in self.kinds:
            self._initialize_head(name, values[name], fitting.groups_n, has[name])

    def initial_layer(self) -> list[nn.Parameter]:
        """Return the weights of the feature embeddings, which fine-tuning may freeze."""
        return list(self.features.parameters())

    def linear_path(self) -> list[nn.Parameter]:
        """Return the weights from the features to the linear dimensions of the latent."""
        return [*self.features.parameters(), *self.readout.skip.parameters()]

    @torch.no_grad()
    def initialize_added(
        self, grids: Sequence[dict[str, Grid]], added: Sequence[str], groups_n: np.ndarray | None, seed: int
    ) -> None:
        """Fit the embeddings of added features to what the reference's features say of the same observations.

        Parameters
        ----------
        grids
            Observations of the query.
        added
            Names of the added features' modalities.
        groups_n
            Batch of each of these observations, or None for one batch.
        seed
            Seed of the ridge regression's sample.
        """
        own = {name: [only_present(grid[name]) for grid in grids] for name in added}
        x = {name: self.scalings.fit(name, own[name]) for name in added}
        h_nd = np.concatenate([self._summed(grid, without=added).numpy() for grid in grids])
        for name in added:
            has_n = np.concatenate([grid[name].visible.any(1).numpy() for grid in grids])
            self.features.initialize(name, ridge_estimates(x[name], h_nd[has_n], seed), 0)
            self._initialize_head(name, own[name], groups_n, has_n)

    def _summed(self, grids: dict[str, Grid], without: Sequence[str] = ()) -> Tensor:
        """Return the (n, width) sum over features that the encoder starts from, of all modalities but some."""
        relative_depth = self.scalings.relative_depth(grids)
        kept = {name: e_n * 0 if name in without else e_n for name, e_n in relative_depth.items()}
        return self.features(self.scalings(grids), kept)
