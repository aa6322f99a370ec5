"""ScMBERT: a BERT over the non-zero features of a cell."""

from ._config import ScMBERTConfig
from ._model import ScMBERT

__all__ = [
    "ScMBERT",
    "ScMBERTConfig",
]
