"""What a classifier consists of, and how that is saved and restored."""

from collections.abc import Mapping
from typing import Any, Self

import pandas as pd
from torch import Tensor, nn

from omicsmlm._checks import named
from omicsmlm._random_state import own_random_state
from omicsmlm.models.base import OmicsModel, state_under
from omicsmlm.models.heads import HeadModel, ObservationFeatures
from omicsmlm.nn import ComponentLogits, LabelHead, SubsetLogits

from ._config import FORMER_CONFIG, ClassifierConfig
from ._derived import ClassifierDerived, LinearModelsDerived
from ._module import ClassifierModule

FEATURES, LINEAR_MODELS = "features.", "anchor."
"""Where the names of their weights begin, in the files of a classifier."""


class ClassifierState(HeadModel):
    """Abstract: a label head on the encoder of a model, the linear models beside it, and what is known of both.

    Parameters
    ----------
    model
        A model of any family, which is copied.
    labels_key, unlabeled_category
        See :meth:`Classifier.from_model`.
    labels
        Names of the labels, in the order of their codes.
    config
        Hyper-parameters.
    """

    noun = "classifier"
    config_class = ClassifierConfig
    former_config = FORMER_CONFIG

    def __init__(
        self, model: OmicsModel, labels_key: str, unlabeled_category: str, labels: list[str], config: ClassifierConfig
    ) -> None:
        super().__init__(model, config)
        self.labels_key = labels_key
        self.unlabeled_category = unlabeled_category
        self.labels = labels
        with own_random_state(config.seed, devices=[]):
            head = LabelHead(self.model.module.n_latent, len(labels), config.hidden_widths)
        self.module = ClassifierModule(self.model.module, head).eval()
        self.features: ObservationFeatures | None = None
        self.linear_models: SubsetLogits | ComponentLogits | None = None
        self.candidates: pd.DataFrame | None = None
        self.label_noise = 0.0
        self.held_out: dict[str, float] = {}

    @property
    def threshold(self) -> float:
        """Novelty above which an observation is unknown: the fraction ``false_rejection`` of held-out ones exceeds it."""
        return float(self.module.head.threshold)

    def _derived(self) -> ClassifierDerived:
        linear_models = None
        if self.features is not None and self.linear_models is not None and self.candidates is not None:
            linear_models = LinearModelsDerived.of(self.features, self.linear_models, self.candidates)
        return ClassifierDerived(
            model=type(self.model).__name__,
            labels=self.labels,
            labels_key=self.labels_key,
            unlabeled_category=self.unlabeled_category,
            label_noise=self.label_noise,
            held_out=self.held_out,
            linear_models=linear_models,
        )

    def _weights(self) -> dict[str, Tensor]:
        weights = dict(self.module.head.state_dict())
        for prefix, part in ((FEATURES, self.features), (LINEAR_MODELS, self.linear_models)):
            weights |= {} if part is None else part.state_dict(prefix=prefix)
        return weights

    @classmethod
    def _restored(cls, model: OmicsModel, config: Any, choice: Mapping[str, Any], weights: dict[str, Tensor]) -> Self:
        derived = ClassifierDerived.from_json(choice)
        made = cls(model, derived.labels_key, derived.unlabeled_category, derived.labels, config)
        made.label_noise, made.held_out = derived.label_noise, derived.held_out
        if derived.linear_models is not None:
            features, linear_models = derived.linear_models.parts(len(derived.labels), made.model.module.n_latent)
            made.features, made.linear_models = features, linear_models
            made.candidates = derived.linear_models.candidates
            parts: list[tuple[str, nn.Module]] = [(FEATURES, features), (LINEAR_MODELS, linear_models)]
            for prefix, part in parts:
                part.load_state_dict(state_under(weights, prefix))
        own = {name: value for name, value in weights.items() if not name.startswith((FEATURES, LINEAR_MODELS))}
        made.module.head.load_state_dict(own)
        return made

    def _targets(self) -> dict[str, str]:
        return {"labels": f"{named(self.labels)} of column {self.labels_key!r}"}
