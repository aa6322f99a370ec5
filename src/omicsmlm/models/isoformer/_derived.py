"""What IsoFormer has derived from its data."""

from dataclasses import dataclass
from typing import NamedTuple


class Statistics(NamedTuple):
    """Moments by which the dimensions of a vector, or targets, are standardised."""

    mean: list[float]
    scale: list[float]
    """Standard deviation; 1 where a dimension does not vary."""


class ExpertSet(NamedTuple):
    """Experts beside the network and the kernel regressions on sequences. Version 0.1 had neither."""

    architecture: bool = False
    """Whether the RNA are whole transcripts: their architecture is then part of their composition, and a regression on it predicts,
    too."""
    vectors: bool = False
    """Whether each vector has a kernel regression."""
    short_kmers: bool = False
    """Whether a linear regression reads the short k-mers of each sequence."""
    within: bool = False
    """Whether the differences of observations from the mean of their group are predicted by weights of their own."""


NO_MORE_EXPERTS = ExpertSet()
"""Those of version 0.1."""


@dataclass(frozen=True, kw_only=True)
class IsoFormerDerived:
    """Hyper-parameters that :class:`IsoFormer` derives from the data."""

    sequences: list[str]
    """Names of the sequences."""
    vectors: dict[str, Statistics]
    """Moments of each vector."""
    targets: Statistics
    """Moments of the targets."""
    widths: dict[str, int]
    """Width of the states of each published encoder."""
    former_states: bool = True
    """Whether published encoders are read as in version 0.1, which did not save this: Enformer with 8,192 base pairs and all of
    its positions, and the states of special tokens among those of residues."""
    experts: ExpertSet = NO_MORE_EXPERTS
    """Further experts."""
