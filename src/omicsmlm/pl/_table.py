"""The table of a benchmark, drawn in the manner of scib: dots for metrics, bars for their means."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omicsmlm._checks import value_error
from omicsmlm.pl._arguments import check_heading, check_table
from omicsmlm.pl._figure import ink, new_figure, saved

_MEANS = ("Batch correction", "Bio conservation", "Total")
_ORDER = {"Bio conservation": 0, "Batch correction": 1}
_CELL = 0.42  # inches
_ROW = 0.4  # inches
_CHARACTER = 0.066  # inches, of a name
_NOTE_CHARACTER = 0.055  # inches, of the note below the table
_MOST_NAMES = 6  # of types that are left out
_HEADING = 2.9  # rows that the upright headings take


def _columns(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the columns in the order drawn, each with its heading: metrics by kind, then the means."""
    kinds = table.attrs.get("kinds", {})
    metrics = [column for column in table if column not in _MEANS]
    metrics.sort(key=lambda column: _ORDER.get(kinds.get(column, ""), 2))
    drawn = [(column, kinds.get(column, "")) for column in metrics]
    return drawn + [(column, "Mean scores") for column in _MEANS if column in table]


def _dot(axes: Axes, x: float, y: float, value: float, fraction: float) -> None:
    color = colormaps["PRGn"](0.12 + 0.76 * fraction)
    axes.scatter([x + 0.5], [y], s=(0.82 * _ROW * 72) ** 2, color=[color], linewidths=0)
    axes.text(x + 0.5, y, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=ink(color))


def _bar(axes: Axes, x: float, y: float, value: float) -> None:
    width = 0.94 * float(np.clip(value, 0, 1))
    axes.add_patch(Rectangle((x + 0.03, y - 0.36), 0.94, 0.72, facecolor="0.95", edgecolor="none"))
    color = colormaps["YlGnBu"](0.1 + 0.4 * float(np.clip(value, 0, 1)))
    axes.add_patch(Rectangle((x + 0.03, y - 0.36), width, 0.72, facecolor=color, edgecolor="none"))
    axes.text(x + 0.5, y, f"{value:.3f}", ha="center", va="center", fontsize=7.5)


def _headings(axes: Axes, columns: list[tuple[str, str]]) -> None:
    for x, (column, _) in enumerate(columns):
        axes.text(x + 0.5, -0.65, column, ha="center", va="bottom", fontsize=8, rotation=90)
    groups = pd.Series([heading for _, heading in columns])
    for _, block in groups.groupby((groups != groups.shift()).cumsum()):
        first, last = int(block.index[0]), int(block.index[-1])
        if block.iloc[0]:
            top, heading = -0.65 - _HEADING, str(block.iloc[0]).replace(" ", "\n", 1)
            axes.plot([first + 0.08, last + 0.92], [top, top], color="black", linewidth=0.8)
            axes.text((first + last + 1) / 2, top - 0.1, heading, ha="center", va="bottom", fontsize=8, weight="bold")


def _listed(names: Sequence[object]) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - _MOST_NAMES
    return ", ".join(map(str, names[:_MOST_NAMES])) + (f" and {rest} more" if rest > 0 else "")


def _footnote(table: pd.DataFrame, n_characters: int) -> str:
    """Return what the scores are of, in lines of that many characters."""
    notes = []
    if "n_scored" in table.attrs:
        notes.append(f"{table.attrs['n_scored']:,} of {table.attrs['n_obs']:,} observations scored.")
    if table.attrs.get("left_out"):
        notes.append(
            f"Types of fewer than {table.attrs['min_cells']} cells left out: {_listed(table.attrs['left_out'])}."
        )
    if table.attrs.get("undefined"):
        notes.append(f"Undefined and not counted: {', '.join(table.attrs['undefined'])}.")
    return textwrap.fill(" ".join(notes), n_characters)


def benchmark_table(table: pd.DataFrame, *, title: str | None = None, save: str | Path | None = None) -> Figure:
    """Draw the table of :func:`omicsmlm.evaluation.benchmark`, best total first.

    Dots are coloured within their column, from its lowest to its highest value; bars run from 0 to 1.

    Parameters
    ----------
    table
        One row per embedding, one column per metric or mean; a value that is missing is drawn as a dash.
    title
        Heading of the figure.
    save
        File to write, e.g. ``scib.png``.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table has no rows or a column that is not numeric.
    """
    check_heading(title)
    check_table(table)
    if table.empty:
        raise value_error(
            "table", "at least one embedding", "an empty table", "pass the result of evaluation.benchmark"
        )
    odd = [str(column) for column in table if not pd.api.types.is_numeric_dtype(table[column])]
    if odd:
        raise value_error(f"columns {odd}", "numbers", "other values", "pass the result of evaluation.benchmark")
    means = [column for column in _MEANS if column in table]
    ordered = table.sort_values(means[-1], ascending=False) if means else table
    columns = _columns(ordered)
    names = [str(name) for name in ordered.index]
    label = _CHARACTER * max(map(len, names)) / _CELL + 0.4  # room for the names, in cells
    top = -0.65 - _HEADING - 1.2
    width = _CELL * (len(columns) + label)
    figure = new_figure(width, _ROW * (len(names) - top + 0.9 * bool(title)))
    axes = figure.add_subplot()
    axes.set(xlim=(-label, len(columns)), ylim=(len(names) - 0.4, top))
    axes.set_axis_off()
    for y, name in enumerate(names):
        axes.text(-label, y, name, ha="left", va="center", fontsize=8)
        axes.plot([-label, len(columns)], [y + 0.5] * 2, color="0.8", linewidth=0.6, linestyle=(0, (1, 3)))
    axes.plot([-label, len(columns)], [-0.5, -0.5], color="black", linewidth=0.8)
    for x, (column, _) in enumerate(columns):
        values = ordered[column].to_numpy(dtype=float)
        low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 0.0)
        for y, value in enumerate(values):
            if not np.isfinite(value):
                axes.text(x + 0.5, y, "–", ha="center", va="center", fontsize=9)
            elif column in means:
                _bar(axes, x, y, value)
            else:
                _dot(axes, x, y, value, (value - low) / (high - low) if high > low else 0.5)
    _headings(axes, columns)
    note = _footnote(table, int(width / _NOTE_CHARACTER))
    figure.text(0, 0, note, ha="left", va="top", fontsize=7.5, color="0.35", transform=axes.transAxes)
    if title:
        figure.suptitle(title, fontsize=11, weight="bold", x=0.01, ha="left")
    return saved(figure, save)
