"""The confusion matrix of a classifier that may reject an observation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omicsmlm._checks import check_type, value_error
from omicsmlm.pl._arguments import check_heading
from omicsmlm.pl._figure import ink, new_figure, saved

_CELL = 0.52  # inches
_CHARACTER = 0.085  # inches of a letter of a label
_GAP = 0.4  # of a cell, between what is known and what is not


def _names(values: pd.Series) -> list[str]:
    """Return the labels, in the order of a categorical or of the alphabet."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return [str(name) for name in values.cat.categories]
    return sorted(set(values.dropna().astype(str)))


def _labels(argument: str, values: Any) -> pd.Series:
    """Return labels, one per observation, as a column."""
    if not isinstance(values, pd.Series | pd.Categorical):
        values = np.asarray(values, dtype=object)
    if np.ndim(values) != 1:
        found = f"{np.ndim(values)} axes"
        raise value_error(argument, "labels, one per observation", found, "pass a column of .obs and the predictions")
    return pd.Series(values).reset_index(drop=True)


def _counted(truth: Any, predicted: Any, unknown: str) -> pd.DataFrame:
    """Count observations by true and predicted label; the categories of a categorical are the labels there are."""
    true_n, called_n = _labels("table_or_truth", truth), _labels("predicted", predicted)
    if len(true_n) != len(called_n):
        found = f"{len(called_n)} for {len(true_n)} true labels"
        raise value_error("predicted", "one label per observation", found, "pass labels of the same observations")
    known = _names(called_n)
    if not isinstance(called_n.dtype, pd.CategoricalDtype):
        known = sorted(set(known) | set(_names(true_n)))
    kept_n = (true_n.notna() & called_n.notna()).to_numpy()
    count = pd.crosstab(true_n[kept_n].astype(str).to_numpy(), called_n[kept_n].astype(str).to_numpy())
    present = [name for name in _names(true_n) if name in count.index]
    table = count.reindex(index=present, columns=[name for name in known if name != unknown] + [unknown], fill_value=0)
    return table if unknown in known else table.drop(columns=unknown)


def _arranged(table: pd.DataFrame, unknown: str) -> tuple[pd.DataFrame, int]:
    """Put known labels first, rows in the order of the columns; return also how many rows are of known labels."""
    columns = [name for name in table.columns if name != unknown]
    rows = [name for name in columns if name in table.index]
    others = [name for name in table.index if name not in columns]
    ordered = columns + [unknown] * (unknown in table.columns)
    return table.loc[rows + others, ordered], len(rows)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    table = table.rename(index=str, columns=str)
    numeric = all(pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes)
    if not numeric or not np.isfinite(table.to_numpy(dtype=float)).all() or (table.to_numpy() < 0).any():
        raise value_error("table", "counts of observations", "other values", "pass true and predicted labels instead")
    if not table.index.is_unique or not table.columns.is_unique:
        raise value_error("table", "each label once", "labels twice", "add up their counts")
    if table.to_numpy().sum() == 0:
        raise value_error("table", "at least one observation with both labels", "none", "check the labels")
    return table.astype(int)


def _cell(axes: Axes, x: float, y: float, fraction: float, count: int) -> None:
    color = colormaps["Blues"](0.9 * fraction)
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=color, edgecolor="0.85", linewidth=0.5))
    if count:
        text = f"{100 * fraction:.0f}" if fraction >= 0.005 else "<1"
        axes.text(x, y - 0.1, text, ha="center", va="center", fontsize=8, color=ink(color))
        axes.text(x, y + 0.27, f"{count:,}", ha="center", va="center", fontsize=5.5, color=ink(color), alpha=0.75)


def _labelled(axes: Axes, column_x: Sequence[float], row_y: Sequence[float], table: pd.DataFrame) -> None:
    axes.set_xticks(column_x, list(table.columns), rotation=90, fontsize=8)
    axes.set_yticks(row_y, [f"{name}  ({n:,})" for name, n in table.sum(axis=1).items()], fontsize=8)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    axes.set_xlabel("predicted", fontsize=9, fontweight="bold", labelpad=6)
    axes.set_ylabel("true (observations)", fontsize=9, fontweight="bold")
    axes.spines[:].set_visible(False)


def confusion(
    table_or_truth: Any,
    predicted: Any = None,
    unknown: str = "Unknown",
    *,
    title: str | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Draw what the observations of each true label are predicted as: per cent of the label, and below it their number.

    Parameters
    ----------
    table_or_truth
        True labels, one per observation; or a table of counts, true labels by predicted ones.
    predicted
        Predicted labels, one per observation; left out with a table. The categories of a categorical are the labels
        that could be called; otherwise these are all labels of either kind. Observations that miss one of both labels
        are left out.
    unknown
        What a rejected observation is called. Its column stands apart, and so do the rows of true labels that have no
        column.
    title
        Heading of the figure.
    save
        File to write, e.g. ``confusion.png``.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the lengths differ, the table does not hold counts, or nothing was counted.
    """
    check_heading(title)
    check_type("unknown", unknown, str, "a text", 'leave it out for "Unknown"')
    if predicted is None and not isinstance(table_or_truth, pd.DataFrame):
        found = f"a {type(table_or_truth).__name__} alone"
        raise value_error("table_or_truth", "a table of counts, or two arrays of labels", found, "pass predicted=… too")
    counted = table_or_truth if predicted is None else _counted(table_or_truth, predicted, unknown)
    table, n_known = _arranged(_checked(counted), unknown)
    fraction = table.div(table.sum(axis=1).clip(lower=1), axis=0).to_numpy()
    n_columns = len(table.columns) - (unknown in table.columns)
    column_x = [j + _GAP * (j >= n_columns > 0) for j in range(len(table.columns))]
    row_y = [i + _GAP * (i >= n_known > 0) for i in range(len(table))]
    longest = [max((len(str(name)) for name in names), default=1) for names in (table.index, table.columns)]
    width = _CELL * (len(column_x) + _GAP) + _CHARACTER * (longest[0] + 9) + 0.4
    height = _CELL * (len(row_y) + _GAP) + _CHARACTER * longest[1] + 0.75 + 0.35 * bool(title)
    figure = new_figure(max(width, 3.0), max(height, 2.2))
    axes = figure.add_subplot()
    for i, y in enumerate(row_y):
        for j, x in enumerate(column_x):
            _cell(axes, x, y, fraction[i, j], int(table.iloc[i, j]))
    axes.set(xlim=(-0.55, column_x[-1] + 0.55), ylim=(row_y[-1] + 0.55, -0.55))
    axes.set_aspect("equal")
    _labelled(axes, column_x, row_y, table)
    note = "Per cent of the observations of a true label;\nbelow, their number."
    axes.text(0, -0.01, note, ha="left", va="top", fontsize=7, color="0.35", transform=axes.transAxes)
    if title:
        figure.suptitle(title, fontsize=11, weight="bold", x=0.01, ha="left")
    return saved(figure, save)
