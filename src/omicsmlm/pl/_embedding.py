"""Coordinates in two dimensions, coloured by columns of ``.obs``, features or imputed values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from omicsmlm._checks import check_type, named, value_error
from omicsmlm._dense import dense
from omicsmlm.pl._arguments import check_imputed, check_object, names_of
from omicsmlm.pl._color_values import Colors, color_values
from omicsmlm.pl._figure import COLUMN_WIDTH, new_figure, saved

_MISSING = "#d9d9d9"
_FONT = 8
_PERCENTILES = 1, 99
"""Of a feature's values: what lies outside is drawn in the colour of the end of the scale."""
_LEGEND_WIDTH = 44
"""Characters that a line of the legend below a panel of half the column has room for."""
_MOST_LINES = 12
"""Of a legend below a panel: the first that is longer goes below all panels, over the whole width."""
_LINE = 0.155
"""Inches of a line of a legend."""


def _listed(name: str) -> np.ndarray:
    colors = colormaps[name]
    return colors(np.arange(colors.N))[:, :3]


def palette(n: int) -> list[Any]:
    """Return colours for `n` classes, none of them a grey; they come round again beyond 52."""
    few = [color for color in _listed("tab10") if np.ptp(color) > 0.1]
    many = [color for name in ("tab20", "tab20b", "tab20c") for color in _listed(name) if np.ptp(color) > 0.1]
    chosen = few if n <= len(few) else many
    return [to_hex(chosen[i % len(chosen)]) for i in range(n)]


def _numbers(figure: Figure, axes: Axes, xy_n2: np.ndarray, colors: Colors, dots: dict[str, Any]) -> None:
    """Draw numbers with a colour bar; of a feature, high values lie on top and the scale leaves out the extremes."""
    limits: dict[str, Any] = {}
    shade_n = colors.values.to_numpy(dtype=float, na_value=np.nan)
    known_n = np.isfinite(shade_n)
    axes.scatter(xy_n2[~known_n, 0], xy_n2[~known_n, 1], color=_MISSING, **dots)
    order = np.flatnonzero(known_n)
    if colors.unit and len(order):
        order = order[np.argsort(shade_n[order], kind="stable")]
        low, high = np.percentile(shade_n[order], _PERCENTILES)
        limits = {"vmin": low, "vmax": high} if high > low else {}
    points = axes.scatter(xy_n2[order, 0], xy_n2[order, 1], c=shade_n[order], cmap="viridis", **limits, **dots)
    bar = figure.colorbar(points, ax=axes, shrink=0.6, pad=0.02, extend="both" if limits else "neither")
    bar.ax.tick_params(labelsize=_FONT)
    bar.set_label(colors.unit, fontsize=_FONT)


