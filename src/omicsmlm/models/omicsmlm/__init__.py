"""OmicsMLM: one masked autoencoder for any set of modalities."""

from ._config import OmicsMLMConfig
from ._model import OmicsMLM

__all__ = [
    "OmicsMLM",
    "OmicsMLMConfig",
]
