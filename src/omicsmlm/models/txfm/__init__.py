"""TxFM: a masked autoencoder of RNA counts."""

from ._config import TxFMConfig
from ._model import TxFM

__all__ = [
    "TxFM",
    "TxFMConfig",
]
