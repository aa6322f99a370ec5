"""Every import from a private path of scvi-tools, in one place; pinned to scvi-tools 1.5."""

from scvi.data._manager import AnnDataManagerValidationCheck

__all__ = ["AnnDataManagerValidationCheck"]
