"""OmicsMLM: one masked autoencoder for any set of modalities, paired or not."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from omicsmlm._types import Batch, Grid, Kind, Parts
from omicsmlm.data import batch_codes
from omicsmlm.masking import MaskFeatures
from omicsmlm.models.base import EMBEDDING_BATCH_SIZE, MOST_ADVERSARY, ComponentModel, ExplainingModel
from omicsmlm.objectives import (
    ClusterAlignment,
    LatentReconstruction,
    MutualNeighbours,
    Pull,
    expected_values,
)
from omicsmlm.tokenizers import FeatureSets, common_features, sample_values, variable_features

from ._config import KL_FACTORS, OmicsMLMConfig, OmicsMLMDerived
from ._module import OmicsMLMModule


class OmicsMLM(
    ComponentModel[OmicsMLMModule, OmicsMLMConfig, OmicsMLMDerived],
    ExplainingModel[OmicsMLMModule, OmicsMLMConfig, OmicsMLMDerived],
):
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
    derived_class: ClassVar[type] = OmicsMLMDerived

    def __init__(
        self, data: Any, config: OmicsMLMConfig | None = None, *, batch_key: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(data, config, batch_key=batch_key)

    def _configured(self, config: OmicsMLMConfig | None, n_obs: int) -> OmicsMLMConfig:
        return (config or OmicsMLMConfig()).for_rows(n_obs)

    def _derive(self, sample: Sequence[Batch]) -> OmicsMLMDerived:
        found, weights = self._component_derived(sample), self._weights(informative_only=True)
        evidence = sum(weights[name] * depth for name, depth in found.depths.items())
        return OmicsMLMDerived(**vars(found), evidence=evidence)

    def _select_features(
        self, kind: Kind, values: sparse.csr_matrix, groups_n: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        selected = _select(kind, values, groups_n, self.config)
        return selected, _evidence(kind, values, selected)

    def _initialize_added(self, added: list[str]) -> None:
        sample = self._sample()
        grids = [self.parts.tokenizer(batch) for batch in sample]
        self.module.start_added(grids, added, batch_codes(sample), self.config.seed)

    def _weights(self, *, informative_only: bool = False) -> dict[str, float]:
        """Weigh each modality's likelihood; for how much a row says, proteins count no more than RNA."""
        protein_weight = 1.0 if informative_only else self.config.protein_weight
        by_kind = {"protein": protein_weight, "accessibility": self.config.accessibility_weight}
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
        module = OmicsMLMModule(kinds, n_features, n_categories, c, n_fixed=n_fixed, n_reference=derived.n_reference)
        if n_known is not None:
            module.adapt_only(n_known, derived.added)
        pulls: dict[str, tuple[Pull, float]] = {}
        if n_known is None:
            pulls["alignment"] = (ClusterAlignment(strength=c.batch_strength), c.alignment_weight)
        if n_known is None and n_batches > 1 and c.batch_strength > 0:
            pulls["neighbours"] = (MutualNeighbours(), c.neighbour_weight * c.batch_strength)
        objective = LatentReconstruction(
            kinds,
            self._weights(),
            kl_weight=c.kl_weight * float(np.clip((derived.evidence / 1000) ** c.kl_power, *KL_FACTORS)),
            kl_warmup=c.kl_warmup,
            adversary_weight=c.batch_strength * min(c.adversary_weight * (n_batches - 1), MOST_ADVERSARY),
            pulls=pulls,
        )
        return Parts(
            tokenizer=FeatureSets(kinds, selected, profiles),
            masking=MaskFeatures(c.hidden_rates, c.modality_rate),
            module=module,
            objective=objective,
            memory=objective if pulls else None,
        )

    def _initialize(self, sample: Sequence[Batch]) -> None:
        assert isinstance(self.parts.tokenizer, FeatureSets)
        found = {}
        for name in self.module.kinds:
            self._stage(f"gathering {name}")
            found[name] = sample_values(self.parts.tokenizer, name, sample)
        values, has = {m: pair[0] for m, pair in found.items()}, {m: pair[1] for m, pair in found.items()}
        self.module.start(values, has, batch_codes(sample), self.config, self._stage)

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
    """Choose the features that the model looks at."""
    if kind == "counts":
        return variable_features(values, config.n_variable, groups_n)
    if kind == "accessibility":
        return common_features(values, config.n_common)
    return np.arange(values.shape[1])


def _evidence(kind: Kind, values: sparse.csr_matrix, selected: np.ndarray) -> np.ndarray:
    """Give how much each row says by selected features: its counts, its open regions, or its measured values."""
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
