"""One plan, one fit, one schedule for all families."""

from ._device import on_device
from ._fit import FitOptions, fit
from ._plan import MaskedPlan, Optimisation
from ._schedule import sensible_epochs, warmup_cosine

__all__ = ["FitOptions", "MaskedPlan", "Optimisation", "fit", "on_device", "sensible_epochs", "warmup_cosine"]
