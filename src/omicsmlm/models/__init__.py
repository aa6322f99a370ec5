"""The families."""

from ._base import OmicsModel
from ._classifier import Classifier
from ._classifier_config import ClassifierConfig
from ._isoformer import IsoFormer
from ._isoformer_config import IsoFormerConfig, SequenceEncoder
from ._mojo import MOJO
from ._mojo_config import MOJOConfig
from ._omicsmlm import OmicsMLM
from ._omicsmlm_config import OmicsMLMConfig
from ._scmbert import ScMBERT
from ._scmbert_config import ScMBERTConfig
from ._survival import Survival
from ._survival_config import SurvivalConfig
from ._txfm import TxFM
from ._txfm_config import TxFMConfig

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
