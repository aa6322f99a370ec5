"""UMAP of an embedding, coloured by columns of ``.obs``."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from omicsmlm._checks import named, value_error
from omicsmlm._compat import keep_torch_threads
from omicsmlm._dense import dense
from omicsmlm.pl._figure import new_figure, saved

_MISSING = "#d9d9d9"
_LEGEND_ROWS = 16
FEWEST_SPECTRAL = 4
"""Observations up to which a layout starts at random."""


def umap_coordinates(embedding: np.ndarray, *, n_neighbors: int = 15, seed: int = 0) -> np.ndarray:
    """Compute the UMAP of an embedding in two dimensions, by umap-learn with the spread of scanpy.

    Parameters
    ----------
    embedding
        (n_obs, d), finite.
    n_neighbors
        Neighbours of the graph; fewer where there are fewer observations.
    seed
        Seed of the neighbour search and the layout.

    Returns
    -------
    ndarray
        float32 (n_obs, 2).
    """
    from umap import UMAP

    with warnings.catch_warnings(), keep_torch_threads():
        warnings.simplefilter("ignore")
        # the spectral layout takes eigenvectors of the graph: more than very few observations have
        init = "spectral" if len(embedding) > FEWEST_SPECTRAL else "random"
        layout = UMAP(n_neighbors=min(n_neighbors, len(embedding) - 1), min_dist=0.5, init=init, random_state=seed)
        return np.asarray(layout.fit_transform(np.asarray(embedding, dtype=np.float32)), dtype=np.float32)


def _listed(name: str) -> np.ndarray:
    colors = colormaps[name]
    return colors(np.arange(colors.N))[:, :3]


def _palette(n: int) -> list[Any]:
    """Return colours for `n` classes, none of them a grey; they come round again beyond 52."""
    few = [color for color in _listed("tab10") if np.ptp(color) > 0.1]
    many = [color for name in ("tab20", "tab20b", "tab20c") for color in _listed(name) if np.ptp(color) > 0.1]
    chosen = few if n <= len(few) else many
    return [to_hex(chosen[i % len(chosen)]) for i in range(n)]


def _panel(figure: Figure, axes: Axes, xy_n2: np.ndarray, values: pd.Series, size: float) -> None:
    order = np.random.default_rng(0).permutation(len(xy_n2))  # so that no class lies on top of all others
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axes.set_title(str(values.name), loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_aspect("equal", adjustable="datalim")
    dots: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
    x_n, y_n = xy_n2[order].T
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        shade_n = values.to_numpy(dtype=float)[order]
        known_n = ~np.isnan(shade_n)
        axes.scatter(x_n[~known_n], y_n[~known_n], color=_MISSING, **dots)
        points = axes.scatter(x_n[known_n], y_n[known_n], c=shade_n[known_n], cmap="viridis", **dots)
        figure.colorbar(points, ax=axes, shrink=0.6, pad=0.02)
        return
    classes = values.astype("category").cat.remove_unused_categories()
    names = [str(name) for name in classes.cat.categories]
    colors = np.array([*_palette(len(names)), _MISSING], dtype=object)
    code_n = classes.cat.codes.to_numpy()
    axes.scatter(x_n, y_n, color=list(colors[code_n[order]]), **dots)
    entries = list(zip(names, colors, strict=False)) + ([("missing", _MISSING)] if (code_n < 0).any() else [])
    for name, color in entries:
        axes.scatter([], [], s=36, c=[color], label=name)
    columns = -(-len(entries) // _LEGEND_ROWS)
    axes.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8.5, ncols=columns, handletextpad=0.2
    )


def umap(
    data: ad.AnnData | md.MuData,
    key: str,
    color: str | Sequence[str],
    *,
    n_neighbors: int = 15,
    seed: int = 0,
    save: str | Path | None = None,
) -> Figure:
    """Draw the UMAP of an embedding, one panel for each column of ``.obs``.

    Parameters
    ----------
    data
        AnnData or MuData; not changed.
    key
        Key of ``.obsm``; observations that are not finite there are left out.
    color
        Columns of the top-level ``.obs``: classes get a legend, numbers a colour bar, missing values are grey.
    n_neighbors
        Neighbours of the graph.
    seed
        Seed of the neighbour search and the layout.
    save
        File to write, e.g. ``umap.png``.

    Returns
    -------
    Figure
        Not shown; a notebook displays it if it is the last value of a cell.

    Raises
    ------
    ValueError
        If the key or a column is not there, or fewer than three observations are finite.
    """
    columns = [color] if isinstance(color, str) else list(color)
    missing = [column for column in columns if column not in data.obs]
    if missing or not columns:
        expected = "columns of the top-level .obs"
        raise value_error(
            f"color {missing}", expected, f"only {named(data.obs.columns)}", "pass columns that are there"
        )
    if key not in data.obsm:
        raise value_error(
            f"key {key!r}", "an embedding in .obsm", f"only {named(data.obsm)}", "train a model or pass another"
        )
    embedding_nd = dense(data.obsm[key], np.float32)
    finite_n = np.isfinite(embedding_nd).all(axis=1)
    if finite_n.sum() < 3:
        raise value_error(
            f"key {key!r}",
            "at least three finite observations",
            str(int(finite_n.sum())),
            "embed the observations first",
        )
    xy_n2 = umap_coordinates(embedding_nd[finite_n], n_neighbors=n_neighbors, seed=seed)
    figure = new_figure(5.6 * min(len(columns), 3), 4.2 * -(-len(columns) // 3))
    panels = figure.subplots(-(-len(columns) // 3), min(len(columns), 3), squeeze=False).ravel()
    size = float(np.clip(30_000 / len(xy_n2), 1.5, 20))
    for axes, column in zip(panels, columns, strict=False):
        _panel(figure, axes, xy_n2, pd.Series(data.obs[column].array[finite_n], name=column), size)
    for axes in panels[len(columns) :]:
        axes.set_axis_off()
    return saved(figure, save)
