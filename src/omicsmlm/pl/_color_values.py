"""What a panel is coloured by: a column of ``.obs``, a measured feature of any modality, or an imputed value."""

from typing import Any, NamedTuple

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

from omicsmlm._checks import named, value_error
from omicsmlm._obs_values import obs_values

_DEPTH = 10_000
"""Counts are drawn as log(1 + 10,000 × count / sum of the observation)."""
_BLOCK = 4096
"""Observations to sum at once: the values may lie in a file."""


class Colors(NamedTuple):
    """The values of the observations, and how they are to be read."""

    values: pd.Series
    """(n_obs,) by ``obs_names``; its name is the heading of the panel. Missing where the observation has no value."""
    unit: str
    """Of a feature's values, for the colour bar; empty for columns of ``.obs``."""


def _modalities(data: ad.AnnData | md.MuData) -> dict[str, ad.AnnData]:
    return dict(data.mod) if isinstance(data, md.MuData) else {"": data}


def _column(adata: ad.AnnData, feature: str) -> np.ndarray:
    """Return the values of a feature, (n_obs,) float64."""
    found: Any = adata[:, [feature]].X
    found = found.toarray() if sparse.issparse(found) else np.asarray(found)
    return np.asarray(found, dtype=np.float64)[:, 0]


def _totals(adata: ad.AnnData) -> np.ndarray:
    """Return the sum of each observation, (n_obs,) float64."""
    total_n = np.zeros(adata.n_obs)
    for start in range(0, adata.n_obs, _BLOCK):
        block: Any = adata[start : start + _BLOCK].X
        total_n[start : start + _BLOCK] = np.asarray(block.sum(axis=1)).ravel()
    return total_n


def _measured(adata: ad.AnnData, modality: str, feature: str) -> tuple[pd.Series, str]:
    """Return the values of a feature and their unit; raw counts become log(1 + counts per 10,000)."""
    value_n = _column(adata, feature)
    known_n = value_n[np.isfinite(value_n)]
    unit = "value"
    if len(known_n) and known_n.min() >= 0 and known_n.max() > 1 and np.array_equal(known_n, np.round(known_n)):
        value_n, unit = np.log1p(_DEPTH * value_n / np.maximum(_totals(adata), 1)), "log(1 + CP10k)"
    return pd.Series(value_n, adata.obs_names), f"{modality}, {unit}" if modality else unit


def _owners(data: ad.AnnData | md.MuData, name: str) -> list[tuple[str, str]]:
    """Return the modalities that measured a feature, each with the feature's name: of ``CD4``, and of ``rna:CD4``."""
    parts = _modalities(data)
    owners = [(modality, name) for modality, part in parts.items() if name in part.var_names]
    modality, _, feature = name.partition(":")
    if not owners and modality in parts and feature in parts[modality].var_names:
        return [(modality, feature)]
    return owners


def color_values(data: ad.AnnData | md.MuData, name: str, imputed: pd.DataFrame | None = None) -> Colors:
    """Return what `name` stands for: a column of ``.obs``, else of `imputed`, else a feature of a modality.

    Parameters
    ----------
    data
        AnnData or MuData.
    name
        Column of ``.obs``, the top-level one first, or a feature; ``"rna:CD4"`` where several modalities have a feature ``"CD4"``,
        or where it was imputed, too.
    imputed
        (observations, features), such as ``model.impute(modality="rna")``.

    Returns
    -------
    Colors

    Raises
    ------
    ValueError
        If there is nothing of this name, or several modalities have it.

    Examples
    --------
    >>> adata = ad.AnnData(np.array([[3.0, 1.0], [0.0, 2.0]]), var=pd.DataFrame(index=["CD4", "CD8A"]))
    >>> found = color_values(adata, "CD4")
    >>> found.values.round(2).tolist(), found.unit
    ([8.92, 0.0], 'log(1 + CP10k)')
    """
    column = obs_values(data, name)
    if column is not None:
        return Colors(column, "")
    if imputed is not None and name in imputed.columns:
        return Colors(imputed[name].reindex(data.obs_names).rename(name), "imputed")
    owners = _owners(data, name)
    if not owners:
        n_features = sum(part.n_vars for part in _modalities(data).values())
        found = f"neither one of {named(data.obs.columns)} nor one of the {n_features:,} features"
        remedy = "pass a name that is there, or imputed=model.impute(…) for imputed values"
        raise value_error(f"color {name!r}", "a column of .obs or a feature of a modality", found, remedy)
    if len(owners) > 1:
        remedy = f"write {owners[0][0]}:{name}"
        raise value_error(f"color {name!r}", "a feature of one modality", named(m for m, _ in owners), remedy)
    modality, feature = owners[0]
    values, unit = _measured(_modalities(data)[modality], modality, feature)
    return Colors(values.reindex(data.obs_names).rename(feature), unit)
