"""How sure a classifier is beside how often it is right."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from omicsmlm._checks import named, value_error
from omicsmlm.pl._arguments import check_heading, check_table
from omicsmlm.pl._figure import new_figure, saved

_COLUMNS = ("confidence", "accuracy", "n")
_BLUE, _RED = "#1f77b4", "#d62728"


def _interval(fraction_b: np.ndarray, n_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute Wilson's 95 % interval of a fraction of n."""
    z2 = 1.96**2
    middle_b = (fraction_b + z2 / (2 * n_b)) / (1 + z2 / n_b)
    half_b = np.sqrt(z2 * (fraction_b * (1 - fraction_b) / n_b + z2 / (4 * n_b**2))) / (1 + z2 / n_b)
    return middle_b - half_b, middle_b + half_b


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    check_table(table, numbers=_COLUMNS)
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise value_error(
            "table", f"the columns {named(_COLUMNS)}", f"one without {named(missing)}", "pass evaluation.reliability(…)"
        )
    held = table.loc[table["n"] > 0, list(_COLUMNS)].sort_values("confidence")
    if held.empty:
        raise value_error("table", "at least one bin with observations", "none", "pass evaluation.reliability(…)")
    if not held[["confidence", "accuracy"]].apply(lambda column: column.between(0, 1).all()).all():
        raise value_error("table", "fractions from 0 to 1", "other values", "pass evaluation.reliability(…)")
    return held


def reliability(table: pd.DataFrame, *, title: str | None = None, save: str | Path | None = None) -> Figure:
    """Draw a reliability diagram: accuracy over confidence, and below it how many observations were that sure.

    On the diagonal a classifier is right as often as it says; below it is too sure. Red lines are the gaps, thin grey
    ones Wilson's 95 % intervals.

    Parameters
    ----------
    table
        One row per bin: ``confidence``, ``accuracy`` (0 to 1), ``n``; ``attrs["ECE"]`` is written into the figure, if
        it is there.
    title
        Heading of the figure.
    save
        File to write, e.g. ``reliability.png``.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a column is missing, no bin has observations, or a fraction is not between 0 and 1.
    """
    check_heading(title)
    held = _checked(table)
    confidence_b, accuracy_b, n_b = (held[column].to_numpy(dtype=float) for column in _COLUMNS)
    figure = new_figure(4.2, 5.0 + 0.3 * bool(title))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    upper.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
    upper.vlines(confidence_b, *_interval(accuracy_b, n_b), color="0.75", linewidth=1)
    upper.vlines(confidence_b, confidence_b, accuracy_b, color=_RED, linewidth=3, alpha=0.55)
    upper.plot(confidence_b, accuracy_b, color=_BLUE, marker="o", markersize=5, linewidth=1.3)
    upper.set(ylim=(-0.03, 1.03), ylabel="accuracy")
    if "ECE" in table.attrs:
        upper.text(0.04, 0.93, f"ECE {table.attrs['ECE']:.3f}", transform=upper.transAxes, fontsize=11, weight="bold")
    lower.bar(confidence_b, n_b / n_b.sum(), width=0.03, color=_BLUE)
    lower.set(xlim=(-0.03, 1.03), xlabel="confidence", ylabel=f"fraction of\n{n_b.sum():,.0f} observations")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=11, weight="bold", x=0.01, ha="left")
    return saved(figure, save)
