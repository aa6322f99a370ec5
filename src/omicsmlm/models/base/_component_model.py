"""Families whose latent starts at principal components of selected features, which a decoder rebuilds."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from omicsmlm._types import SPARSE_KINDS, Batch, Kind
from omicsmlm.data import OmicsManager, batch_codes, stored_values
from omicsmlm.training import Optimisation

from ._imputing import ImputingModel
from ._query import REMEMBERED_ROWS, QueryModel

MOST_ADVERSARY = 30.0
"""Largest weight of the adversary on the batch, however many batches there are."""


class ComponentModel(ImputingModel, QueryModel):
    """Abstract: a family whose network is a :class:`ComponentModule`; it says which features are looked at, or rebuilt."""

    @abstractmethod
    def _select_features(
        self, kind: Kind, values: sparse.csr_matrix, groups_n: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose features of a modality by the observations that have it.

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
            Positions of the chosen features in the vocabulary, and (n,) how deep each observation is, as :meth:`impute` takes
            it for those that lack the modality.
        """

    @property
    def optimisation(self) -> Optimisation:
        """How the family is optimised."""
        decay = 0.0 if self.is_query else self.config.weight_decay  # it would move what a query must not move
        return Optimisation(learning_rate=self.config.learning_rate, weight_decay=decay)

    def _n_stages(self) -> int:
        """Count also those of :meth:`_read` and of the start: four for each modality, and one for each pair of them."""
        n = len(self.adata_manager.modalities)
        return super()._n_stages() + 4 * n + n * (n - 1)

    def _choose(self, sample: Sequence[Batch]) -> dict[str, Any]:
        """Read off the data ``selected``, ``profiles`` and ``depths`` of each modality, and how much a memory holds."""
        read = {name: self._read(name, state, sample) for name, state in self.adata_manager.modalities.items()}
        parts = ("selected", "profiles", "depths")
        return {
            **{part: {name: found[part] for name, found in read.items()} for part in parts},
            "n_remembered": min(REMEMBERED_ROWS, self.adata.n_obs),
        }

    def _read(self, name: str, state: dict[str, Any], sample: Sequence[Batch]) -> dict[str, Any]:
        """Read off observations which features of a modality to take, their fractions of all counts, and the median depth."""
        self._stage(f"choosing features of {name}")
        groups_n = batch_codes(sample)
        present_n = np.concatenate([batch.present[name].numpy() for batch in sample])
        groups = None if groups_n is None else groups_n[present_n]
        values = stored_values(sample, name, len(state["vocabulary"]))
        values = values if present_n.all() else values[present_n]
        selected, depth_n = self._select_features(state["kind"], values, groups)
        return {
            "selected": selected.tolist(),
            "profiles": _profile(state["kind"], values),
            "depths": float(np.median(depth_n)),
        }

    def _extended(self, manager: OmicsManager, added: list[str]) -> dict[str, Any]:
        """Read the same off a query, of added features alone."""
        sample, choice = self._sample(manager), {**self.choice, "added": added}
        for name in added:
            for part, found in self._read(name, manager.modalities[name], sample).items():
                choice[part] = {**choice[part], name: found}
        return choice

    def _decoded_features(self, modality: str) -> np.ndarray:
        return np.asarray(self.choice["selected"][modality], dtype=np.int64)


def _profile(kind: Kind, values: sparse.csr_matrix) -> list[float]:
    """Return each feature's fraction of all counts; equal fractions for kinds that have no depth."""
    sums_g = np.asarray(values.sum(0)).ravel() if kind in SPARSE_KINDS else np.ones(values.shape[1])
    return [float(f"{fraction:.6g}") for fraction in sums_g / max(sums_g.sum(), 1.0)]
