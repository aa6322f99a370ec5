"""What any object must be that is registered or embedded, whatever is read of it."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import named, value_error
from omicsmlm._pairing import describe_pairing

from ._modality_index import indices_in

logger = logging.getLogger(__name__)


def check_is_object(data: object) -> None:
    """Check that what the user passes is an object at all, before anything is asked of it.

    Raises
    ------
    ValueError
        If it is no AnnData or MuData.
    """
    if not isinstance(data, AnnData | MuData):
        raise value_error("data", "an AnnData or MuData", type(data).__name__, "read the file with anndata or mudata")


def check_object(data: AnnData | MuData) -> None:
    """Check that an object is one of its own, with observations, and with names that identify and match these.

    Raises
    ------
    ValueError
        If it is no AnnData or MuData, a view of another or empty, its names are numbers, or its entries are no modalities.
    """
    check_is_object(data)
    layers = list(data.mod.items()) if isinstance(data, MuData) else []
    if isinstance(data, MuData):
        _check_modalities(data)
    for place, part in [("data", data), *layers]:
        _check_names(place, part)
        if part.is_view:
            raise value_error(
                place, "an object of its own", "a view of another", "take a copy first: data = data.copy()"
            )
    if data.n_obs == 0:
        raise value_error("data", "at least one observation", "none", "check the filter that made it")


def unpaired_names(mdata: MuData, sources: Sequence[str]) -> dict[str, str]:
    """Log how many observations have which modalities; return the first name of each modality where none has two.

    Parameters
    ----------
    mdata
        Object.
    sources
        Names of modalities; those that the object lacks are left out.

    Returns
    -------
    dict
        Name of an observation by modality; empty where an observation has two modalities, or there is one modality only.
    """
    names = [name for name in sources if name in mdata.mod and mdata[name].n_obs]
    if len(names) < 2:
        return {}
    has_nm = np.stack([indices_in(mdata, name) >= 0 for name in names], axis=1)
    logger.info("Observations: %s.", describe_pairing(names, has_nm))
    has_pair = (has_nm.sum(axis=1) > 1).any()
    return {} if has_pair else {name: str(mdata[name].obs_names[0]) for name in names}


def _check_modalities(mdata: MuData) -> None:
    """Check that the entries of a MuData are modalities of observations that their names identify.

    Raises
    ------
    ValueError
        If they are groups of observations, or MuData themselves, or a name is that of several observations of a modality.
    """
    if mdata.axis != 0:
        found = f"axis={mdata.axis}: {named(mdata.mod)} are groups of observations or more"
        raise value_error(
            "data", "a MuData of modalities (axis=0)", found, "pass anndata.concat(mdata.mod), one AnnData"
        )
    for name, part in mdata.mod.items():
        if not isinstance(part, AnnData):
            raise value_error(
                name, "an AnnData", f"a {type(part).__name__} in a MuData", "make one MuData of all of them"
            )
        if len(mdata.mod) > 1 and not part.obs_names.is_unique:
            twice = part.obs_names[part.obs_names.duplicated()].unique()
            remedy = "modalities are joined by these names: add the library or lane to them, then make the MuData anew"
            raise value_error(name, "distinct names of observations", f"duplicates {named(twice)}", remedy)


def _check_names(place: str, part: AnnData | MuData) -> None:
    """Check that observations and features have names, not numbers, which match nothing after they were written to a file."""
    for axis in ("obs_names", "var_names"):
        names = getattr(part, axis)
        if len(names) and pd.api.types.is_any_real_numeric_dtype(names.dtype):
            remedy = f"turn them into text: .{axis} = .{axis}.astype(str)"
            raise value_error(f"{place}: .{axis}", "names as text", f"numbers such as {names[0]}", remedy)
