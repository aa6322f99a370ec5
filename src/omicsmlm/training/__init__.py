"""One plan, one fit, one schedule for all families."""

from ._device import on_device
from ._fit import FitOptions, Fitted, check_trainer_options, fit
from ._plan import MaskedPlan, Optimisation
from ._schedule import sensible_epochs, warmup_cosine

__all__ = [
    "FitOptions",
    "Fitted",
    "MaskedPlan",
    "Optimisation",
    "check_trainer_options",
    "fit",
    "on_device",
    "sensible_epochs",
    "warmup_cosine",
]
