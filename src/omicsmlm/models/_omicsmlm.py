"""OmicsMLM: one masked autoencoder for any set of modalities, paired or not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._types import SPARSE_KINDS, Batch, Encoded, Grid, Kind, Module, Parts
from omicsmlm.corruption import HideFeatures
from omicsmlm.data import OmicsManager, batch_codes, stored_values
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
from omicsmlm.objectives import (
    ClusterAlignment,
    LatentReconstruction,
    MutualNeighbours,
    Pull,
    expected_values,
)
from omicsmlm.tokenizers import FeatureSets, common_features, variable_features
from omicsmlm.training import Optimisation

from ._explaining import ExplainingModel
from ._imputing import ImputingModel
from ._query import QueryModel, batch_counts


@dataclass(frozen=True)
class OmicsMLMConfig:
    """Hyper-parameters of :class:`OmicsMLM`; the defaults are the recipe of ``docs/experiments.md``.

    What is None is chosen by the number of rows when a model is made: see :meth:`for_rows`.

    Parameters
    ----------
    n_nonlinear, n_linear
        Dimensions of the embedding: those that start almost empty and are filled by the network, and those that start as
        principal components, shared among the modalities by ``COMPONENT_SHARES``. Everything is trained from there.
    width
        Width of the hidden layers.
    n_attention_layers
        Latent attention layers beside the sum of tokens; 0 for none.
    n_latents, attention_width
        Number of latents and their width.
    linear_scale, linear_power
        A linear dimension starts with standard deviation ``linear_scale`` · (s / s₁) ** ``linear_power``, s its singular
        value: weak components, mostly noise, stay small; those of open regions start smaller by ``COMPONENT_SCALES``.
    residual_scale
        Factor of what the network adds to the linear dimensions at the start.
    n_variable, n_common
        Most features that the model looks at: the most variable counts, the most common open regions.
    n_sampled
        Open regions decoded per training step, drawn anew each time.
    hidden_rates
        Lowest and highest share of hidden features in a row.
    modality_rate
        Probability that a row loses a whole modality in a training step.
    protein_weight, accessibility_weight
        Weights of these likelihoods; the others have weight 1.
    kl_weight, kl_power, kl_warmup
        The KL divergence has the weight ``kl_weight`` · (evidence / 1000) ** ``kl_power``, where the evidence is the
        median number of counts in a row, over the features looked at: the deeper the rows, the more detail would
        otherwise fill the latent. The factor stays within ``KL_FACTORS``; the weight is reached after ``kl_warmup`` of
        the training.
    batch_strength
        Factor of all that takes the batch out of the latent: the adversary, the pull to neighbours in other batches and
        (up to 1) the shifts of clusters; 0 leaves the batch in, as where it may be biology.
    adversary_weight
        Weight of the adversary on the batch, for each batch but one (the more there are, the weaker it is), and at most
        ``MOST_ADVERSARY`` in all; 0 switches it off.
    neighbour_weight, alignment_weight
        Weights of the pulls to mutual nearest neighbours in other batches, and to the row's own full view, less its
        cluster's batch effect.
    dropout
        Dropout in the hidden layers.
    learning_rate, weight_decay
        Of AdamW.
    patience
        Epochs without a better validation loss before training stops.
    seed
        Seed of everything random.
    """

    n_nonlinear: int | None = None
    n_linear: int | None = None
    width: int = 128
    n_attention_layers: int = 0
    n_latents: int = 16
    attention_width: int = 64
    linear_scale: float | None = None
    linear_power: float | None = None
    residual_scale: float | None = None
    n_variable: int = 2000
    n_common: int = 15_000
    n_sampled: int = 2000
    hidden_rates: tuple[float, float] = (0.1, 0.8)
    modality_rate: float = 0.2
    protein_weight: float = 3.0
    accessibility_weight: float = 0.1
    kl_weight: float = 1.0
    kl_power: float = 2.25
    kl_warmup: float = 0.3
    batch_strength: float = 1.0
    adversary_weight: float = 2.5
    neighbour_weight: float = 10.0
    alignment_weight: float = 30.0
    dropout: float = 0.1
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    patience: int = 15
    seed: int = 0

    def for_rows(self, n_rows: int) -> "OmicsMLMConfig":
        """Fill in what is None for a data set of this many rows.

        The embedding has 80 dimensions: of few rows, 48 components and 32 free dimensions, which the network fills; with
        ``MANY_ROWS`` or more, 80 components, to which the network adds a residual.
        """
        chosen = (FEW if n_rows < MANY_ROWS else MANY)._asdict()
        return replace(self, **{name: value for name, value in chosen.items() if getattr(self, name) is None})

    @property
    def latent(self) -> "Latent":
        """What the latent is made of, once nothing of it is None."""
        return Latent(**{name: getattr(self, name) for name in Latent._fields})


class Latent(NamedTuple):
    """The dimensions of the latent and their start; see :class:`OmicsMLMConfig`."""

    n_nonlinear: int
    n_linear: int
    linear_scale: float
    linear_power: float
    residual_scale: float


FEW = Latent(n_nonlinear=32, n_linear=48, linear_scale=0.4, linear_power=1.0, residual_scale=0.05)
MANY = Latent(n_nonlinear=0, n_linear=80, linear_scale=5.0, linear_power=2.0, residual_scale=0.2)
KL_FACTORS = (0.1, 25.0)
"""Least and most that the depth of the rows makes of the KL weight."""
MOST_ADVERSARY = 30.0
"""Largest weight of the adversary, however many batches there are."""
REMEMBERED_ROWS = 5000
"""Most rows whose embedding a model keeps, for queries to be aligned with."""
MANY_ROWS = 5000
"""Rows from which on a model has ``MANY``, not ``FEW``."""
FEWEST_PAIRED = 100
"""Rows with two modalities that it takes to start one from what it tells of the other."""
N_DIRECTIONS = 80
"""Principal components that the first layer starts with."""
COMPONENT_SHARES: dict[str, float] = {
    "counts": 1.0,
    "protein": 0.6,
    "accessibility": 0.48,
    "fraction": 1.0,
    "real": 1.0,
}
"""Share of the starting components that a modality gets, relative to the others."""
COMPONENT_SCALES: dict[str, float] = {"accessibility": 0.4}
"""Strength of a modality's first component beside that of the others; 1 where it is not given."""


