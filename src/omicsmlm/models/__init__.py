"""The families."""

from ._base import OmicsModel
from ._classifier import Classifier
from ._classifier_config import ClassifierConfig
from ._omicsmlm import OmicsMLM
from ._omicsmlm_config import OmicsMLMConfig

__all__ = ["Classifier", "ClassifierConfig", "OmicsMLM", "OmicsMLMConfig", "OmicsModel"]
