"""Which modalities the observations have."""

from pathlib import Path

import mudata as md
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omicsmlm._checks import check_type, named, value_error
from omicsmlm._obs_values import obs_values
from omicsmlm.pl._embedding import palette
from omicsmlm.pl._figure import COLUMN_WIDTH, new_figure, saved

_INK, _PALE = "#264653", "#d9d9d9"
_MOST_GROUPS = 20
_FONT = 8


def modality_patterns(mdata: md.MuData, groupby: str | None = None) -> pd.DataFrame:
    """Return how many observations have each combination of modalities, most frequent first.

    Parameters
    ----------
    mdata
        MuData, in which an observation without a modality is no observation of that modality's AnnData.
    groupby
        Column of ``.obs``, for a count for each of its values; None for one of all observations.

    Returns
    -------
    DataFrame
        One row per combination, whose index has a boolean level per modality; one column per group, or ``"observations"``.
    """
    present = pd.DataFrame({name: np.asarray(mdata.obsm[name]).astype(bool).ravel() for name in mdata.mod})
    group_n = pd.Series("observations", present.index)
    if groupby is not None:
        column = obs_values(mdata, groupby)
        assert column is not None
        group_n = pd.Series(column.astype(object).array, present.index).fillna("missing").astype(str)
    counts = present.assign(_group=group_n).groupby([*present.columns, "_group"]).size().unstack(fill_value=0)
    counts.columns.name = None
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    return counts.loc[order]


def missing_modalities(mdata: md.MuData, groupby: str | None = None, *, save: str | Path | None = None) -> Figure:
    """Draw how many observations have each combination of modalities.

    Every row is a combination: its modalities are the dark dots, its observations the bar.

    Parameters
    ----------
    mdata
        MuData; not changed.
    groupby
        Column of ``.obs``, top-level or of modalities, that divides the bars, such as the batch; at most 20 values.
    save
        File to write, e.g. ``modalities.png``.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If `mdata` is no MuData, or the column is not there or has too many values.
    """
    if not isinstance(mdata, md.MuData):
        found = f"{type(mdata).__name__}, which has one modality"
        raise value_error("mdata", "a MuData", found, "pass the object with all modalities")
    check_type("groupby", groupby, (str, type(None)), "the name of a column", "pass a column of the top-level .obs")
    if groupby is not None and obs_values(mdata, groupby) is None:
        expected, found = "a column of .obs", f"only {named(mdata.obs.columns)}"
        raise value_error(f"groupby {groupby!r}", expected, found, "pass one that is there")
    counts = modality_patterns(mdata, groupby)
    if counts.shape[1] > _MOST_GROUPS:
        expected, found = f"a column of at most {_MOST_GROUPS} values", f"{counts.shape[1]:,}"
        raise value_error(f"groupby {groupby!r}", expected, found, "pass a coarser one, such as the batch")
    modalities = [str(name) for name in counts.index.names]
    n_rows = len(counts)
    width = 0.5 * len(modalities) + 0.5
    figure = new_figure(COLUMN_WIDTH, 0.36 * n_rows + 1.1 + 0.1 * counts.shape[1] * (groupby is not None))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[width, COLUMN_WIDTH - width])
    _dots(left, np.array([list(map(bool, np.atleast_1d(row))) for row in counts.index]), modalities)
    _bars(right, counts, groupby)
    left.set_ylim(n_rows - 0.5, -0.5)
    return saved(figure, save)


def _dots(axes: Axes, present: np.ndarray, modalities: list[str]) -> None:
    """Draw the combinations, (rows, modalities) bool, as dots; those of a row are joined."""
    for y, row in enumerate(present):
        x = np.flatnonzero(row)
        axes.plot(x, [y] * len(x), color=_INK, linewidth=2)
        axes.scatter(np.arange(len(row)), [y] * len(row), s=60, c=np.where(row, _INK, _PALE), zorder=2)
    axes.set_xticks(range(len(modalities)), modalities, fontsize=_FONT + 1, rotation=45, ha="right")
    axes.set(xlim=(-0.5, len(modalities) - 0.5), yticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _bars(axes: Axes, counts: pd.DataFrame, groupby: str | None) -> None:
    """Draw the observations of each combination, divided into groups, with their number and fraction behind."""
    total, start = counts.sum(axis=1).to_numpy(), np.zeros(len(counts))
    colors = [_INK] if groupby is None else palette(counts.shape[1])
    for name, color in zip(counts.columns, colors, strict=True):
        axes.barh(range(len(counts)), counts[name], left=start, color=color, height=0.7, label=str(name))
        start = start + counts[name].to_numpy()
    for y, n in enumerate(total):
        text = f" {n:,} ({n / total.sum():.0%})"
        axes.text(n, y, text, va="center", ha="left", fontsize=_FONT)
    axes.set_xlim(0, 1.25 * total.max())
    axes.set_xlabel("observations", fontsize=_FONT + 1)
    axes.tick_params(axis="x", labelsize=_FONT)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if groupby is not None:
        axes.legend(
            title=groupby, frameon=False, fontsize=_FONT, title_fontsize=_FONT, loc="upper left",
            bbox_to_anchor=(1.0, 1.0), ncols=-(-counts.shape[1] // 10),
        )  # fmt: skip
