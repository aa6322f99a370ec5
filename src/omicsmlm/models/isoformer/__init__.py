"""IsoFormer: DNA, RNA and protein sequences to expression."""

from ._config import IsoFormerConfig, SequenceEncoder
from ._model import IsoFormer

__all__ = [
    "IsoFormer",
    "IsoFormerConfig",
    "SequenceEncoder",
]
