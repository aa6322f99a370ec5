"""The families and the heads, a room each, on a common base."""

from .base import OmicsModel
from .classifier import Classifier, ClassifierConfig
from .isoformer import IsoFormer, IsoFormerConfig, SequenceEncoder
from .mojo import MOJO, MOJOConfig
from .omicsmlm import OmicsMLM, OmicsMLMConfig
from .scmbert import ScMBERT, ScMBERTConfig
from .survival import Survival, SurvivalConfig
from .txfm import TxFM, TxFMConfig

__all__ = [
    "Classifier",
    "ClassifierConfig",
    "IsoFormer",
    "IsoFormerConfig",
    "MOJO",
    "MOJOConfig",
    "OmicsMLM",
    "OmicsMLMConfig",
    "OmicsModel",
    "ScMBERT",
    "ScMBERTConfig",
    "SequenceEncoder",
    "Survival",
    "SurvivalConfig",
    "TxFM",
    "TxFMConfig",
]
