"""One good embedding of any omics data: masked models for AnnData and MuData, in the manner of scvi-tools."""

from importlib.metadata import version

from . import datasets, evaluation, pl, pp
from .models import (
    MOJO,
    Classifier,
    ClassifierConfig,
    MOJOConfig,
    OmicsMLM,
    OmicsMLMConfig,
    ScMBERT,
    ScMBERTConfig,
    Survival,
    SurvivalConfig,
    TxFM,
    TxFMConfig,
)

__version__ = version("omicsmlm")
__all__ = [
    "Classifier",
    "ClassifierConfig",
    "MOJO",
    "MOJOConfig",
    "OmicsMLM",
    "OmicsMLMConfig",
    "ScMBERT",
    "ScMBERTConfig",
    "Survival",
    "SurvivalConfig",
    "TxFM",
    "TxFMConfig",
    "datasets",
    "evaluation",
    "pl",
    "pp",
]
