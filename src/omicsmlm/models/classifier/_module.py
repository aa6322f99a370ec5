"""The network of a classifier: an encoder, and a linear layer on its embedding."""

from typing import Any

from torch import Tensor

from omicsmlm._types import Batch, Encoded, Module
from omicsmlm.nn import LabelHead


class ClassifierModule(Module):
    """An encoder and the label head that reads its embedding.

    Parameters
    ----------
    encoder
        Module of a family.
    head
        Head of the width of its embedding.
    """

    def __init__(self, encoder: Module, head: LabelHead) -> None:
        super().__init__()
        self.n_latent = encoder.n_latent
        self.encoder = encoder
        self.head = head

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed, as the encoder does."""
        return self.encoder.encode(views)

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed a batch of observations, as the encoder does."""
        return self.encoder.embed(views, batch)

    def forward(self, views: dict[str, Any], batch: Batch) -> Tensor:
        """Compute the (n, c) logits of a batch."""
        return self.predicted(self.embed(views, batch).mean, batch)

    def predicted(self, z_nd: Tensor, batch: Batch) -> Tensor:
        """Compute the (n, c) logits of an embedding."""
        return self.head(z_nd)
