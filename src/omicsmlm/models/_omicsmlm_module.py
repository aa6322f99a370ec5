"""The network of OmicsMLM."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from omicsmlm._types import Batch, Encoded, Grid, Kind
from omicsmlm.nn import (
    Adversary,
    Alignment,
    Decoded,
    Decoder,
    Design,
    Head,
    LatentAttention,
    Scalings,
    SetEncoder,
    log_means,
    only_present,
    own_estimates,
    principal_directions,
    ridge_estimates,
)

from ._omicsmlm_config import COMPONENT_SCALES, COMPONENT_SHARES, FEWEST_PAIRED, N_DIRECTIONS, OmicsMLMConfig
from ._query_module import QueryModule


class Outputs(NamedTuple):
    """What the module makes of a batch."""

    encoded: Encoded
    decoded: dict[str, Decoded]
    batch_logits: Tensor | None


class OmicsMLMModule(QueryModule):
    """Encoder: sum of scaled values × feature embeddings → two layers → latent, plus a linear path; decoder per kind.

    Parameters
    ----------
    kinds
        Kind of each modality.
    n_features
        Features that the model looks at, per modality.
    n_categories
        Categories of each covariate, the batch first.
    config
        Hyper-parameters.
    n_fixed
        Batches of the reference, where a query has brought others.
    n_remembered
        Rows whose embedding is kept, for queries to be aligned with.
    """

    def __init__(
        self,
        kinds: dict[str, Kind],
        n_features: dict[str, int],
        n_categories: list[int],
        config: OmicsMLMConfig,
        *,
        n_fixed: int | None = None,
        n_remembered: int = 0,
    ) -> None:
        super().__init__()
        width = config.width
        self.kinds = kinds
        self.n_nonlinear = config.latent.n_nonlinear
        self.n_latent = self.n_nonlinear + config.latent.n_linear
        self.scalings = Scalings(kinds, n_features)
        self.features = SetEncoder(n_features, width)
        self.attention = (
            LatentAttention(
                n_features, config.n_latents, config.attention_width, config.n_attention_layers, width, config.dropout
            )
            if config.n_attention_layers
            else None
        )
        self.hidden = nn.Sequential(
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Dropout(config.dropout),
        )
        self.mean = nn.Linear(width, self.n_latent)
        self.skip = nn.Linear(width, self.n_latent, bias=False)
        self.log_variance = nn.Linear(width, self.n_latent)
        self.scale_d: Tensor
        self.register_buffer("scale_d", torch.ones(self.n_latent))
        n_batches = n_categories[0] if n_categories else 1
        heads = {name: _head(kind, n_features[name], n_batches, config) for name, kind in kinds.items()}
        self.decoder = Decoder(self.n_latent, width, Design(n_categories), heads)
        self.register_buffer("memory_md", torch.zeros(n_remembered, self.n_latent))
        is_query = n_fixed is not None
        self.alignment = None if n_fixed is None else Alignment(self.n_latent, n_fixed, n_batches)
        adversary = n_batches > 1 and config.adversary_weight * config.batch_strength > 0 and not is_query
        self.adversary = Adversary(self.n_latent, n_batches) if adversary else None

    def encode(self, grids: dict[str, Grid], scaled: dict[str, Tensor] | None = None) -> Encoded:
        """Embed the visible part of a batch, by given scaled values if any; the batch it came from is not known here."""
        scaled = self.scalings(grids) if scaled is None else scaled
        h_nd = self.features(scaled, self.scalings.evidence(grids))
        attended_nd = 0.0 if self.attention is None else self.attention(scaled, {m: g.seen for m, g in grids.items()})
        hidden_nd = self.hidden(h_nd + attended_nd)
        mean_nd = self.scale_d * (self.mean(hidden_nd) + self.skip(h_nd))
        return Encoded(mean_nd, self.log_variance(hidden_nd).clamp(-8, 4))

    def embed(self, grids: dict[str, Grid], batch: Batch, scaled: dict[str, Tensor] | None = None) -> Encoded:
        """Embed, and move the rows of batches that a query has brought onto the reference."""
        return self.aligned(self.encode(grids, scaled), batch)

    def forward(self, grids: dict[str, Grid], batch: Batch) -> Outputs:
        """Embed, draw a latent, and rebuild every modality from it and from the covariates."""
        encoded = self.embed(grids, batch)
        noise_nd = torch.randn_like(encoded.mean) if self.training else torch.zeros_like(encoded.mean)
        z_nd = encoded.mean + noise_nd * (encoded.log_variance / 2).exp()
        batch_logits = None if self.adversary is None else self.adversary(z_nd)
        return Outputs(encoded, self.decoder(z_nd, batch.covariates), batch_logits)

    def start(self, grids: Sequence[dict[str, Grid]], groups_n: np.ndarray | None, config: OmicsMLMConfig) -> None:
        """Fit the scalings; start the encoder at principal components and the decoder at log means.

        Parameters
        ----------
        grids
            Rows to read the statistics from.
        groups_n
            Batch of each of these rows, or None for one batch.
        config
            Hyper-parameters.
        """
        first, latent = 0, config.latent
        n_directions = min(self.features.width, N_DIRECTIONS)
        self._start_latent(latent.residual_scale)
        self.features.calm()
        x = {name: self.scalings.fit(name, [only_present(grid[name]) for grid in grids]) for name in self.kinds}
        has = {name: np.concatenate([grid[name].seen.any(1).numpy() for grid in grids]) for name in self.kinds}
        for name, kind in self.kinds.items():
            groups = None if groups_n is None else groups_n[has[name]]
            found = principal_directions(x[name], self._share(name, n_directions), groups, config.seed)
            self.features.start(name, own_estimates(x[name], found.weights_gk, config.seed), first)
            for other in (m for m in self.kinds if m != name):
                both_n = has[name] & has[other]
                if both_n.sum() < FEWEST_PAIRED:
                    continue
                target_nk = x[name][both_n[has[name]]] @ found.weights_gk
                self.features.start(other, ridge_estimates(x[other][both_n[has[other]]], target_nk, config.seed), first)
            strength_k = COMPONENT_SCALES.get(kind, 1.0) * torch.from_numpy(found.strength_k)
            scale_k = strength_k[: self._share(name, latent.n_linear)] ** latent.linear_power
            self._start_linear(first, scale_k, latent.linear_scale)
            first += found.weights_gk.shape[1]
            head = self.decoder.head(name)
            own = [only_present(grid[name]) for grid in grids]
            head.start(log_means(own, kind, groups, len(head.bias)))

    @torch.no_grad()
    def start_added(
        self, grids: Sequence[dict[str, Grid]], added: Sequence[str], groups_n: np.ndarray | None, seed: int
    ) -> None:
        """Fit added features of a query to tell what its rows show by the features of the reference.

        Parameters
        ----------
        grids
            Rows of the query.
        added
            Names under which the added features stand.
        groups_n
            Batch of each of these rows, or None for one batch.
        seed
            Seed of the ridge regression's sample.
        """
        own = {name: [only_present(grid[name]) for grid in grids] for name in added}
        x = {name: self.scalings.fit(name, own[name]) for name in added}
        h_nd = np.concatenate([self._summed(grid, without=added).numpy() for grid in grids])
        for name in added:
            has_n = np.concatenate([grid[name].seen.any(1).numpy() for grid in grids])
            self.features.start(name, ridge_estimates(x[name], h_nd[has_n], seed), 0)
            head, groups = self.decoder.head(name), None if groups_n is None else groups_n[has_n]
            head.start(log_means(own[name], self.kinds[name], groups, len(head.bias)))

    def _summed(self, grids: dict[str, Grid], without: Sequence[str] = ()) -> Tensor:
        evidence = self.scalings.evidence(grids)
        shown = {name: e_n * 0 if name in without else e_n for name, e_n in evidence.items()}
        return self.features(self.scalings(grids), shown)

    def _share(self, name: str, n_components: int) -> int:
        """Divide a number of components among the modalities."""
        shares = {m: COMPONENT_SHARES[kind] for m, kind in self.kinds.items()}
        return max(1, int(n_components * shares[name] / sum(shares.values())))

    @torch.no_grad()
    def _start_latent(self, residual_scale: float) -> None:
        """Begin with next to nothing but the linear path on the linear dimensions, and with little variance."""
        self.skip.weight.zero_()
        self.mean.weight[self.n_nonlinear :].mul_(residual_scale)
        self.mean.bias.zero_()
        self.log_variance.weight.mul_(0.1)
        self.log_variance.bias.fill_(-2.0)

    @torch.no_grad()
    def _start_linear(self, first: int, scale_k: Tensor, size: float) -> None:
        """Lead the components from ``first`` on to linear dimensions that are still free, as many as there are."""
        free = (self.skip.weight[self.n_nonlinear :].abs().sum(1) == 0).nonzero()[: len(scale_k), 0]
        for k, dimension in enumerate((self.n_nonlinear + free).tolist()):
            self.skip.weight[dimension, first + k] = size
            self.scale_d[dimension] = scale_k[k]


def _head(kind: Kind, n_features: int, n_batches: int, config: OmicsMLMConfig) -> Head:
    n_sampled = config.n_sampled if kind == "accessibility" else 0
    dispersed = kind in ("counts", "protein", "real")
    return Head(config.width, n_features, n_batches, dispersed=dispersed, n_sampled=n_sampled)
