"""MOJO: a masked language model of bulk RNA and methylation."""

from ._config import MOJOConfig
from ._model import MOJO

__all__ = [
    "MOJO",
    "MOJOConfig",
]
