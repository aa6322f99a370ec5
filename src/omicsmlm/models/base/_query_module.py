"""The part of a network that is adapted to new batches: a decoder conditioned on the batch, and an alignment of the latent."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from omicsmlm._types import Batch, Encoded, Module
from omicsmlm.nn import Decoder, QueryAlignment


class QueryModule(Module):
    """Abstract: a network whose encoder does not know the batch, so that queries can be mapped onto it."""

    decoder: Decoder
    alignment: QueryAlignment | None
    """What moves observations of batches that a query has added; None in a reference."""
    reference_md: Tensor
    """(m, d): embeddings of observations of the reference, for queries to be aligned with."""

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed, and move observations of batches that a query has added onto the reference."""
        return self.aligned(self.unaligned(views, batch), batch)

    def unaligned(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Return the embedding where no batch is moved: by default that of :meth:`encode`."""
        return self.encode(views)

    def aligned(self, encoded: Encoded, batch: Batch) -> Encoded:
        """Return an embedding with the observations of batches that a query has added moved onto the reference."""
        if self.alignment is None or not batch.covariates.shape[1]:
            return encoded
        return encoded._replace(mean=self.alignment(encoded.mean, batch.covariates[:, 0]))

    @torch.no_grad()
    def load_from(self, other: Self) -> None:
        """Copy the weights of a module that knows fewer batches, or fewer features; what it lacks stays as it is."""
        own = self.state_dict()
        self.load_state_dict(
            {k: v for k, v in other.state_dict().items() if k in own and v.shape == own[k].shape}, strict=False
        )
        self.decoder.load_from(other.decoder)
        if self.alignment is not None and other.alignment is not None:
            self.alignment.load_from(other.alignment)

    def adapt_only(self, n_known: int, added: Sequence[str]) -> None:
        """Let training move only the weights of batches from ``n_known`` on, and those that reconstruct added features."""
        self.requires_grad_(False)
        for weight, mask in self.decoder.adaptable(n_known, added):
            weight.requires_grad_(True)
            weight.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient.device))
