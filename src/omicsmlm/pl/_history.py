"""Curves of the training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from omicsmlm._checks import value_error
from omicsmlm.pl._figure import new_figure, saved

_SETS = {"train": "#1f77b4", "validation": "#d62728"}


def _split_name(name: str) -> tuple[str, str]:
    """Return the quantity and the set of observations of a name: ``("loss", "validation")`` of ``validation_loss``."""
    for rows in _SETS:
        if name.startswith(f"{rows}_"):
            return name.removeprefix(f"{rows}_"), rows
        if name.endswith(f"_{rows}"):
            return name.removesuffix(f"_{rows}"), rows
    return name, ""


def _curve(values: Any) -> pd.Series:
    if isinstance(values, pd.DataFrame):
        values = values.iloc[:, 0]
    series = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values))
    return pd.to_numeric(series, errors="coerce").dropna()


def history(history: Mapping[str, Any] | pd.DataFrame, *, save: str | Path | None = None) -> Figure:
    """Draw each quantity of a training history over the epochs, training and validation in one panel.

    Parameters
    ----------
    history
        ``model.history``: from names to curves (DataFrame of one column, Series or list), one value per epoch. Names
        that differ by ``train_`` / ``validation_`` (in front or behind) share a panel.
    save
        File to write, e.g. ``history.png``.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no curve.
    """
    panels: dict[str, dict[str, pd.Series]] = {}
    for name, values in (history or {}).items() if not isinstance(history, pd.DataFrame) else history.items():
        quantity, rows = _split_name(str(name))
        curve = _curve(values)
        if len(curve):
            panels.setdefault(quantity, {})[rows] = curve
    if not panels:
        raise value_error("history", "at least one curve", "none", "train the model first")
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    figure = new_figure(4.2 * n_columns, 2.9 * n_rows)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, (quantity, curves) in zip(grid, panels.items(), strict=False):
        for rows, curve in curves.items():
            marker = "o" if len(curve) < 3 else None
            axes.plot(curve.index, curve, color=_SETS.get(rows, "0.2"), label=rows, linewidth=1.5, marker=marker)
        axes.set_title(quantity.replace("_", " "), loc="left", fontsize=10, fontweight="bold")
        axes.set_xlabel(str(curve.index.name or "epoch"))
        axes.spines[["top", "right"]].set_visible(False)
        if any(curves):
            axes.legend(frameon=False, fontsize=8)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return saved(figure, save)
