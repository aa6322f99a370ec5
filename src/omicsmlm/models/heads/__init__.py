"""What heads share: the features of observations, adapters, and a copy of the encoder."""

from ._adapters import LEARNING_RATES, Adapters, Tuning
from ._both_views import BothViews, ViewOutputs
from ._encoder_copy import MODEL, check_model, copy_of, load_model
from ._features import ObservationFeatures
from ._head_model import HeadModel
from ._regularisation_path import is_past_minimum
from ._trainer_settings import TrainerSettings

__all__ = [
    "Adapters",
    "BothViews",
    "HeadModel",
    "LEARNING_RATES",
    "MODEL",
    "ObservationFeatures",
    "TrainerSettings",
    "Tuning",
    "ViewOutputs",
    "check_model",
    "copy_of",
    "is_past_minimum",
    "load_model",
]
