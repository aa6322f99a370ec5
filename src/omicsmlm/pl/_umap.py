"""UMAP of an embedding."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from omicsmlm._compat import keep_torch_threads
from omicsmlm._stages import Stages
from omicsmlm.pl._embedding import axis_name, coloured, draw_panels
from omicsmlm.pl._figure import saved

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

    with warnings.catch_warnings(), keep_torch_threads(), Stages("UMAP", 1, redraws=True) as stages:
        warnings.simplefilter("ignore")
        stages(f"{len(embedding):,} observations")
        # the spectral layout takes eigenvectors of the graph: more than very few observations have
        init = "spectral" if len(embedding) > FEWEST_SPECTRAL else "random"
        layout = UMAP(n_neighbors=min(n_neighbors, len(embedding) - 1), min_dist=0.5, init=init, random_state=seed)
        return np.asarray(layout.fit_transform(np.asarray(embedding, dtype=np.float32)), dtype=np.float32)


def umap(
    data: ad.AnnData | md.MuData,
    key: str,
    color: str | Sequence[str],
    *,
    imputed: pd.DataFrame | None = None,
    n_neighbors: int = 15,
    seed: int = 0,
    save: str | Path | None = None,
) -> Figure:
    """Draw the UMAP of an embedding, one panel for each of what colours it.

    Parameters
    ----------
    data
        AnnData or MuData; not changed.
    key
        Key of ``.obsm``; observations that are not finite there are left out. A matrix of two columns, such as the
        ``X_umap`` of :func:`scanpy.tl.umap`, is drawn as it is.
    color
        Columns of the top-level ``.obs`` and features of any modality: see :func:`embedding`.
    imputed
        (observations, features) as of ``model.impute(modality="rna")``, whose columns colour, too.
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
        If the key or a name is not there, or fewer than three observations are finite.

    Notes
    -----
    umap-learn computes in threads of OpenMP, which do not survive a fork: numba ends a process that was forked from one which
    had drawn a UMAP, as soon as it draws another, with a line on stderr alone. Start such processes with ``spawn``.
    """
    xy_md, colors = coloured(data, key, color, imputed, n_least=3)
    if xy_md.shape[1] == 2:
        return saved(draw_panels(xy_md, colors, axis_name(key)), save)
    xy_m2 = umap_coordinates(xy_md, n_neighbors=n_neighbors, seed=seed)
    return saved(draw_panels(xy_m2, colors, "UMAP"), save)
