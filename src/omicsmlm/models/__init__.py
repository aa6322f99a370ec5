"""The families."""

from ._base import OmicsModel
from ._classifier import Classifier
from ._classifier_config import ClassifierConfig
from ._omicsmlm import OmicsMLM, OmicsMLMConfig

__all__ = ["Classifier", "ClassifierConfig", "OmicsMLM", "OmicsMLMConfig", "OmicsModel"]
