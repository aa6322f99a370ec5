"""Which positions are hidden, and what stands there instead."""

from ._hide import HideFeatures, show

__all__ = ["HideFeatures", "show"]
