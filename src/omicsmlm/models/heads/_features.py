"""The features of observations as an exact linear model takes them, for any family: scaled, all modalities in one matrix."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from omicsmlm._types import SPARSE_KINDS, Batch, Kind
from omicsmlm.data import observation_loader, stored_values
from omicsmlm.models.base import EMBEDDING_BATCH_SIZE, OmicsModel
from omicsmlm.nn import Scalings, only_present
from omicsmlm.tokenizers import FeatureGrids, common_features, variable_features

MOST_FEATURES: dict[str, int] = {"counts": 2000, "accessibility": 15_000}
"""Most features that are selected: the most variable counts, the most common open regions; of other kinds all."""


class ObservationFeatures(nn.Module):
    """Scaled features of observations, the modalities beside one another; 0, the mean, where a feature is not visible.

    Parameters
    ----------
    kinds
        Kind of each modality.
    n_vocabulary, n_selected
        Features of each modality, and how many of them are selected.
    """

    def __init__(
        self, kinds: Mapping[str, Kind], n_vocabulary: Mapping[str, int], n_selected: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.sizes: dict[str, dict[str, Any]] = {
            "kinds": dict(kinds),
            "n_vocabulary": dict(n_vocabulary),
            "n_selected": dict(n_selected),
        }
        self.names = list(kinds)
        selected = {name: torch.arange(n) for name, n in n_selected.items()}
        profiles = {name: torch.full((n,), 1 / n) for name, n in n_vocabulary.items()}
        self.tokenizer = FeatureGrids(kinds, selected, profiles)
        self.scalings = Scalings(kinds, n_selected)

    @property
    def n_features(self) -> int:
        """Width of the matrix."""
        return sum(self.sizes["n_selected"].values())

    @property
    def spans(self) -> dict[str, slice]:
        """Columns of each modality."""
        ends = np.cumsum([0, *self.sizes["n_selected"].values()])
        return {name: slice(ends[m], ends[m + 1]) for m, name in enumerate(self.names)}

    @classmethod
    def of(cls, model: OmicsModel, indices: np.ndarray) -> Self:
        """Return the features that are selected and scaled by some observations of a model's object."""
        states = model.adata_manager.modalities
        sample = list(observation_loader(model.adata_manager, indices, EMBEDDING_BATCH_SIZE))
        chosen = {name: _selected(name, state, sample) for name, state in states.items()}
        kinds: dict[str, Kind] = {name: state["kind"] for name, state in states.items()}
        n_vocabulary = {name: len(state["vocabulary"]) for name, state in states.items()}
        made = cls(kinds, n_vocabulary, {name: len(selected) for name, (selected, _) in chosen.items()})
        selected, profiles = ({name: part[k] for name, part in chosen.items()} for k in (0, 1))
        made.tokenizer = FeatureGrids(kinds, selected, profiles)
        grids = [made.tokenizer(batch) for batch in sample]
        for name in states:
            made.scalings.fit(name, [only_present(grid[name]) for grid in grids])
        return made.eval()

    def forward(self, batch: Batch) -> Tensor:
        """Return scaled values, (n, g)."""
        return torch.cat(list(self.scalings(self.tokenizer(batch)).values()), 1)

    def subset_codes(self, batch: Batch) -> Tensor:
        """Return codes, (n,) int64, of the modality subset that each observation has: bit m for the modality m."""
        present_nm = torch.stack([batch.present[name] for name in self.names], 1).long()
        return (present_nm << torch.arange(len(self.names), device=present_nm.device)).sum(1)

    def subset_name(self, code: int) -> str:
        """Return the names of the modalities of a code.

        Examples
        --------
        >>> ObservationFeatures({"a": "real", "b": "real"}, {"a": 1, "b": 1}, {"a": 1, "b": 1}).subset_name(3)
        'a + b'
        """
        return " + ".join(name for m, name in enumerate(self.names) if code >> m & 1)

    def of_observations(self, model: OmicsModel, indices: np.ndarray) -> np.ndarray:
        """Return the features, (n, g) float32, of observations of a model's object."""
        self.to(model.device)
        return model.map_observations(None, indices, None, self.n_features, self)[0]


def _selected(name: str, state: Mapping[str, Any], sample: list[Batch]) -> tuple[Tensor, Tensor]:
    """Return which features of a modality are selected, (g,), and each feature's fraction of all counts, (v,)."""
    n_vocabulary, kind = len(state["vocabulary"]), state["kind"]
    values = stored_values(sample, name, n_vocabulary)
    sums_v = np.asarray(values.sum(0)).ravel() if kind in SPARSE_KINDS else np.ones(n_vocabulary)
    selected = np.arange(n_vocabulary)
    if kind in MOST_FEATURES:
        present_n = np.concatenate([batch.present[name].numpy() for batch in sample])
        own = values[present_n]
        selected = (
            variable_features(own, MOST_FEATURES[kind], None)
            if kind == "counts"
            else common_features(own, MOST_FEATURES[kind])
        )
    profile = torch.from_numpy(sums_v / max(sums_v.sum(), 1e-12)).float()
    return torch.from_numpy(np.asarray(selected, dtype=np.int64)), profile
