"""One good embedding of any omics data: masked models for AnnData and MuData, in the manner of scvi-tools.

What is named here is imported when it is first asked for (PEP 562): ``import omicsmlm`` alone, and the command's ``--help``, wait
neither for torch nor for Lightning.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import datasets, evaluation, models, pl, pp, types
    from .io import read
    from .models import (
        MOJO,
        Classifier,
        ClassifierConfig,
        IsoFormer,
        IsoFormerConfig,
        MOJOConfig,
        OmicsMLM,
        OmicsMLMConfig,
        OmicsModel,
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
    "OmicsModel",
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
    "read",
    "types",
]

if not TYPE_CHECKING:  # else any misspelt name would pass the type checker

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for; Python keeps packages, and this function the classes."""
        if name in ("datasets", "evaluation", "models", "pl", "pp", "types"):
            return import_module(f".{name}", __name__)
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = ".io" if name == "read" else ".models"
        globals()[name] = found = getattr(import_module(room, __name__), name)
        return found


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__", "models"]
