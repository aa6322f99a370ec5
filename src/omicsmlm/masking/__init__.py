"""Masking: which positions the encoder does not see, and what replaces them."""

from ._all_but import MaskAllBut
from ._bert import MaskBins
from ._features import MaskFeatures, dropped_modality, keep_visible
from ._full_view import FULL, PARTIAL, WithFullView
from ._modality_subsets import WithModalitySubsets
from ._sequences import DropModalities, MaskResidues, has_modality, with_masked, without_modality
from ._tokens import MaskedValues, MaskTokens

__all__ = [
    "FULL",
    "PARTIAL",
    "WithFullView",
    "with_masked",
    "DropModalities",
    "MaskResidues",
    "has_modality",
    "without_modality",
    "MaskedValues",
    "MaskFeatures",
    "MaskTokens",
    "MaskBins",
    "MaskAllBut",
    "WithModalitySubsets",
    "dropped_modality",
    "keep_visible",
]
