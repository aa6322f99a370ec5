"""Input of the preprocessing functions: the AnnData of one modality, and its values in memory."""

from typing import Any

import h5py
import numpy as np
from anndata import AnnData
from anndata.abc import CSCDataset, CSRDataset
from mudata import MuData
from scipy import sparse

from omicsmlm._checks import named, value_error

type Values = Any
"""A scipy CSR matrix or array, or a numpy array; scipy brings no types."""


def one_modality(place: str, data: object) -> AnnData:
    """Return the AnnData, after checking that it is one; the error for a MuData names the one to pass.

    Raises
    ------
    ValueError
        If it is a MuData or something else.
    """
    if isinstance(data, MuData):
        name = place if place in data.mod else next(iter(data.mod.keys()), place)
        remedy = f"pass one of them, such as mdata[{name!r}]"
        raise value_error(place, "the AnnData of one modality", f"a MuData of {named(data.mod)}", remedy)
    if not isinstance(data, AnnData):
        raise value_error(place, "an AnnData", type(data).__name__, "put the values into one, with names in var_names")
    return data


def values_of(place: str, adata: AnnData, layer: str | None) -> Values:
    """Return ``X`` or a layer, (n_obs, n_vars), in memory: sparse values as CSR, others as an array.

    It may share memory with the object, so the caller must not write to it.

    Raises
    ------
    ValueError
        If there is no such layer, or its array type is not known (dask, say).
    """
    layers = [name for name in adata.layers.keys() if name is not None]  # anndata 0.13 lists X among them, as None
    if layer is not None and layer not in layers:
        raise value_error(
            place, f"a layer {layer!r}", f"the layers {named(layers)}", "pass one of these, or none for X"
        )
    values: Any = adata.X if layer is None else adata.layers[layer]
    if isinstance(values, CSRDataset | CSCDataset):
        values = values.to_memory()
    if isinstance(values, h5py.Dataset):
        values = values[:]
    if sparse.issparse(values):
        return values.tocsr()
    if not isinstance(values, np.ndarray):
        found = f"{type(values).__module__}.{type(values).__name__}"
        raise value_error(place, "a sparse or dense matrix", found, "convert it first, for example with .compute()")
    return np.asarray(values)


def check_amounts(place: str, values: Values, *, whole: bool) -> None:
    """Check that all values are finite and not negative, and whole numbers if these are asked for.

    Raises
    ------
    ValueError
        If a value is not.
    """
    wanted = "raw counts (non-negative integers)" if whole else "counts (non-negative numbers)"
    stored = values.data if sparse.issparse(values) else values
    if stored.dtype.kind not in "buif":
        raise value_error(place, wanted, f"values of type {stored.dtype}", "convert them, for example to float32")
    if stored.size == 0 or stored.dtype.kind in "bu":
        return
    low, high = float(stored.min()), float(stored.max())
    if not np.isfinite([low, high]).all():
        found = "NaN" if np.isnan(low) else "infinity"
    elif low < 0:
        found = f"values down to {low:g}"
    elif whole and stored.dtype.kind == "f" and not (stored == np.round(stored)).all():
        found = f"floats up to {high:g}"
    else:
        return
    raise value_error(place, wanted, found, "pass layer= with the layer that holds counts")
