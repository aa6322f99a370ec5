"""One good embedding of any omics data: masked models for AnnData and MuData, in the manner of scvi-tools."""

from importlib.metadata import version

from . import datasets, evaluation, pl, pp
from .models import Classifier, ClassifierConfig, OmicsMLM, OmicsMLMConfig

__version__ = version("omicsmlm")
__all__ = ["Classifier", "ClassifierConfig", "OmicsMLM", "OmicsMLMConfig", "datasets", "evaluation", "pl", "pp"]
