"""Files of users to MuData."""

from omicsmlm.io._read import read

__all__ = ["read"]
