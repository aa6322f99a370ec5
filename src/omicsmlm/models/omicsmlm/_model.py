"""OmicsMLM: one masked autoencoder for any set of modalities, paired or not."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from omicsmlm._types import Batch, Grid, Kind, Parts
from omicsmlm.data import batch_codes, name_digests
from omicsmlm.masking import MaskFeatures
from omicsmlm.models.base import (
    ACCESSIBILITY_WEIGHT,
    ADVERSARY_WEIGHT,
    EMBEDDING_BATCH_SIZE,
    KL_WARMUP,
    MOST_ADVERSARY,
    MOST_BALANCE,
    MOST_REFERENCE_EMBEDDINGS,
    Batches,
    ComponentModel,
    ExplainingModel,
    FormerFields,
    announce,
)
from omicsmlm.nn import MOST_PROFILES, OBSERVATIONS_PER_CLUSTER, Fitting, Observed, ShiftSizes
from omicsmlm.objectives import (
    AlignmentLoss,
    ClusterAlignment,
    LatentReconstruction,
    MutualNeighbours,
    SemiSupervised,
    expected_values,
)
from omicsmlm.tokenizers import FeatureGrids, common_features, sample_values, variable_features

from ._config import (
    ALIGNMENT_WEIGHT,
    FORMER_CONFIG,
    KL_DEPTH,
    KL_FACTORS,
    KL_POWER,
    LABEL_WEIGHT,
    NEIGHBOUR_WEIGHT,
    OWN_NEIGHBOUR_WEIGHT,
    PROTEIN_WEIGHT,
    OmicsMLMConfig,
    OmicsMLMDerived,
)
from ._module import OmicsMLMModule
from ._setup import UNLABELED, SetupWithLabels


class OmicsMLM(
    SetupWithLabels,
    ComponentModel[OmicsMLMModule, OmicsMLMConfig, OmicsMLMDerived],
    ExplainingModel[OmicsMLMModule, OmicsMLMConfig, OmicsMLMDerived],
):
    """Masked autoencoder over any set of modalities, single cell or bulk, paired or not.

    Masks features and whole modalities at random, encodes the visible rest as a set, and reconstructs everything from one
    latent per observation, each modality by the likelihood of its kind. Only the decoder is conditioned on the batch.

    Parameters
    ----------
    data
        MuData or AnnData.
    config
        Hyper-parameters; None for the defaults.
    batch_key
        Column of ``obs`` with the batch, or several; None if there is none or if a ``setup_*`` method has named it.
    labels_key
        Column of ``obs`` with labels that the embedding is to tell apart; None, the default, for an embedding that sees none.
    unlabeled_category
        Value of that column that is no label; missing values are none either.
    links
        Genes and the peaks near them: a table with the columns ``gene`` and ``peak``, and ``weight`` where links are not alike, such
        as :func:`omicsmlm.pp.link_peaks` makes. It brings together cells with RNA and cells with ATAC where few have both, or none.

    Notes
    -----
    Labels enter the loss of a training, as the cross-entropy of a linear layer on the latent, and nothing else: the encoder is not
    given them, so that observations embed alike with and without, and the column of a query is never read.

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
    derived_class: ClassVar[type] = OmicsMLMDerived
    former_config: ClassVar[FormerFields] = FORMER_CONFIG
    former_derived: ClassVar[FormerFields] = FormerFields(
        renamed={**ComponentModel.former_derived.renamed, "evidence": "depth"}
    )

    def __init__(
        self,
        data: Any,
        config: OmicsMLMConfig | None = None,
        *,
        batch_key: str | Sequence[str] | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = UNLABELED,
        links: pd.DataFrame | None = None,
    ) -> None:
        labels = None if labels_key is None else (labels_key, unlabeled_category)
        super().__init__(data, config, batch_key=batch_key, labels=labels, links=links)

    def _configured(self, config: OmicsMLMConfig | None, n_obs: int) -> OmicsMLMConfig:
        given = config or OmicsMLMConfig()
        return given.for_n_obs(n_obs, is_linear=self._is_tied_by_links(given.seed))

    def _derive(self, sample: Sequence[Batch]) -> OmicsMLMDerived:
        found, weights = self._component_derived(sample), self._weights(protein_weight=1.0)
        rna = {name for name, state in self.adata_manager.modalities.items() if state["kind"] == "counts"}
        depth = sum(weights[name] * depth for name, depth in found.depths.items() if name in (rna or found.depths))
        compared = tuple(m for m, state in self.adata_manager.modalities.items() if state["kind"] != "accessibility")
        n_profiles = max(1, min(MOST_PROFILES, self.adata.n_obs // OBSERVATIONS_PER_CLUSTER))
        shifts = ShiftSizes(compared, n_profiles if compared else 0)
        return OmicsMLMDerived(**vars(found), depth=depth, shifts=shifts)

    def _select_features(
        self, kind: Kind, values: sparse.csr_matrix, groups_n: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        selected = _select(kind, values, groups_n, self.config)
        return selected, _depth(kind, values, selected)

    def _initialize_added(self, added: list[str]) -> None:
        sample = self._sample()
        grids = [self.parts.tokenizer(batch) for batch in sample]
        self.module.initialize_added(grids, added, batch_codes(sample), self.config.seed)

    def _weights(self, protein_weight: float = PROTEIN_WEIGHT) -> dict[str, float]:
        """Return the weight of each modality's likelihood; in the depth of an observation, proteins count no more than RNA."""
        by_kind = {"protein": protein_weight, "accessibility": ACCESSIBILITY_WEIGHT}
        return {name: by_kind.get(state["kind"], 1.0) for name, state in self.adata_manager.modalities.items()}

    def _assemble(self, derived: OmicsMLMDerived) -> Parts:
        c, states = self.config, self.adata_manager.modalities
        kinds: dict[str, Kind] = {name: state["kind"] for name, state in states.items()}
        selected = {name: torch.tensor(positions) for name, positions in derived.selected.items()}
        profiles = {name: torch.tensor(profile) for name, profile in derived.profiles.items()}
        n_categories = [len(categories) for categories in self.adata_manager.covariates.values()]
        n_batches = n_categories[0] if n_categories else 1
        n_fixed, n_known = derived.n_fixed_batches, derived.n_known_batches
        n_features = {name: len(s) for name, s in selected.items()}
        batches = Batches(n_categories, n_fixed, derived.n_reference, len(self.adata_manager.numbers["keys"]))
        module = OmicsMLMModule(
            kinds,
            n_features,
            batches,
            c,
            folds=derived.folds,
            n_labels=len(self.adata_manager.labels),
            shifts=derived.shifts,
        )
        module.set_up_moments(derived.matched)
        if n_known is not None:
            module.adapt_only(n_known, derived.added)
        alignment_losses: dict[str, tuple[AlignmentLoss, float]] = {}
        if n_known is None:
            clusters = ClusterAlignment(strength=c.batch_strength, most_weight=MOST_BALANCE)
            whole_cells = self._targets(derived, clusters, c.batch_strength)
            alignment_losses["alignment"] = (whole_cells, ALIGNMENT_WEIGHT)
        if n_known is None and n_batches > 1 and c.batch_strength > 0:
            alignment_losses["neighbours"] = (MutualNeighbours(), NEIGHBOUR_WEIGHT * c.batch_strength)
        if n_known is None and n_batches == 1 and "counts" in kinds.values() and not derived.links.weights:
            alignment_losses["neighbours"] = (MutualNeighbours(halves=True), OWN_NEIGHBOUR_WEIGHT)
        objective = LatentReconstruction(
            kinds,
            self._weights(),
            kl_weight=c.kl_weight * float(np.clip((derived.depth / KL_DEPTH) ** KL_POWER, *KL_FACTORS)),
            kl_warmup=KL_WARMUP,
            adversary_weight=c.batch_strength * min(ADVERSARY_WEIGHT * (n_batches - 1), MOST_ADVERSARY),
            alignment_losses=alignment_losses,
            depths=derived.depths,
        )
        whole: LatentReconstruction | SemiSupervised = objective
        if module.labels is not None and n_known is None:  # a query adapts without labels
            whole = SemiSupervised(objective, LABEL_WEIGHT)
        return Parts(
            tokenizer=FeatureGrids(kinds, selected, profiles),
            masking=MaskFeatures(c.mask_rates, c.modality_rate),
            module=module,
            objective=whole,
            memory=whole if alignment_losses else None,
        )

    def finish_training(self, train_indices: np.ndarray) -> None:
        """Keep embeddings of some observations, and mean profiles, for queries to be compared and aligned with."""
        super().finish_training(train_indices)
        if self.module.shifts is not None and not self.is_query:
            indices = self._reference_indices()
            self.module.shifts.summarise(*self._observed(indices), self._batch_codes()[indices])

    def _compare_with_reference(self) -> None:
        shifts, n_known = self.module.shifts, self.derived.n_known_batches
        if shifts is None or n_known is None:
            return
        code_n, rng = self._batch_codes(), np.random.default_rng(self.config.seed)
        for batch in range(n_known, n_known + len(self._new_batches())):
            own = np.flatnonzero(code_n == batch)
            if len(own) > MOST_REFERENCE_EMBEDDINGS:
                own = np.sort(rng.choice(own, MOST_REFERENCE_EMBEDDINGS, replace=False))
            shifts.fit(batch, *self._observed(own))
        n_shifted = shifts.n_shifted()
        if n_shifted:
            announce(
                f"{type(self).__name__}: {n_shifted:,} features are shifted in a new batch, and count less than half there."
            )

    def _batch_codes(self) -> np.ndarray:
        """Return the batch of each observation, (n,) int64; 0 where there are none."""
        covariates_nk = self.adata_manager.create_torch_dataset().covariates
        return covariates_nk[:, 0].numpy() if covariates_nk.shape[1] else np.zeros(self.adata.n_obs, dtype=np.int64)

    def _observed(self, indices: np.ndarray) -> tuple[Observed, np.ndarray]:
        """Return the scaled values of the modalities that are compared with a reference, and the embedding, of observations."""
        module, d = self.module, self.module.n_latent
        assert module.shifts is not None
        names, g = list(module.shifts.n_features), sum(module.shifts.n_features.values())

        def read(batch: Batch) -> Tensor:
            grids = self.parts.tokenizer(batch)
            scaled = module.scalings(grids)
            visible = [grids[name].visible.float() for name in names]
            # what is visible of an observation is scaled up for what is not
            values = [scaled[m] * v.mean(1, keepdim=True).sqrt() for m, v in zip(names, visible, strict=True)]
            return torch.cat([*values, *visible, module.unaligned(grids, batch).mean], 1)

        found = self.map_observations(None, indices, None, 2 * g + d, read)[0]
        return Observed(found[:, :g], found[:, g : 2 * g] > 0), found[:, 2 * g :]

    def _prepare_training(self, train_indices: np.ndarray) -> None:
        super()._prepare_training(train_indices)
        if isinstance(self.parts.objective, SemiSupervised):
            codes_n = self.adata_manager.label_codes()
            assert codes_n is not None  # there is a layer of labels
            self.parts.objective.codes_n = torch.from_numpy(codes_n)

    def _initialize(self, sample: Sequence[Batch]) -> None:
        assert isinstance(self.parts.tokenizer, FeatureGrids)
        found = {}
        for name in self.module.kinds:
            self._stage(f"gathering {name}")
            found[name] = sample_values(self.parts.tokenizer, name, sample)
        values, has = {m: pair[0] for m, pair in found.items()}, {m: pair[1] for m, pair in found.items()}
        links = self.derived.links.between(self.derived.selected)
        fitting = Fitting(self.config.seed, batch_codes(sample), links=links)
        self.module.initialize(values, has, fitting, self.config, self._stage, name_digests(sample))

    def _encoded_features(self, modality: str) -> np.ndarray:
        return self._decoded_features(modality)

    def _decoder_weights(self, modality: str) -> Tensor:
        return self.module.decoder.head(modality).linear.weight

    def _scaled(self, grids: dict[str, Grid]) -> dict[str, Tensor]:
        return self.module.scalings(grids)

    def _embed_scaled(self, scaled: dict[str, Tensor], grids: dict[str, Grid], batch: Batch) -> Tensor:
        return self.module.embed(grids, batch, scaled).mean

    def _expected(self, batch: Batch, modality: str) -> Tensor:
        grids = self.parts.tokenizer(batch)
        head = self.module(grids, batch).decoded[modality]
        return expected_values(self.module.kinds[modality], head, grids[modality], self.derived.depths[modality])


def _select(kind: Kind, values: sparse.csr_matrix, groups_n: np.ndarray | None, config: OmicsMLMConfig) -> np.ndarray:
    """Return the positions of the selected features of a modality."""
    if kind == "counts":
        return variable_features(values, config.n_variable, groups_n)
    if kind == "accessibility":
        return common_features(values, config.n_common)
    return np.arange(values.shape[1])


def _depth(kind: Kind, values: sparse.csr_matrix, selected: np.ndarray) -> np.ndarray:
    """Return the (n,) depth of observations over selected features: their counts, open regions, or measured values."""
    is_selected_g = np.zeros(values.shape[1], dtype=np.float32)
    is_selected_g[selected] = 1
    if kind in ("counts", "protein"):
        return values @ is_selected_g
    counts = []
    for first in range(0, values.shape[0], EMBEDDING_BATCH_SIZE):
        block = values[first : first + EMBEDDING_BATCH_SIZE]
        n_before_t = np.concatenate([[0], np.cumsum(is_selected_g[block.indices] > 0)])
        counts.append(np.diff(n_before_t[block.indptr]))
    return np.concatenate(counts) if counts else np.zeros(0)