def _classes(
    figure: Figure, axes: Axes, xy_n2: np.ndarray, values: pd.Series, dots: dict[str, Any], beside: bool
) -> None:
    """Draw classes with a legend, below the panel or beside it, or below all panels where it is long."""
    classes = values.astype("category").cat.remove_unused_categories()
    names = [str(name) for name in classes.cat.categories]
    colors = np.array([*palette(len(names)), _MISSING], dtype=object)
    code_n = classes.cat.codes.to_numpy()
    axes.scatter(xy_n2[:, 0], xy_n2[:, 1], color=list(colors[code_n]), **dots)
    entries = list(zip(names, colors, strict=False)) + ([("missing", _MISSING)] if (code_n < 0).any() else [])
    for name, color in entries:
        axes.scatter([], [], s=26, c=[color], label=name)
    look: dict[str, Any] = {
        "frameon": False,
        "fontsize": _FONT,
        "handletextpad": 0.1,
        "columnspacing": 0.8,
        "labelspacing": 0.25,
    }
    if beside:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=-(-len(entries) // 18), **look)
        return
    width = max(len(name) for name, _ in entries) + 4
    n_columns = min(max(1, _LEGEND_WIDTH // width), len(entries))
    if -(-len(entries) // n_columns) <= _MOST_LINES or figure.legends:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=n_columns, **look)
        return
    n_columns = max(1, 2 * _LEGEND_WIDTH // width)
    figure.set_figheight(figure.get_figheight() + (-(-len(entries) // n_columns) + 2) * _LINE)
    title: dict[str, Any] = {"title": str(values.name), "title_fontproperties": {"size": _FONT, "weight": "bold"}}
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=n_columns, **look, **title)


def _panel(figure: Figure, axes: Axes, xy_n2: np.ndarray, colors: Colors, beside: bool) -> None:
    order = np.random.default_rng(0).permutation(len(xy_n2))  # so that no class lies on top of all others
    axes.set(xticks=[], yticks=[])
    axes.set_title(str(colors.values.name), loc="left", fontsize=10, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_aspect("equal", adjustable="datalim")
    size = float(np.clip((30_000 if beside else 14_000) / len(xy_n2), 1.0, 14))
    dots: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
    values = colors.values.iloc[order]
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        _numbers(figure, axes, xy_n2[order], Colors(values, colors.unit), dots)
    else:
        _classes(figure, axes, xy_n2[order], values, dots, beside)


def draw_panels(xy_n2: np.ndarray, colors: Sequence[Colors], axis: str) -> Figure:
    """Return a figure of a panel for each of what the observations are coloured by, two beside one another.

    Parameters
    ----------
    xy_n2
        (n_obs, 2) coordinates.
    colors
        At least one.
    axis
        Name of the axes: ``"UMAP"`` for "UMAP 1" and "UMAP 2".
    """
    n_rows, alone = -(-len(colors) // 2), len(colors) == 1
    figure = new_figure(5.8 if alone else COLUMN_WIDTH, 4.2 if alone else 3.9 * n_rows)
    panels = figure.subplots(n_rows, 1 if alone else 2, squeeze=False).ravel()
    for axes, color in zip(panels, colors, strict=False):
        _panel(figure, axes, xy_n2, color, beside=alone)
        axes.set_xlabel(f"{axis} 1", fontsize=_FONT)
        axes.set_ylabel(f"{axis} 2", fontsize=_FONT)
    for axes in panels[len(colors) :]:
        axes.set_axis_off()
    return figure


class Coloured(NamedTuple):
    """An embedding of the m observations that are finite there, and what colours them."""

    embedding_md: np.ndarray
    colors: list[Colors]


def coloured(
    data: ad.AnnData | md.MuData, key: str, color: str | Sequence[str], imputed: pd.DataFrame | None, n_least: int = 1
) -> Coloured:
    """Return a matrix of ``.obsm``, (m, d) float32 of the observations that are finite there, and the values of each colour.

    Raises
    ------
    ValueError
        If the key is not there, the matrix has a single column, fewer than `n_least` observations are finite, or there is no
        colour, or one that is not there.
    """
    check_object(data)
    check_type("key", key, str, "a key of .obsm", 'pass "X_omics", say')
    if key not in data.obsm:
        raise value_error(
            f"key {key!r}", "an embedding in .obsm", f"only {named(data.obsm)}", "train a model or pass another"
        )
    embedding_nd = dense(data.obsm[key], np.float32)
    finite_n = np.isfinite(embedding_nd).all(axis=1)
    if finite_n.sum() < n_least:
        expected = f"at least {['no', 'one', 'two', 'three'][n_least]} finite observations"
        raise value_error(f"key {key!r}", expected, str(int(finite_n.sum())), "embed the observations first")
    if embedding_nd.shape[1] < 2:
        raise value_error(f"key {key!r}", "at least two columns", "one", "pass another key")
    names = names_of("color", color)
    check_imputed(imputed)
    if not names:
        raise value_error("color", "at least one column of .obs or feature", "none", "pass names that are there")
    found = [color_values(data, name, imputed) for name in names]
    return Coloured(embedding_nd[finite_n], [colors._replace(values=colors.values[finite_n]) for colors in found])


def embedding(
    data: ad.AnnData | md.MuData,
    key: str,
    color: str | Sequence[str],
    *,
    imputed: pd.DataFrame | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Draw the first two columns of a matrix in ``.obsm``, one panel for each of what colours it.

    Parameters
    ----------
    data
        AnnData or MuData; not changed.
    key
        Key of ``.obsm``, such as ``X_umap`` of scanpy; observations that are not finite there are left out.
    color
        Columns of the top-level ``.obs`` and features of any modality. Classes get a legend, numbers a colour bar; observations
        without a value, those that lack the modality among them, are grey. Raw counts are drawn as
        log(1 + counts per 10,000), other values as they are. Where several modalities have a feature of this name, write
        ``"rna:CD4"``.
    imputed
        (observations, features) as of ``model.impute(modality="rna")``: its columns colour, too, and go before measured
        features of the same name.
    save
        File to write, e.g. ``embedding.png``.

    Returns
    -------
    Figure
        Not shown; a notebook displays it if it is the last value of a cell.

    Raises
    ------
    ValueError
        If the key or a name is not there, the matrix has a single column, or no observation is finite.
    """
    found = coloured(data, key, color, imputed)
    return saved(draw_panels(found.embedding_md[:, :2], found.colors, axis_name(key)), save)


def axis_name(key: str) -> str:
    """Return how axes are named of a matrix of ``.obsm``.

    Examples
    --------
    >>> axis_name("X_umap"), axis_name("X_omics")
    ('UMAP', 'omics')
    """
    name = key.removeprefix("X_")
    return name.upper() if name.lower() in ("umap", "pca", "tsne") else name
