"""Classifier: calibrated labels, and an answer for what is unknown."""

from ._config import ClassifierConfig
from ._model import Classifier

__all__ = [
    "Classifier",
    "ClassifierConfig",
]
