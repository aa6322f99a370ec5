"""The part of a network that new batches adapt: a decoder that is told the batch, and an alignment of the latent."""

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
    """What moves the rows of batches that a query has brought; None in a reference."""
    memory_md: Tensor
    """(m, d): embeddings of rows of the reference, for queries to be aligned with."""

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed, and move the rows of batches that a query has brought onto the reference."""
        return self.aligned(self.encode(views), batch)

    def aligned(self, encoded: Encoded, batch: Batch) -> Encoded:
        """Move the rows of batches that a query has brought onto the reference."""
        if self.alignment is None or not batch.covariates.shape[1]:
            return encoded
        return encoded._replace(mean=self.alignment(encoded.mean, batch.covariates[:, 0]))

    @torch.no_grad()
    def take(self, other: Self) -> None:
        """Copy a module that knows fewer batches."""
        own = self.state_dict()
        self.load_state_dict(
            {k: v for k, v in other.state_dict().items() if k in own and v.shape == own[k].shape}, strict=False
        )
        self.decoder.load_from(other.decoder)
        if self.alignment is not None and other.alignment is not None:
            self.alignment.load_from(other.alignment)

    def adapt_only(self, n_known: int, added: Sequence[str]) -> None:
        """Let training move only what speaks of batches from ``n_known`` on, and what rebuilds added features."""
        self.requires_grad_(False)
        for weight, mask in self.decoder.adaptable(n_known, added):
            weight.requires_grad_(True)
            weight.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient.device))
