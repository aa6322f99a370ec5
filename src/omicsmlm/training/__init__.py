"""One plan, one fit, one schedule for all families."""

from ._arguments import check_trainer_options
from ._device import on_device
from ._fit import FitOptions, Fitted, fit, on_cuda
from ._optimisation import Optimisation
from ._plan import MaskedPlan
from ._ranks import Ranks, current_ranks, gathered, is_first_rank
from ._schedule import sensible_epochs, warmup_cosine

__all__ = [
    "FitOptions",
    "Fitted",
    "MaskedPlan",
    "Optimisation",
    "Ranks",
    "check_trainer_options",
    "current_ranks",
    "fit",
    "gathered",
    "is_first_rank",
    "on_cuda",
    "on_device",
    "sensible_epochs",
    "warmup_cosine",
]
