"""The room's figures: made without pyplot, so that nothing is shown and no state is kept."""

import os
from io import BytesIO
from pathlib import Path
from typing import Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from omicsmlm._checks import named, value_error
from omicsmlm._writing import absolute, written_file

COLUMN_WIDTH = 7.2
"""Inches of a column of a page of the documentation or of a notebook: figures are no wider where that can be helped, as a page
shrinks those that are, and their text with them."""


class Picture(Figure):
    """A figure that a notebook shows when it is the value of a cell, whether or not pyplot is set up."""

    def _repr_png_(self) -> bytes:
        written = BytesIO()
        self.savefig(written, format="png", dpi=100, bbox_inches="tight", facecolor="white")
        return written.getvalue()


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """Make an empty white figure of that size in inches."""
    figure = Picture(figsize=(width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def ink(color: tuple[float, ...]) -> str:
    """Return black or white, whichever reads better on a colour (relative luminance)."""
    return "black" if 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 0.55 else "white"


def saved(figure: Figure, save: str | Path | None) -> Figure:
    """Write the figure where `save` says, if it does, and return it.

    Raises
    ------
    ValueError
        If the ending is not one that matplotlib writes, or the place cannot be written.
    """
    if save is None:
        return figure
    target, endings = absolute(save, "save"), figure.canvas.get_supported_filetypes()
    if not str(save) or os.path.isdir(target):
        raise value_error("save", "a file", f"{str(save)!r}, which is none", "pass figure.png, say")
    target = target if target.suffix else target.with_name(f"{target.name}.png")
    if target.suffix[1:].lower() not in endings:
        found = f"{target.name!r}, which ends in none of {named(endings, most=20)}"
        raise value_error("save", "a file that can be written, such as figure.png", found, "pass another path")
    with written_file(target, "save") as part:
        figure.savefig(part, dpi=150, bbox_inches="tight", facecolor="white")
    return figure