class Outputs(NamedTuple):
    """What the module makes of a batch."""

    encoded: Encoded
    decoded: dict[str, Decoded]
    batch_logits: Tensor | None


class OmicsMLMModule(Module):
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
        self.memory_md: Tensor
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
        encoded = self.encode(grids, scaled)
        if self.alignment is None or not batch.covariates.shape[1]:
            return encoded
        return encoded._replace(mean=self.alignment(encoded.mean, batch.covariates[:, 0]))

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
    def take(self, other: "OmicsMLMModule") -> None:
        """Copy a module that knows fewer batches."""
        own = self.state_dict()
        self.load_state_dict(
            {k: v for k, v in other.state_dict().items() if k in own and v.shape == own[k].shape}, strict=False
        )
        self.decoder.take(other.decoder)
        if self.alignment is not None and other.alignment is not None:
            self.alignment.take(other.alignment)

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

    def adapt_only(self, n_known: int, added: Sequence[str]) -> None:
        """Let training move only what speaks of batches from ``n_known`` on, and what rebuilds added features."""
        self.requires_grad_(False)
        for weight, mask in self.decoder.adaptable(n_known, added):
            weight.requires_grad_(True)
            weight.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient.device))

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


class OmicsMLM(ImputingModel, ExplainingModel, QueryModel):
    """Masked autoencoder over any set of modalities, single cell or bulk, paired or not.

    Hides features and whole modalities at random, encodes what is left as a set, and rebuilds everything from one
    latent per row, each modality through the likelihood of its kind. The batch is told to the decoder only.

    Parameters
    ----------
    data
        MuData or AnnData.
    config
        Hyper-parameters; None for the defaults.
    batch_key
        Column of ``obs`` with the batch, or several; None if there is none or if a ``setup_*`` method has named it.

    Examples
    --------
    >>> import omicsmlm
    >>> mdata = omicsmlm.datasets.simulate_multiome(200, 50, 80)
    >>> model = omicsmlm.OmicsMLM(mdata, batch_key="batch")
    >>> model.train(max_epochs=1, progress_bar=False)
    >>> mdata.obsm["X_omics"].shape
    (200, 80)
    """

    embedding_key: ClassVar[str] = "X_omics"
    config_class: ClassVar[type] = OmicsMLMConfig

    def __init__(
        self, data: Any, config: OmicsMLMConfig | None = None, *, batch_key: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(data, config, batch_key=batch_key)

    @property
    def optimisation(self) -> Optimisation:
        """How the family is optimised."""
        decay = 0.0 if self._new_batches() else self.config.weight_decay  # it would move what a query must not move
        return Optimisation(learning_rate=self.config.learning_rate, weight_decay=decay)

    def _configured(self, config: OmicsMLMConfig | None, n_rows: int) -> OmicsMLMConfig:
        return (config or OmicsMLMConfig()).for_rows(n_rows)

    def _choose(self, sample: Sequence[Batch]) -> dict[str, Any]:
        read = {name: self._read(name, state, sample) for name, state in self.adata_manager.modalities.items()}
        weights = self._weights(informative_only=True)
        return {
            **{
                part: {name: found[part] for name, found in read.items()} for part in ("selected", "profiles", "depths")
            },
            "evidence": sum(weights[name] * found["depths"] for name, found in read.items()),
            "n_remembered": min(REMEMBERED_ROWS, self.adata.n_obs),
        }

    def _read(self, name: str, state: dict[str, Any], sample: Sequence[Batch]) -> dict[str, Any]:
        """Read off rows which features of a modality to look at, their shares, and how deep rows are."""
        groups_n = batch_codes(sample)
        present_n = np.concatenate([batch.present[name].numpy() for batch in sample])
        groups = None if groups_n is None else groups_n[present_n]
        values = stored_values(sample, name, len(state["vocabulary"]))[present_n]
        selected = _select(state["kind"], values, groups, self.config)
        depth = float(np.median(_evidence(state["kind"], values[:, selected])))
        return {"selected": selected.tolist(), "profiles": _profile(state["kind"], values), "depths": depth}

    def _extended(self, manager: OmicsManager, added: list[str]) -> dict[str, Any]:
        sample, choice = self._sample(manager), {**self.choice, "added": added}
        for name in added:
            for part, found in self._read(name, manager.modalities[name], sample).items():
                choice[part] = {**choice[part], name: found}
        return choice

    def _start_added(self, added: list[str]) -> None:
        assert isinstance(self.module, OmicsMLMModule)
        sample = self._sample()
        grids = [self.parts.tokenizer(batch) for batch in sample]
        self.module.start_added(grids, added, batch_codes(sample), self.config.seed)

    def _weights(self, *, informative_only: bool = False) -> dict[str, float]:
        """Weigh each modality's likelihood; for how much a row says, proteins count no more than RNA."""
        protein_weight = 1.0 if informative_only else self.config.protein_weight
        by_kind = {"protein": protein_weight, "accessibility": self.config.accessibility_weight}
        return {name: by_kind.get(state["kind"], 1.0) for name, state in self.adata_manager.modalities.items()}

    def _assemble(self, choice: dict[str, Any]) -> Parts:
        c, states = self.config, self.adata_manager.modalities
        kinds: dict[str, Kind] = {name: state["kind"] for name, state in states.items()}
        selected = {name: torch.tensor(positions) for name, positions in choice["selected"].items()}
        profiles = {name: torch.tensor(profile) for name, profile in choice["profiles"].items()}
        n_categories = [len(categories) for categories in self.adata_manager.covariates.values()]
        n_batches = n_categories[0] if n_categories else 1
        n_fixed, n_known = batch_counts(choice)
        n_features = {name: len(s) for name, s in selected.items()}
        module = OmicsMLMModule(
            kinds, n_features, n_categories, c, n_fixed=n_fixed, n_remembered=choice["n_remembered"]
        )
        if n_known is not None:
            module.adapt_only(n_known, choice.get("added", []))
        pulls: dict[str, tuple[Pull, float]] = {}
        if n_known is None:
            pulls["alignment"] = (ClusterAlignment(strength=c.batch_strength), c.alignment_weight)
        if n_known is None and n_batches > 1 and c.batch_strength > 0:
            pulls["neighbours"] = (MutualNeighbours(), c.neighbour_weight * c.batch_strength)
        objective = LatentReconstruction(
            kinds,
            self._weights(),
            kl_weight=c.kl_weight * float(np.clip((choice["evidence"] / 1000) ** c.kl_power, *KL_FACTORS)),
            kl_warmup=c.kl_warmup,
            adversary_weight=c.batch_strength * min(c.adversary_weight * (n_batches - 1), MOST_ADVERSARY),
            pulls=pulls,
        )
        return Parts(
            tokenizer=FeatureSets(kinds, selected, profiles),
            corruption=HideFeatures(c.hidden_rates, c.modality_rate),
            module=module,
            objective=objective,
            census=objective if pulls else None,
        )

    def _start(self, sample: Sequence[Batch]) -> None:
        assert isinstance(self.module, OmicsMLMModule)
        self.module.start([self.parts.tokenizer(batch) for batch in sample], batch_codes(sample), self.config)

    def _remember(self, train_rows: np.ndarray) -> None:
        assert isinstance(self.module, OmicsMLMModule)
        memory_md = self.module.memory_md
        if batch_counts(self.choice)[1] is None:
            n_obs = self.adata.n_obs
            rng = np.random.default_rng(self.config.seed)
            rows = rng.choice(n_obs, len(memory_md), replace=n_obs < len(memory_md))
            memory_md.copy_(torch.from_numpy(self.get_latent_representation(indices=np.sort(rows))))

    def _take(self, reference: Self) -> None:
        assert isinstance(self.module, OmicsMLMModule)
        assert isinstance(reference.module, OmicsMLMModule)
        self.module.take(reference.module)

    def _align(self, batch: int, latent_nd: np.ndarray) -> None:
        assert isinstance(self.module, OmicsMLMModule)
        assert self.module.alignment is not None
        self.module.alignment.fit(batch, torch.from_numpy(latent_nd).to(self.device), self.module.memory_md)

    def _decoded_features(self, modality: str) -> np.ndarray:
        return np.asarray(self.choice["selected"][modality], dtype=np.int64)

    def _encoded_features(self, modality: str) -> np.ndarray:
        return self._decoded_features(modality)

    def _scaled(self, grids: dict[str, Grid]) -> dict[str, Tensor]:
        assert isinstance(self.module, OmicsMLMModule)
        return self.module.scalings(grids)

    def _embed_scaled(self, scaled: dict[str, Tensor], grids: dict[str, Grid], batch: Batch) -> Tensor:
        assert isinstance(self.module, OmicsMLMModule)
        return self.module.embed(grids, batch, scaled).mean

    def _expected(self, batch: Batch, modality: str) -> Tensor:
        assert isinstance(self.module, OmicsMLMModule)
        grids = self.parts.tokenizer(batch)
        head = self.module(grids, batch).decoded[modality]
        return expected_values(self.module.kinds[modality], head, grids[modality], self.choice["depths"][modality])


def _select(kind: Kind, values: sparse.csr_matrix, groups_n: np.ndarray | None, config: OmicsMLMConfig) -> np.ndarray:
    """Choose the features that the model looks at."""
    if kind == "counts":
        return variable_features(values, config.n_variable, groups_n)
    if kind == "accessibility":
        return common_features(values, config.n_common)
    return np.arange(values.shape[1])


def _profile(kind: Kind, values: sparse.csr_matrix) -> list[float]:
    """Give each feature's share of all counts; equal shares for kinds that have no depth."""
    sums_g = np.asarray(values.sum(0)).ravel() if kind in SPARSE_KINDS else np.ones(values.shape[1])
    return [float(f"{share:.6g}") for share in sums_g / max(sums_g.sum(), 1.0)]


def _evidence(kind: Kind, values: sparse.csr_matrix) -> np.ndarray:
    """Give how much each row says: its counts, its open regions, or its measured values."""
    return np.asarray(values.sum(1)).ravel() if kind in ("counts", "protein") else values.getnnz(1)
