"""Families whose latent is initialised at principal components of selected features, which a decoder reconstructs."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm._types import SPARSE_KINDS, Batch, Kind
from omicsmlm.data import OmicsManager, batch_codes, name_digests, stored_values
from omicsmlm.nn import FoldSizes, are_paired, is_tied_by_links
from omicsmlm.objectives import AlignmentLoss, InitialTargets
from omicsmlm.training import Optimisation

from ._component_module import ComponentModule
from ._imputing import ImputingModel
from ._links import LINKED_KINDS, FeatureLinks, matched_links
from ._query import MOST_REFERENCE_EMBEDDINGS, QueryDerived, QueryModel
from ._records import Config, FormerFields

ACCESSIBILITY_WEIGHT = 0.1
"""Weight of the likelihood of open regions, beside 1 for RNA, whose counts say more of a cell (``docs/omicsmlm.md``)."""
KL_WARMUP = 0.3
"""Fraction of the training in which the weight of the KL divergence rises to its value."""
ADVERSARY_WEIGHT = 2.5
"""Weight of the adversary on the batch for each batch but one: the more there are, the weaker it is (``docs/experiments.md``)."""
MOST_ADVERSARY = 30.0
"""Largest weight of the adversary on the batch, however many batches there are."""
MOST_BALANCE: float | None = 4.0
"""Most that an observation counts in the adversary's loss, where each batch is given a like share of each cluster; with None all count
alike, and a batch that has other types in other proportions loses a part of their difference (``docs/experiments/recipe.md``)."""
N_FOLDS = 10
"""Folds of the observations that a network is initialised with, each of which is estimated by the others where modalities predict
one another (``docs/experiments/single_cell.md``)."""
WEIGHT_DECAY = 1e-4
"""Of AdamW, in both families (ours)."""


class ComponentConfig(Config, Protocol):
    """Hyper-parameters that all of these families have."""

    @property
    def learning_rate(self) -> float:
        """Of AdamW."""
        ...


@dataclass(frozen=True, kw_only=True)
class ComponentDerived(QueryDerived):
    """What is derived from the data, by modality."""

    selected: dict[str, list[int]]
    """Positions in the vocabulary of the features that are encoded, or reconstructed."""
    profiles: dict[str, list[float]]
    """Each feature's fraction of all counts; equal fractions for kinds that have no depth."""
    depths: dict[str, float]
    """Median depth of the observations that have the modality, over the selected features."""
    n_reference: int
    """Observations whose embedding is kept, for queries to be aligned with."""
    folds: FoldSizes = FoldSizes()
    """Folds of the observations that the network was initialised with; none where no modality predicts another."""
    links: FeatureLinks = FeatureLinks()
    """Links between genes and peaks, which bring together observations that have one of the two."""
    by_links_alone: bool = False
    """Whether they alone do, as few observations have both: what they initialised is then not trained. False in models of 0.1."""
    matched: tuple[str, ...] = ()
    """Modalities that they alone tie, whose moments are matched after a training; none in models of 0.1 and 0.2."""


class FeatureStatistics(NamedTuple):
    """What is read off the observations that have a modality; see :class:`ComponentDerived`."""

    selected: list[int]
    profile: list[float]
    depth: float


