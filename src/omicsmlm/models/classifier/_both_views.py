"""A classifier that is fine-tuned on the partial and the full view of each observation."""

from typing import Any

import torch
from torch import Tensor

from omicsmlm._types import Batch, Encoded, Module
from omicsmlm.masking import FULL, PARTIAL

from ._module import ClassifierModule


class BothViews(Module):
    """Applies a classifier to both views of a batch.

    Parameters
    ----------
    classifier
        The classifier, whose weights are trained.
    """

    def __init__(self, classifier: ClassifierModule) -> None:
        super().__init__()
        self.n_latent = classifier.n_latent
        self.classifier = classifier

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed one view, as the encoder does."""
        return self.classifier.encode(views)

    def forward(self, views: dict[str, Any], batch: Batch) -> Tensor:
        """Compute (2 n, c) logits: of the n full views, then of the partial ones."""
        return torch.cat([self.classifier(views[FULL], batch), self.classifier(views[PARTIAL], batch)])
