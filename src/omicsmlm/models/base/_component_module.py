"""The part of a network that is initialised at principal components: a latent that they fill, and a decoder of selected features."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omicsmlm._sizes import is_on_host
from omicsmlm._types import Batch, Encoded, Grid, Kind
from omicsmlm.nn import (
    Adversary,
    Component,
    CovariateEncoding,
    CrossFitting,
    Decoder,
    FeatureHead,
    FoldSizes,
    LatentHead,
    ModalityMoments,
    QueryAlignment,
    log_means,
)

from ._query_module import QueryModule

N_DIRECTIONS = 80
"""Most principal components that feature embeddings are initialised with; the widest latent of the defaults has as many dimensions."""
COMPONENT_WEIGHTS: dict[str, float] = {
    "counts": 1.0,
    "protein": 0.6,
    "accessibility": 0.48,
    "fraction": 1.0,
    "real": 1.0,
}
"""Weight of a modality where the starting components are divided among the modalities (``docs/experiments.md``)."""
COMPONENT_SCALES: dict[str, float] = {"accessibility": 0.4}
"""Factor of the singular values of a modality's components, beside 1 for the kinds that are not listed."""
N_SAMPLED = 2000
"""Open regions that are reconstructed in a training step, drawn anew each time: all of them would take most of its time."""


class Batches(NamedTuple):
    """What a network is told of batches and of the reference when it is made."""

    n_categories: Sequence[int]
    """Categories of each covariate, the batch first."""
    n_fixed: int | None
    """Batches of the reference, where a query has added others; None in a reference."""
    n_reference: int
    """Observations whose embedding is kept, for queries to be aligned with."""
    n_numbers: int = 0
    """Continuous covariates."""


class ComponentModule(QueryModule):
    """Abstract: a network whose latent is initialised at principal components, and whose decoder reconstructs selected features."""

    kinds: dict[str, Kind]
    """Kind of each modality."""
    readout: LatentHead
    adversary: Adversary | None
    """What predicts the batch from the latent, in a reference of several batches; None elsewhere."""
    cross_fitting: CrossFitting | None
    """What is added to the estimates of the observations that the initial maps were fitted to; None where there are no folds."""
    moments: ModalityMoments | None
    """What takes back how trainings move modalities against one another that links alone tie; None elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.cross_fitting = None
        self.moments = None

    def _set_up_decoder(
        self, width: int, n_decoded: Mapping[str, int], n_sampled: int, batches: Batches, *, has_adversary: bool
    ) -> None:
        """Set up what comes after the readout, once ``kinds`` and ``readout`` are there.

        Parameters
        ----------
        width
            Width of the decoder's hidden layer.
        n_decoded
            Features that are reconstructed, per modality.
        n_sampled
            Open regions that are reconstructed in a step, drawn anew each time.
        batches
            What is known of batches.
        has_adversary
            Whether there is an adversary, where there are several batches for it to predict.
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
        self.decoder = Decoder(self.n_latent, width, CovariateEncoding(batches.n_categories, batches.n_numbers), heads)
        self.register_buffer("reference_md", torch.zeros(batches.n_reference, self.n_latent))
        is_query = batches.n_fixed is not None
        self.alignment = None if batches.n_fixed is None else QueryAlignment(self.n_latent, batches.n_fixed, n_batches)
        guesses = has_adversary and n_batches > 1 and not is_query
        self.adversary = Adversary(self.n_latent, n_batches) if guesses else None

    def _set_up_cross_fitting(self, n_features: Mapping[str, int], n_components: int, sizes: FoldSizes) -> None:
        """Set up maps for each fold of the fitted observations, from features to components, if there are folds."""
        if sizes.n_folds:
            self.cross_fitting = CrossFitting(n_features, n_components, sizes)

    def set_up_moments(self, names: Sequence[str]) -> None:
        """Set up what keeps modalities where they are to one another, if there are any that links alone tie."""
        self.moments = ModalityMoments(names, self.n_latent) if names else None

    def _matched(self, encoded: Encoded, is_present: Mapping[str, Tensor]) -> Encoded:
        """Return an embedding less what trainings did to one modality and not to another, where links alone tie them.

        Parameters
        ----------
        encoded
            The embedding.
        is_present
            (n,) bool per modality: whether anything of it is visible.
        """
        if self.moments is None:
            return encoded
        return encoded._replace(mean=self.moments(encoded.mean, is_present))

    def linear_path(self) -> list[nn.Parameter]:
        """Return the weights by which the components of a modality are estimated, which links may have initialised; by default none."""
        return []

    def folds(self, batch: Batch) -> Tensor | None:
        """Return the fold of each observation, (n,), -1 for those that the initial maps were not fitted to; None where it is no matter."""
        if self.cross_fitting is None or batch.digests is None:
            return None
        fold_n = self.cross_fitting.folds(batch.digests)
        return None if is_on_host(fold_n) and not (fold_n >= 0).any() else fold_n

    def _component_fraction(self, name: str, n_components: int) -> int:
        """Return how many of the components a modality gets, at least one, in proportion to ``COMPONENT_WEIGHTS``."""
        weights = {m: COMPONENT_WEIGHTS[kind] for m, kind in self.kinds.items()}
        return max(1, int(n_components * weights[name] / sum(weights.values())))

    def _initialize_latent(self, name: str, found: Component, n_linear: int, scale: float, power: float) -> None:
        """Initialise the linear dimensions of the latent at the components of a modality.

        The k-th has the standard deviation ``scale`` · (s_k / s_1) ** ``power``, s its singular value, times what
        ``COMPONENT_SCALES`` says to the same power.
        """
        strength_k = COMPONENT_SCALES.get(self.kinds[name], 1.0) * torch.from_numpy(found.strength_k)
        scale_k = strength_k[: self._component_fraction(name, n_linear)] ** power
        self.readout.initialize_linear(found.first, scale_k, scale)

    def _initialize_head(
        self, name: str, values: Sequence[Grid] | sparse.csr_matrix, groups_n: np.ndarray | None, has_n: np.ndarray
    ) -> None:
        """Initialise the head of a modality at the log means, batch by batch, of the observations that have it."""
        groups, head = None if groups_n is None else groups_n[has_n], self.decoder.head(name)
        head.initialize(log_means(values, self.kinds[name], groups, len(head.bias)))
