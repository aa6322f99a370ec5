"""One good embedding of any omics data: masked models for AnnData and MuData, in the manner of scvi-tools."""

from importlib.metadata import version

from . import datasets, evaluation, pl, pp
from .models import (
    MOJO,
    Classifier,
    ClassifierConfig,
    IsoFormer,
    IsoFormerConfig,
    MOJOConfig,
    OmicsMLM,
    OmicsMLMConfig,
    ScMBERT,
    ScMBERTConfig,
    SequenceEncoder,
    Survival,
    SurvivalConfig,
    TxFM,
    TxFMConfig,
)

__version__ = version("omicsmlm")
__all__ = [
    "Classifier",
    "ClassifierConfig",
    "IsoFormer",
    "IsoFormerConfig",
    "MOJO",
    "MOJOConfig",
    "OmicsMLM",
    "OmicsMLMConfig",
    "ScMBERT",
    "ScMBERTConfig",
    "SequenceEncoder",
    "Survival",
    "SurvivalConfig",
    "TxFM",
    "TxFMConfig",
    "datasets",
    "evaluation",
    "pl",
    "pp",
]
