"""What remains of a result when modalities are missing."""

from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omicsmlm._checks import shortened, value_error
from omicsmlm.pl._arguments import check_heading, check_table
from omicsmlm.pl._figure import ink, new_figure, saved

MOST_DIGITS = 12
"""Decimals that may be written."""
_CELL, _ROW, _CHARACTER = 0.85, 0.36, 0.085  # inches
_LINE = 0.42  # height of a line of a heading, in rows
_GAP = 0.25  # of a cell, between what is measured


def _places(groups: list[str]) -> list[float]:
    """Return the left edge of each column, in cells; a gap where the group changes."""
    changes = np.cumsum([0] + [a != b for a, b in zip(groups[:-1], groups[1:], strict=True)])
    return [j + _GAP * change for j, change in enumerate(changes)]


def _wrapped(text: object, cells: float) -> str:
    """Break a heading into lines that fit above so many cells."""
    return "\n".join(wrap(str(text), max(8, int(cells * _CELL / _CHARACTER)), break_long_words=False))


def _headings(axes: Axes, columns: pd.MultiIndex, left_x: list[float]) -> float:
    """Write what is measured over the metrics; return the upper end of what was written."""
    metrics = [_wrapped(metric, 1) for _, metric in columns]
    for x, metric in zip(left_x, metrics, strict=True):
        axes.text(x + 0.5, -0.7, metric, ha="center", va="bottom", fontsize=8)
    line = -0.75 - _LINE * max(metric.count("\n") + 1 if metric else 0 for metric in metrics)
    groups = pd.Series([str(group) for group, _ in columns])
    top = line
    for _, run in groups.groupby((groups != groups.shift()).cumsum()):
        first, last = left_x[run.index[0]], left_x[run.index[-1]] + 1
        heading = _wrapped(run.iloc[0], last - first)
        if any(metrics):
            axes.plot([first + 0.06, last - 0.06], [line - 0.15] * 2, color="black", linewidth=0.8)
        axes.text((first + last) / 2, line - 0.3, heading, ha="center", va="bottom", fontsize=9, weight="bold")
        top = min(top, line - 0.3 - 1.1 * _LINE * (heading.count("\n") + 1))
    return top


def _column(axes: Axes, x: float, values: np.ndarray, digits: int) -> None:
    """Write a column: the best bold, shaded from its lowest to its highest."""
    rounded = np.round(values, digits)
    low, high = (np.nanmin(rounded), np.nanmax(rounded)) if np.isfinite(values).any() else (0.0, 0.0)
    for y, value in enumerate(rounded):
        if not np.isfinite(value):
            axes.text(x + 0.5, y, "–", ha="center", va="center", fontsize=9)
            continue
        color = colormaps["YlGnBu"](0.42 * (value - low) / (high - low) if high > low else 0.2)
        axes.add_patch(Rectangle((x + 0.03, y - 0.46), 0.94, 0.92, facecolor=color, edgecolor="none"))
        weight = "bold" if value == high else "normal"
        text = f"{value:.{digits}f}"
        axes.text(x + 0.5, y, text, ha="center", va="center", fontsize=8.5, weight=weight, color=ink(color))


def dropout_table(
    table: pd.DataFrame, *, digits: int = 3, title: str | None = None, save: str | Path | None = None
) -> Figure:
    """Draw how methods do with all modalities and with some of them alone; the best of each column is bold.

    Parameters
    ----------
    table
        One row per method. Columns of two levels: what is measured ("both", "RNA only", "ATAC only"), and the metric,
        of which more is better; columns of one level are what is measured. A value that is missing is drawn as a dash.
    digits
        Decimals to write; values that read alike are equally good.
    title
        Heading of the figure.
    save
        File to write, e.g. ``dropout.png``.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table has no values, has columns of three levels, or holds what is no number.
    """
    check_heading(title)
    check_table(table)
    if isinstance(digits, bool) or not isinstance(digits, int | np.integer) or not 0 <= digits <= MOST_DIGITS:
        raise value_error("digits", f"a number from 0 to {MOST_DIGITS}", shortened(digits), "leave it out for 3")
    if table.empty:
        raise value_error("table", "at least one method and one column", "an empty table", "pass the values to draw")
    if table.columns.nlevels > 2:
        found = f"{table.columns.nlevels} levels"
        raise value_error("table", "columns of one or two levels", found, "keep what is measured and the metric")
    odd = [
        str(c) for c, kind in zip(table.columns, table.dtypes, strict=True) if not pd.api.types.is_numeric_dtype(kind)
    ]
    if odd:
        raise value_error(f"columns {odd}", "numbers", "other values", "leave them out")
    flat = table.columns.nlevels == 1
    columns = pd.MultiIndex.from_tuples([(name, "") for name in table.columns] if flat else list(table.columns))
    left_x = _places([str(group) for group, _ in columns])
    names = [str(name) for name in table.index]
    label = _CHARACTER * max(map(len, names)) / _CELL + 0.3  # room for the names, in cells
    figure = new_figure(1, 1)
    axes = figure.add_subplot()
    axes.set_axis_off()
    top = _headings(axes, columns, left_x)
    axes.set(xlim=(-label, left_x[-1] + 1), ylim=(len(names) - 0.4, top))
    figure.set_size_inches(_CELL * (left_x[-1] + 1 + label), _ROW * (len(names) - top) + 0.35 * bool(title))
    for y, name in enumerate(names):
        axes.text(-label, y, name, ha="left", va="center", fontsize=9)
    axes.plot([-label, left_x[-1] + 1], [-0.55, -0.55], color="black", linewidth=0.8)
    for x, (_, values) in zip(left_x, table.items(), strict=True):
        _column(axes, x, values.to_numpy(dtype=float), digits)
    if title:
        figure.suptitle(title, fontsize=11, weight="bold", x=0.01, ha="left")
    return saved(figure, save)
