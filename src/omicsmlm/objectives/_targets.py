"""Squared error of predicted targets."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from omicsmlm._types import Batch, Grid, Masked

from ._reduction import step_mean


class TargetError:
    r"""Mean squared error over the targets that were measured.

    .. math:: L = \frac{\sum_{n,t} m_{nt} (\hat y_{nt} - y_{nt})^2}{\sum_{n,t} m_{nt}}

    with standardised targets y and m = 1 where they were measured (IsoFormer, arXiv 2406.14150: MSE on normalised log
    expression). 0 where nothing was.

    Parameters
    ----------
    name
        The modality that is predicted.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, outputs: Any, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the one term, of ``outputs.predicted``, (n, t)."""
        target: Grid = masked.targets[self.name]
        squares_nt = (outputs.predicted.float() - target.values).square() * target.visible
        return {"squared_error": step_mean(squares_nt.sum(), target.visible.sum(), batch)}
