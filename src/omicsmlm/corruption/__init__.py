"""Which positions are hidden, and what stands there instead."""

from ._bert import MaskBins
from ._hide import HideFeatures, lost_modality, show
from ._hide_sequences import MASK, DropModalities, MaskLetters, has_modality, without
from ._hide_tokens import HiddenValues, HideTokens
from ._show_some import ShowSome
from ._views import WithPartialView

__all__ = [
    "MASK",
    "DropModalities",
    "MaskLetters",
    "has_modality",
    "without",
    "HiddenValues",
    "HideFeatures",
    "HideTokens",
    "MaskBins",
    "ShowSome",
    "WithPartialView",
    "lost_modality",
    "show",
]
