"""The part of a network that starts at principal components: a latent that they fill, and a decoder of selected features."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from omicsmlm._types import Grid, Kind
from omicsmlm.nn import (
    Adversary,
    Component,
    CovariateEncoding,
    Decoder,
    FeatureHead,
    LatentHead,
    QueryAlignment,
    log_means,
)

from ._query_module import QueryModule

N_DIRECTIONS = 80
"""Most principal components that what embeds features starts with; the widest latent of the defaults has as many dimensions."""
COMPONENT_SHARES: dict[str, float] = {
    "counts": 1.0,
    "protein": 0.6,
    "accessibility": 0.48,
    "fraction": 1.0,
    "real": 1.0,
}
"""Share of the starting components that a modality gets, relative to the others (``docs/experiments.md``)."""
COMPONENT_SCALES: dict[str, float] = {"accessibility": 0.4}
"""Strength of a modality's first component beside that of the others; 1 where it is not given."""


class Batches(NamedTuple):
    """What a network knows of batches and of the reference."""

    n_categories: Sequence[int]
    """Categories of each covariate, the batch first."""
    n_fixed: int | None
    """Batches of the reference, where a query has brought others."""
    n_remembered: int
    """Observations whose embedding is kept, for queries to be aligned with."""


class ComponentModule(QueryModule):
    """Abstract: a network whose latent starts at principal components, and rebuilds selected features by a decoder."""

    kinds: dict[str, Kind]
    """Kind of each modality."""
    readout: LatentHead
    adversary: Adversary | None
    """What guesses the batch from the latent, in a reference of several batches."""

    def _set_up_decoder(
        self, width: int, n_decoded: Mapping[str, int], n_sampled: int, batches: Batches, *, has_adversary: bool
    ) -> None:
        """Make what comes after the readout, once ``kinds`` and ``readout`` are there.

        Parameters
        ----------
        width
            Width of the decoder's hidden layer.
        n_decoded
            Features that are rebuilt, per modality.
        n_sampled
            Open regions that are rebuilt in a step, drawn anew each time.
        batches
            What is known of batches.
        has_adversary
            Whether there is an adversary, where there are batches for it to guess.
        """
        n_batches = batches.n_categories[0] if batches.n_categories else 1
        self.n_latent = self.readout.n_latent
        heads = {
            name: FeatureHead(
                width,
                n_decoded[name],
                n_batches,
                dispersed=kind in ("counts", "protein", "real"),
                n_sampled=n_sampled if kind == "accessibility" else 0,
            )
            for name, kind in self.kinds.items()
        }
        self.decoder = Decoder(self.n_latent, width, CovariateEncoding(list(batches.n_categories)), heads)
        self.register_buffer("memory_md", torch.zeros(batches.n_remembered, self.n_latent))
        is_query = batches.n_fixed is not None
        self.alignment = None if batches.n_fixed is None else QueryAlignment(self.n_latent, batches.n_fixed, n_batches)
        guesses = has_adversary and n_batches > 1 and not is_query
        self.adversary = Adversary(self.n_latent, n_batches) if guesses else None

    def _component_fraction(self, name: str, n_components: int) -> int:
        """Divide a number of components among the modalities."""
        shares = {m: COMPONENT_SHARES[kind] for m, kind in self.kinds.items()}
        return max(1, int(n_components * shares[name] / sum(shares.values())))

    def _lead_latent(self, name: str, found: Component, n_linear: int, scale: float, power: float) -> None:
        """Start the linear dimensions of the latent at the components of a modality.

        The k-th has the standard deviation ``scale`` · (s_k / s_1) ** ``power``, s its singular value, times what
        ``COMPONENT_SCALES`` says to the same power.
        """
        strength_k = COMPONENT_SCALES.get(self.kinds[name], 1.0) * torch.from_numpy(found.strength_k)
        scale_k = strength_k[: self._component_fraction(name, n_linear)] ** power
        self.readout.initialize_linear(found.first, scale_k, scale)

    def _start_head(
        self, name: str, values: Sequence[Grid] | sparse.csr_matrix, groups_n: np.ndarray | None, has_n: np.ndarray
    ) -> None:
        """Start what rebuilds a modality at the log means of the observations that have it, batch by batch."""
        groups, head = None if groups_n is None else groups_n[has_n], self.decoder.head(name)
        head.initialize(log_means(values, self.kinds[name], groups, len(head.bias)))