class ComponentModel[M: ComponentModule, C: ComponentConfig, D: ComponentDerived](
    ImputingModel[M, C, D], QueryModel[M, C, D]
):
    """Abstract: a family whose network is a :class:`ComponentModule`; it selects the features that are encoded, or reconstructed."""

    former_derived: ClassVar[FormerFields] = FormerFields(renamed={"n_remembered": "n_reference"})
    _links: pd.DataFrame | None = None
    _initial_targets: InitialTargets | None = None

    def __init__(
        self,
        data: AnnData | MuData,
        config: C | None = None,
        *,
        batch_key: str | Sequence[str] | None = None,
        labels: tuple[str, str] | None = None,
        links: pd.DataFrame | None = None,
    ) -> None:
        self._links = links
        super().__init__(data, config, batch_key=batch_key, labels=labels)
        self._links = None  # what of it concerns the model is in derived

    def _is_tied_by_links(self, seed: int) -> bool:
        """Return whether links are given, and alone tell of either modality, by the observations that the network is initialised with."""
        names = {state["kind"]: name for name, state in self.adata_manager.modalities.items()}
        if self._links is None or not isinstance(self.adata, MuData) or not set(LINKED_KINDS) <= set(names):
            return False
        sampled = self.adata.obs_names[self._sampled(self.adata_manager, seed)]
        genes_n, peaks_n = (sampled.isin(self.adata[names[kind]].obs_names) for kind in LINKED_KINDS)
        return is_tied_by_links(genes_n, peaks_n) and is_tied_by_links(peaks_n, genes_n)

    @abstractmethod
    def _select_features(
        self, kind: Kind, values: sparse.csr_matrix, groups_n: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Select features of a modality by the observations that have it.

        Parameters
        ----------
        kind
            Of the modality.
        values
            (n, g), with all features of the vocabulary, in the modality's own units.
        groups_n
            Batch of each observation, or None for one batch.

        Returns
        -------
        tuple of numpy.ndarray
            Positions of the selected features in the vocabulary, and (n,) the depth of each observation; :meth:`impute` takes
            the median for those that lack the modality.
        """

    @property
    def optimisation(self) -> Optimisation:
        """How the family is optimised."""
        decay = 0.0 if self.is_query else WEIGHT_DECAY  # it would move the weights that a query leaves as they are
        return Optimisation(learning_rate=self.config.learning_rate, weight_decay=decay)

    def _n_stages(self) -> int:
        """Count also those of :meth:`_read` and of the initialisation: four for each modality, and one for each pair of them."""
        n = len(self.adata_manager.modalities)
        return super()._n_stages() + 4 * n + n * (n - 1)

    def _component_derived(self, sample: Sequence[Batch]) -> ComponentDerived:
        """Return what these families have in common of what they derive from the data."""
        read = {name: self._read(name, state, sample) for name, state in self.adata_manager.modalities.items()}
        return ComponentDerived(
            selected={name: found.selected for name, found in read.items()},
            profiles={name: found.profile for name, found in read.items()},
            depths={name: found.depth for name, found in read.items()},
            n_reference=min(MOST_REFERENCE_EMBEDDINGS, self.adata.n_obs),
            **self._ties(sample),
        )

    def _ties(self, sample: Sequence[Batch]) -> dict[str, Any]:
        """Return what modalities are initialised by each other with: links, and folds of the observations that it is done with."""
        names = self.adata_manager.modalities
        has = {name: np.concatenate([batch.present[name].numpy() for batch in sample]) for name in names}
        links = FeatureLinks() if self._links is None else matched_links(self._links, names)
        is_tied = are_paired(has) or bool(links.weights)
        by_links_alone = self._is_tied_by_links(self.config.seed)
        return {
            "folds": FoldSizes(N_FOLDS, len(np.unique(name_digests(sample)))) if is_tied else FoldSizes(),
            "links": links,
            "by_links_alone": by_links_alone,
            "matched": tuple(m for m, s in names.items() if s["kind"] in LINKED_KINDS) if by_links_alone else (),
        }

    def _without_pairs(self) -> str | None:
        """Return how modalities are tied else; None where links do it."""
        if self.derived.links.weights:
            return None
        kinds = {state["kind"] for state in self.adata_manager.modalities.values()}
        remedy = "pass links=, a table of genes and the peaks near them (omicsmlm.pp.link_peaks)"
        if not {"counts", "accessibility"} <= kinds:
            remedy = "add observations that have two"
        return f"; otherwise nothing brings these together: {remedy}"

    def _targets(self, derived: D, otherwise: AlignmentLoss, strength: float = 1.0) -> AlignmentLoss:
        """Return the loss that draws masked observations to whole ones: where links tie modalities, to those before the training."""
        self._initial_targets = InitialTargets(strength=strength) if derived.links.weights else None
        return otherwise if self._initial_targets is None else self._initial_targets

    def _prepare_training(self, train_indices: np.ndarray) -> None:
        super()._prepare_training(train_indices)
        targets = self._initial_targets
        # those from before a training that was interrupted are kept
        if targets is not None and not self.is_query and not targets.is_prepared:
            embedding_nd = torch.from_numpy(self.get_latent_representation())
            codes_nk = self.adata_manager.observation_dataset().covariates.long()
            batch_n = codes_nk[:, 0] if codes_nk.shape[1] else torch.zeros(len(codes_nk), dtype=torch.int64)
            targets.prepare(embedding_nd, batch_n, self.config.seed)

    def finish_training(self, train_indices: np.ndarray) -> None:
        """Take back how the training moved modalities against one another, where links alone tie them."""
        moments = self.module.moments
        before_nd = None if self._initial_targets is None else self._initial_targets.taken()
        if moments is not None and before_nd is not None:
            after_nd = torch.from_numpy(self.get_latent_representation(indices=train_indices))
            values = self.adata_manager.observation_dataset().modalities
            has_nm = np.stack([values[name].in_modality(train_indices) >= 0 for name in moments.names], 1)
            moments.match(before_nd[train_indices], after_nd, torch.from_numpy(has_nm))
        super().finish_training(train_indices)

    @contextmanager
    def _with_trained_weights(self) -> Iterator[None]:
        """Leave what links alone initialised out of a training; heads may fine-tune it, also after one that was interrupted."""
        is_left_out = self.derived.by_links_alone and not self.is_query
        left_out = [weight for weight in self.module.linear_path() if weight.requires_grad] if is_left_out else []
        for weight in left_out:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in left_out:
                weight.requires_grad_(True)

    def _describe(self) -> str:
        links = self.derived.links
        return super()._describe() + (f"; {links}" if links.weights else "")

    def _read(self, name: str, state: dict[str, Any], sample: Sequence[Batch]) -> FeatureStatistics:
        """Return what is read off the observations that have a modality, of a sample."""
        self._stage(f"choosing features of {name}")
        groups_n = batch_codes(sample)
        present_n = np.concatenate([batch.present[name].numpy() for batch in sample])
        groups = None if groups_n is None else groups_n[present_n]
        values = stored_values(sample, name, len(state["vocabulary"]))
        values = values if present_n.all() else values[present_n]
        selected, depth_n = self._select_features(state["kind"], values, groups)
        return FeatureStatistics(selected.tolist(), _profile(state["kind"], values), float(np.median(depth_n)))

    def _extended(self, manager: OmicsManager, added: list[str]) -> D:
        """Return ``derived`` with the same of added features, which is read off a query."""
        sample, known = self._sample(manager), self.derived
        read = {name: self._read(name, manager.modalities[name], sample) for name in added}
        return replace(
            known,
            selected={**known.selected, **{name: found.selected for name, found in read.items()}},
            profiles={**known.profiles, **{name: found.profile for name, found in read.items()}},
            depths={**known.depths, **{name: found.depth for name, found in read.items()}},
        )

    def _decoded_features(self, modality: str) -> np.ndarray:
        return np.asarray(self.derived.selected[modality], dtype=np.int64)


def _profile(kind: Kind, values: sparse.csr_matrix) -> list[float]:
    """Return each feature's fraction of all counts; equal fractions for kinds that have no depth."""
    sums_g = np.asarray(values.sum(0)).ravel() if kind in SPARSE_KINDS else np.ones(values.shape[1])
    return [float(f"{fraction:.6g}") for fraction in sums_g / max(sums_g.sum(), 1.0)]
