"""What a classifier has derived from its data: the ``choice`` of its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

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

    def to_json(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        table = self.candidates.reset_index().to_dict(orient="list")
        return {"features": self.features, "n_views": self.n_subsets, "candidates": table}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        table = pd.DataFrame(content["candidates"]).set_index(CANDIDATE_INDEX)
        return cls(content["features"], content["n_views"], table)


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
