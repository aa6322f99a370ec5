"""What heads share: the features of observations, adapters, and a copy of the encoder."""

from ._adapters import LEARNING_RATES, Adapted, Tuning
from ._encoder_copy import MODEL, check_model, copied, load_model
from ._features import ObservationFeatures

__all__ = [
    "Adapted",
    "LEARNING_RATES",
    "MODEL",
    "ObservationFeatures",
    "Tuning",
    "check_model",
    "copied",
    "load_model",
]
