"""The families."""

from ._base import OmicsModel
from ._omicsmlm import OmicsMLM, OmicsMLMConfig

__all__ = ["OmicsMLM", "OmicsMLMConfig", "OmicsModel"]
