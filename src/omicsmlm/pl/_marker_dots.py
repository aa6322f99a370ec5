"""Dot plot of markers by group, of measured or imputed values."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from omicsmlm._checks import check_type, named, value_error
from omicsmlm._compat import keep_torch_threads
from omicsmlm._obs_values import obs_values
from omicsmlm.pl._arguments import check_heading, check_imputed, check_object, names_of
from omicsmlm.pl._color_values import color_values
from omicsmlm.pl._figure import COLUMN_WIDTH, new_figure, saved

_CELL = 0.3  # inches
_CHARACTER = 0.085  # inches
_LEGEND = 1.6  # inches
_MOST_SD = 2.5
"""Standard deviations at which the colours end."""
_BRACKETS = 0.6  # inches


def standardised(values: pd.DataFrame) -> pd.DataFrame:
    """Return each column less its mean, divided by its standard deviation; a constant column is 0.

    Examples
    --------
    >>> standardised(pd.DataFrame({"CD4": [1.0, 3.0], "CD8A": [2.0, 2.0]})).to_numpy().tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    spread = values.std(ddof=0)
    return (values - values.mean()) / spread.where(spread > 0, 1.0)


def marker_dots(
    data: ad.AnnData | md.MuData,
    markers: Sequence[str] | Mapping[str, Sequence[str]],
    groupby: str,
    *,
    imputed: pd.DataFrame | None = None,
    title: str | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Draw markers by group of observations, with the dots of :class:`scanpy.pl.DotPlot`.

    Imputed values are expected values, hardly any of which are 0, so that the fraction of cells that "express" a gene says
    nothing. Every marker is therefore standardised over all observations: the colour is the mean of a group in standard
    deviations, the size the fraction of the group above the mean of all.

    Parameters
    ----------
    data
        AnnData or MuData; not changed.
    markers
        Features, as for :func:`embedding`: of `imputed`, else of a modality. A mapping puts them under headings.
    groupby
        Column of ``.obs``; observations without a value there, or without a value of one of the markers, are
        left out.
    imputed
        (observations, features) as of ``model.impute(modality="rna")``.
    title
        Heading of the figure.
    save
        File to write, e.g. ``markers.png``.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a marker or the column is not there, a marker is named twice, or no observation has a value of all markers.
    """
    check_heading(title)
    check_object(data)
    check_imputed(imputed)
    check_type("groupby", groupby, str, "the name of a column", "pass a column of the top-level .obs")
    if isinstance(markers, Mapping):
        markers = {str(heading): names_of("markers", part) for heading, part in markers.items()}
        names = [name for part in markers.values() for name in part]
    else:
        names = markers = names_of("markers", markers)
    column = obs_values(data, groupby)
    if column is None:
        found = f"only {named(data.obs.columns)}"
        raise value_error(f"groupby {groupby!r}", "a column of .obs", found, "pass one that is there")
    if not names or len(set(names)) < len(names):
        found = "none" if not names else f"{named(n for n in set(names) if names.count(n) > 1)} twice"
        raise value_error("markers", "features, each once", found, "pass names of features")
    values = pd.DataFrame({name: color_values(data, name, imputed).values.astype(float) for name in names})
    group_n = column.astype("category")
    kept_n = np.isfinite(values).all(axis=1).to_numpy() & group_n.notna().to_numpy()
    if not kept_n.any():
        remedy = "draw the modalities one at a time, or impute them"
        raise value_error("markers", "observations with a value of all of them", "none", remedy)
    group_n = group_n[kept_n].cat.remove_unused_categories()
    groups = pd.Series(group_n.cat.rename_categories(lambda name: str(name)), name=groupby)
    table = standardised(values[kept_n])
    return saved(_drawn(table, groups, markers, title), save)


def _drawn(
    table: pd.DataFrame, groups: pd.Series, markers: Sequence[str] | Mapping[str, Sequence[str]], title: str | None
) -> Figure:
    """Return the figure: markers along the longer side of a page, groups along the other."""
    with keep_torch_threads():
        from scanpy.plotting import DotPlot

    n_markers, n_groups = table.shape[1], len(groups.cat.categories)
    longest = max(map(len, groups.cat.categories)), max(map(len, table.columns))
    brackets = _BRACKETS if isinstance(markers, Mapping) else 0.0
    wide = _CELL * n_markers + _CHARACTER * longest[0] + _LEGEND
    swapped = wide > COLUMN_WIDTH and n_markers > n_groups
    if swapped:
        wide = _CELL * n_groups + _CHARACTER * longest[1] + _LEGEND + 2 * brackets
    height = _CELL * (n_markers if swapped else n_groups) + _CHARACTER * longest[0 if swapped else 1]
    figure = new_figure(max(wide, 3.6), max(height + brackets + 0.3, 2.6), layout=None)
    adata = ad.AnnData(
        table.to_numpy(np.float64), obs=pd.DataFrame({groups.name: groups.array}, table.index.astype(str))
    )
    adata.var_names = [str(name) for name in table.columns]
    drawn = DotPlot(
        adata,
        markers if isinstance(markers, Mapping) else list(markers),
        str(groups.name),
        expression_cutoff=0.0,
        ax=figure.add_subplot(),
        figsize=tuple(figure.get_size_inches()),
        vmin=-_MOST_SD,
        vcenter=0.0,
        vmax=_MOST_SD,
    )
    drawn.style(cmap="RdBu_r", dot_edge_lw=0.3, dot_edge_color="0.5")
    drawn.legend(size_title="% of the group\nabove the mean", colorbar_title="mean\n(SD)", width=_LEGEND - 0.3)
    (drawn.swap_axes() if swapped else drawn).make_figure()
    for axes in figure.axes:
        axes.tick_params(labelsize=8)
    if title:
        figure.suptitle(title, fontsize=11, weight="bold", x=0.01, y=1.02, ha="left")
    return figure
