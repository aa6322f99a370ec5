"""The command ``omicsmlm``, a file for each kind of work."""

from omicsmlm.cli import _demo, _evaluating, _imputing, _info, _labels, _queries, _reading, _survival, _training
from omicsmlm.cli._app import app, main

__all__ = ["app", "main"]
