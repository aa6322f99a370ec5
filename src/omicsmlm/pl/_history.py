"""Curves of the training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omicsmlm._checks import check_type, shortened, value_error
from omicsmlm.pl._figure import new_figure, saved

_SETS = {"train": "#1f77b4", "validation": "#d62728"}
_DASHES: list[Any] = ["--", ":", "-.", (0, (1, 4)), (0, (6, 3))]
_FONT = 8


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
    try:
        series = values if isinstance(values, pd.Series) else pd.Series(np.atleast_1d(np.asarray(values)))
        return pd.to_numeric(series, errors="coerce").dropna()
    except (TypeError, ValueError) as error:  # of several axes, or of what numpy makes no array
        raise value_error("history", "numbers by step", shortened(values), "pass model.history") from error


def beginnings(panels: Mapping[str, Mapping[str, pd.Series]]) -> dict[str, float]:
    """Return when what begins: terms of the training loss that are 0 at first and not later, and the lowest validation loss.

    Parameters
    ----------
    panels
        Curves by quantity and set of observations.

    Returns
    -------
    dict
        From what begins to the step (or epoch) before whose value it does.

    Examples
    --------
    >>> loss = {"validation": pd.Series([3.0, 1.0, 2.0], [10, 20, 30])}
    >>> alignment = {"train": pd.Series([0.0, 0.0, 4.0], [10, 20, 30])}
    >>> beginnings({"loss": loss, "alignment": alignment})
    {'alignment begins': 20.0, 'lowest validation loss': 20.0}
    """
    found = {}
    for quantity, curves in panels.items():
        curve = curves.get("train")
        if curve is None or not len(curve) or curve.iloc[0] != 0 or not (curve != 0).any():
            continue
        at = int((curve != 0).to_numpy().argmax())
        found[f"{quantity.replace('_', ' ')} begins"] = float(curve.index[at - 1])
    validation = panels.get("loss", {}).get("validation")
    if validation is not None and len(validation) > 1:
        found["lowest validation loss"] = float(validation.idxmin())
    return found


def _is_of_training_alone(curves: Mapping[str, pd.Series]) -> bool:
    """Return whether a term is 0 on all validation observations and not on those of training: it was not computed there."""
    return (
        {"train", "validation"} <= set(curves)
        and bool((curves["validation"] == 0).all())
        and bool((curves["train"] != 0).any())
    )


def _mark(axes: Axes, marks: Mapping[str, float], named_too: bool) -> None:
    """Draw a line at each mark, those of one step as one; on the first panel also what it is."""
    at: dict[float, list[str]] = {}
    for name, step in marks.items():
        at.setdefault(step, []).append(name)
    for i, (step, names) in enumerate(sorted(at.items())):
        label = ", ".join(names) if named_too else None
        axes.axvline(step, color="0.45", linewidth=0.9, linestyle=_DASHES[i % len(_DASHES)], label=label, zorder=0)


def history(
    history: Mapping[str, Any] | pd.DataFrame,
    *,
    marks: Mapping[str, float] | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Draw each quantity of a training history over the steps, training and validation in one panel.

    Lines mark where a term of the loss begins, so that a jump of the training loss there explains itself, and where the
    validation loss was lowest. A term that is not computed on the validation observations has no curve of them.

    Parameters
    ----------
    history
        ``model.history``: from names to curves (DataFrame of one column, Series or list), one value per epoch. Names
        that differ by ``train_`` / ``validation_`` (in front or behind) share a panel.
    marks
        Further lines, from what they mark to its step, such as ``{"second training": 700}``.
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
    check_type("history", history, (Mapping, pd.DataFrame, type(None)), "curves by name", "pass model.history")
    check_type("marks", marks, (Mapping, type(None)), "steps by name", 'pass {"second training": 700}, say')
    for name, step in (marks or {}).items():
        check_type(f"marks {name!r}", step, (int, float, np.number), "a step", "pass a number")
    panels: dict[str, dict[str, pd.Series]] = {}
    for name, values in ({} if history is None else history).items():
        quantity, rows = _split_name(str(name))
        curve = _curve(values)
        if len(curve):
            panels.setdefault(quantity, {})[rows] = curve
    if not panels:
        raise value_error("history", "at least one curve", "none", "train the model first")
    for curves in panels.values():
        if _is_of_training_alone(curves):
            del curves["validation"]
    found = {**beginnings(panels), **(marks or {})}
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    figure = new_figure(max(3.6, 2.4 * n_columns), 2.0 * n_rows + 0.5)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for i, (axes, (quantity, curves)) in enumerate(zip(grid, panels.items(), strict=False)):
        for rows, curve in curves.items():
            marker = "o" if len(curve) < 3 else None
            color = _SETS.get(rows, "0.2")
            axes.plot(curve.index, curve, color=color, label=rows or None, linewidth=1.4, marker=marker)
        _mark(axes, found, named_too=i == 0)
        axes.set_title(quantity.replace("_", " "), loc="left", fontsize=9, fontweight="bold")
        axes.set_xlabel(str(curve.index.name or "epoch"), fontsize=_FONT)
        axes.tick_params(labelsize=_FONT)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    entries: dict[str, Any] = {}
    for axes in grid:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(entries.values(), entries, loc="outside lower center", ncols=2, frameon=False, fontsize=_FONT)
    return saved(figure, save)
