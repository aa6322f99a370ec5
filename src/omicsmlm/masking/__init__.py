"""Which positions are masked, and what stands there instead."""

from ._all_but import MaskAllBut
from ._bert import MaskBins
from ._features import MaskFeatures, dropped_modality, keep_visible
from ._sequences import MASK, DropModalities, MaskResidues, has_modality, without
from ._tokens import MaskedValues, MaskTokens
from ._views import WithPartialView

__all__ = [
    "MASK",
    "DropModalities",
    "MaskResidues",
    "has_modality",
    "without",
    "MaskedValues",
    "MaskFeatures",
    "MaskTokens",
    "MaskBins",
    "MaskAllBut",
    "WithPartialView",
    "dropped_modality",
    "keep_visible",
]
