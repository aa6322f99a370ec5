"""The features that carry each label."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from omicsmlm._checks import named, positive_integer, value_error
from omicsmlm.pl._arguments import check_heading, check_table
from omicsmlm.pl._embedding import palette
from omicsmlm.pl._figure import COLUMN_WIDTH, new_figure, saved

_COLUMNS = ("label", "modality", "feature", "attribution")
_FONT = 8
_ROW = 0.17  # inches


def attributions(
    table: pd.DataFrame, n_features: int = 8, *, title: str | None = None, save: str | Path | None = None
) -> Figure:
    """Draw the features of the highest attribution for each label, one panel per label, coloured by modality.

    Parameters
    ----------
    table
        As ``model.attribute(data, labels)`` returns it: a row for each label and feature, with ``label``, ``modality``,
        ``feature`` and ``attribution``. To draw some labels only, pass their rows.
    n_features
        How many features of each label.
    title
        Heading of the figure.
    save
        File to write, e.g. ``attributions.png``.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table is empty or lacks a column, or `n_features` is below 1.
    """
    check_heading(title)
    check_table(table, numbers=["attribution"])
    missing = [name for name in _COLUMNS if name not in table]
    if missing or table.empty:
        found = "an empty table" if not missing else f"no {named(missing)}"
        raise value_error("table", f"the columns {named(_COLUMNS)}", found, "pass the result of model.attribute")
    n_features = positive_integer("n_features", n_features, "leave it out for 8")
    modalities = list(dict.fromkeys(table["modality"]))
    color_of = dict(zip(modalities, palette(len(modalities)), strict=True))
    labels = list(dict.fromkeys(table["label"]))
    n_columns = min(len(labels), 3)
    n_rows = -(-len(labels) // n_columns)
    width = COLUMN_WIDTH if n_columns == 3 else 3.0 * n_columns
    figure = new_figure(width, n_rows * (_ROW * n_features + 0.65) + 0.3 + 0.3 * bool(title))
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, label in zip(panels, labels, strict=False):
        _panel(axes, table[table["label"] == label].nlargest(n_features, "attribution"), color_of)
        axes.set_title(str(label), loc="left", fontsize=9, fontweight="bold")
    for axes in panels[len(labels) :]:
        axes.set_axis_off()
    if len(modalities) > 1:
        handles = [Patch(color=color_of[name], label=name) for name in modalities]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=_FONT)
    if title:
        figure.suptitle(title, fontsize=11, weight="bold", x=0.01, ha="left")
    return saved(figure, save)


def _panel(axes: Axes, top: pd.DataFrame, color_of: dict[str, str]) -> None:
    """Draw the features of one label, the highest uppermost."""
    y_k = np.arange(len(top))
    axes.barh(y_k, top["attribution"], color=[color_of[name] for name in top["modality"]], height=0.75)
    axes.set_yticks(y_k, [str(name) for name in top["feature"]], fontsize=_FONT)
    axes.set_ylim(len(top) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=_FONT)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
