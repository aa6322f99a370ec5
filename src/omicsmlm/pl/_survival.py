"""Kaplan-Meier curves of groups of observations."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omicsmlm._censored_times import checked_times, kaplan_meier, log_rank
from omicsmlm._checks import check_type, value_error
from omicsmlm.pl._arguments import check_heading
from omicsmlm.pl._figure import new_figure, saved

logger = logging.getLogger(__name__)

_COLORS = {
    2: ("#1f77b4", "#d62728"),
    3: ("#1f77b4", "#8c8c8c", "#d62728"),
}
_MANY = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
_ORDER = {"low": 0, "middle": 1, "high": 2}


def _bounds(time_n: np.ndarray, event_n: np.ndarray, curve_t: np.ndarray, at_t: np.ndarray) -> tuple[Any, Any]:
    """Compute 95 % limits of a Kaplan-Meier curve: Greenwood's variance of log(-log S)."""
    deaths_t = np.array([((time_n == t) & event_n).sum() for t in at_t])
    at_risk_t = np.array([(time_n >= t).sum() for t in at_t])
    with np.errstate(divide="ignore", invalid="ignore"):
        variance_t = np.cumsum(deaths_t / (at_risk_t * (at_risk_t - deaths_t).astype(float)))
        half_t = 1.96 * np.sqrt(variance_t) / np.abs(np.log(curve_t))
        low_t, high_t = curve_t ** np.exp(half_t), curve_t ** np.exp(-half_t)
    known_t = np.isfinite(low_t)
    return np.where(known_t, low_t, curve_t), np.where(known_t, high_t, curve_t)


def _draw(axes: Axes, time_n: np.ndarray, event_n: np.ndarray, name: str, color: str) -> None:
    curve = kaplan_meier(time_n, event_n)
    at_t, curve_t = curve.index.to_numpy(dtype=float), curve.to_numpy()
    label = f"{name}: {event_n.sum():,} of {len(time_n):,}"
    axes.step(at_t, curve_t, where="post", color=color, linewidth=1.6, label=label)
    axes.fill_between(at_t, *_bounds(time_n, event_n, curve_t, at_t), step="post", color=color, alpha=0.12, linewidth=0)
    censored = np.unique(time_n[~event_n])
    height = curve_t[np.searchsorted(at_t, censored, side="right") - 1]
    axes.plot(censored, height, linestyle="none", marker="|", color=color, markersize=5, markeredgewidth=0.8)


def _at_risk(axes: Axes, groups: dict[str, np.ndarray], colors: tuple[str, ...], ticks: np.ndarray) -> None:
    """Write how many observations of each group are still at risk."""
    for y, (name, time_n) in enumerate(groups.items()):
        axes.text(-0.05, y, name, transform=axes.get_yaxis_transform(), ha="right", va="center", color=colors[y])
        for tick in ticks:
            axes.text(tick, y, f"{(time_n >= tick).sum():,}", ha="center", va="center", fontsize=9)
    axes.set(ylim=(len(groups) - 0.4, -0.6), yticks=[], xticks=[], title="at risk")
    axes.title.set(fontsize=9, ha="left", position=(0, 1))
    axes.spines[:].set_visible(False)


def _complete(time: Any, event: Any, group: Any, stratum: Any) -> tuple[Any, Any, Any, Any]:
    """Return what is known of the observations that have a time and an event, where others are among them."""
    columns = [column for column in (time, event, group, stratum) if column is not None]
    try:
        shapes = {np.shape(column) for column in columns}
    except ValueError:  # lists of different lengths
        shapes = set()
    if len(shapes) != 1 or len(shapes.pop()) != 1:
        return time, event, group, stratum  # refused later, with a sentence
    known_n = ~(np.asarray(pd.isna(time)) | np.asarray(pd.isna(event)))
    if known_n.all() or not known_n.any():
        return time, event, group, stratum
    logger.warning(
        "survival: %s of %s observations have no time or no event, and are left out.",
        f"{(~known_n).sum():,}",
        f"{len(known_n):,}",
    )
    kept = [np.asarray(column)[known_n] for column in (time, event, group)]
    return kept[0], kept[1], kept[2], None if stratum is None else np.asarray(stratum)[known_n]


def survival(
    time: Any,
    event: Any,
    group: Any,
    *,
    stratum: Any = None,
    unit: str = "",
    title: str | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Draw the Kaplan-Meier curve of each group, with the p-value of the log-rank test and the numbers at risk.

    Parameters
    ----------
    time
        (n,) times, not negative. Observations whose time or event is missing are left out, which a warning counts, as
        models do not learn from them either.
    event
        (n,) whether they end with the event (1) or without (0); ticks on a curve are observations last seen without it.
    group
        (n,) names of at least two groups, such as ``evaluation.survival.risk_groups(…)``. Bands are 95 % limits.
    stratum
        (n,) names of strata within which the test compares; None for one.
    unit
        Unit of time, for the axis.
    title
        Heading of the figure.
    save
        File to write, e.g. ``survival.png``.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is one group or more than ten, lengths differ, or values are out of range.
    """
    check_heading(title)
    check_type("unit", unit, str, "a text", "leave it out")
    time, event, group, stratum = _complete(time, event, group, stratum)
    time_n, event_n, group_n = checked_times("survival", time, event, group=np.asarray(group, dtype=str))
    names = sorted(np.unique(group_n), key=lambda name: (_ORDER.get(name, 9), name))
    if not 2 <= len(names) <= len(_MANY):
        raise value_error("group", f"two to {len(_MANY)} groups", str(len(names)), "divide the observations otherwise")
    test = log_rank(time_n, event_n, group_n, stratum)
    colors = _COLORS.get(len(names), _MANY)
    figure = new_figure(6.8, 4.2 + 0.22 * len(names) + 0.3 * bool(title))
    upper, lower = figure.subplots(2, 1, sharex=False, height_ratios=(3.6, 0.28 * len(names) + 0.2))
    groups = {str(name): time_n[group_n == name] for name in names}
    for (name, own_n), color in zip(groups.items(), colors, strict=False):
        _draw(upper, own_n, event_n[group_n == name], name, color)
    upper.set(ylim=(-0.02, 1.02), xlim=(0, time_n.max() * 1.02), ylabel="without the event")
    upper.set_xlabel(f"time ({unit})" if unit else "time")
    upper.spines[["top", "right"]].set_visible(False)
    beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02)}  # curves may be anywhere
    upper.legend(frameon=False, fontsize=9, title="events", title_fontsize=9, alignment="left", **beside)
    written = f"{test.p_value:.2g}" if test.p_value >= 1e-4 else f"{test.p_value:.0e}"
    upper.text(0.03, 0.05, f"log-rank p = {written}", transform=upper.transAxes, fontsize=10, weight="bold")
    ticks = np.array([tick for tick in upper.get_xticks() if 0 <= tick <= time_n.max()])
    lower.set_xlim(upper.get_xlim())
    _at_risk(lower, groups, colors, ticks)
    if title:
        figure.suptitle(title, fontsize=11, weight="bold", x=0.01, ha="left")
    return saved(figure, save)
