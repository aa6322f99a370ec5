"""Which positions are hidden, and what stands there instead."""

from ._hide import HideFeatures, lost_modality, show
from ._hide_tokens import HiddenValues, HideTokens

__all__ = ["HiddenValues", "HideFeatures", "HideTokens", "lost_modality", "show"]
