"""Survival: the time to an event."""

from ._config import SurvivalConfig
from ._model import Survival

__all__ = [
    "Survival",
    "SurvivalConfig",
]
