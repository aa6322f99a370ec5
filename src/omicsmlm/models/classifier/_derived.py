"""What a classifier has derived from its data: the ``choice`` of its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from omicsmlm.models.heads import ObservationFeatures
from omicsmlm.nn import ComponentLogits, SubsetLogits

CANDIDATE_INDEX = ["view", "candidate"]
"""Index of the table of candidates: the modalities that an observation has, and the linear model."""


@dataclass(frozen=True)
class LinearModelsDerived:
    """What it takes to make the linear models of the features again, and how well each predicted held-out observations."""

    features: dict[str, dict[str, Any]]
    """Sizes of :class:`~omicsmlm.models.heads.ObservationFeatures`."""
    n_subsets: int
    """Modality subsets with a model of their own."""
    candidates: pd.DataFrame
    """See :attr:`Classifier.candidates`."""
    n_components: int | None = None
    """Components of the regressions beside the embedding; None for the ensemble of linear models."""

    @classmethod
    def of(
        cls, features: ObservationFeatures, logits: SubsetLogits | ComponentLogits, candidates: pd.DataFrame
    ) -> Self:
        """Return the sizes of fitted linear models."""
        if isinstance(logits, ComponentLogits):
            return cls(features.sizes, 1, candidates, logits.direction_gk.shape[1])
        return cls(features.sizes, len(logits.special_vc), candidates)

    def parts(self, n_labels: int, n_latent: int) -> tuple[ObservationFeatures, SubsetLogits | ComponentLogits]:
        """Make features and linear models of these sizes, whose weights are to be loaded."""
        features = ObservationFeatures(**self.features)
        n_modalities, sizes = len(features.names), (n_labels, features.n_features, n_latent)
        if self.n_components is None:
            return features, SubsetLogits(n_modalities, self.n_subsets, *sizes)
        return features, ComponentLogits(n_modalities, *sizes, self.n_components)

    def to_json(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        table = self.candidates.reset_index().to_dict(orient="list")
        components = {} if self.n_components is None else {"n_components": self.n_components}
        return {"features": self.features, "n_views": self.n_subsets, "candidates": table, **components}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        table = pd.DataFrame(content["candidates"]).set_index(CANDIDATE_INDEX)
        return cls(content["features"], content["n_views"], table, content.get("n_components"))


@dataclass(frozen=True)
class ClassifierDerived:
    """What a trained classifier has derived from its data.

    The keys of its files are those of 0.1: the linear models are called ``anchor`` there.
    """

    model: str
    """Class of the model that it is made of."""
    labels: list[str]
    """Names of the labels, in the order of their codes."""
    labels_key: str
    unlabeled_category: str
    label_noise: float
    """Estimated fraction of labels that look as if drawn at random."""
    held_out: dict[str, float]
    """Scores of held-out observations."""
    linear_models: LinearModelsDerived | None
    """None where labels are predicted from the embedding alone."""

    def to_json(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        return {
            "model": self.model,
            "labels": self.labels,
            "labels_key": self.labels_key,
            "unlabeled_category": self.unlabeled_category,
            "label_noise": self.label_noise,
            "held_out": self.held_out,
            "anchor": None if self.linear_models is None else self.linear_models.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave, or what 0.1 wrote before there were linear models."""
        names = ("model", "labels", "labels_key", "unlabeled_category", "label_noise", "held_out")
        linear_models = content.get("anchor")
        return cls(
            **{name: content[name] for name in names},
            linear_models=None if linear_models is None else LinearModelsDerived.from_json(linear_models),
        )
