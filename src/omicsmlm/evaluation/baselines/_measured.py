"""One modality of an object: its values, and the observations of the object that they belong to."""

from typing import Literal, NamedTuple

import anndata as ad
import mudata as md
import numpy as np
import scipy.sparse as sp

from omicsmlm import _modality_names
from omicsmlm._checks import check_type, named, value_error

Role = Literal["rna", "atac", "protein"]


class Measured(NamedTuple):
    """The values of one modality, in the order of the object's own observations."""

    modality: str
    values: sp.csr_matrix | np.ndarray  # (observations measured, features)
    indices_n: np.ndarray  # (observations measured,) their positions among the object's observations, ascending
    n_obs: int  # observations of the object
    var_names: np.ndarray

    def place(self, embedding: np.ndarray) -> np.ndarray:
        """Return an embedding of the measured observations at their positions, float32 (n_obs, d); NaN where not measured."""
        placed_nd = np.full((self.n_obs, embedding.shape[1]), np.nan, dtype=np.float32)
        placed_nd[self.indices_n] = embedding
        return placed_nd


def role_of(modality: str) -> Role | None:
    """Return what a modality is by its name: ``atac``, ``protein``, ``rna``, or None where the name does not tell.

    Examples
    --------
    >>> role_of("adt"), role_of("RNA"), role_of("x")
    ('protein', 'rna', None)
    """
    role = _modality_names.role_of(modality)
    return None if role == "methylation" else role


def roles(data: ad.AnnData | md.MuData) -> dict[str, str]:
    """Return the modality of each role, ``{"rna": "rna", "protein": "adt"}``; an AnnData counts as RNA."""
    check_type("data", data, (ad.AnnData, md.MuData), "an AnnData or MuData", "pass the object")
    if isinstance(data, ad.AnnData):
        return {"rna": "rna"}
    found: dict[str, str] = {}
    for modality in data.mod:
        role = role_of(modality)
        if role is not None:
            found.setdefault(role, modality)
    return found


def measured(data: ad.AnnData | md.MuData, modality: str | None = None, role: Role = "rna") -> Measured:
    """Return the values of one modality: ``X``, or its layer of raw counts where ``X`` holds none, as models of counts read it.

    Parameters
    ----------
    data
        An AnnData (then `modality` is not looked at) or a MuData, whose observations need not be paired.
    modality
        Name of the modality; by default the one whose name tells that it is `role`, or else the only one.

    Returns
    -------
    Measured

    Raises
    ------
    ValueError
        If the modality is not there, or none can be told.
    """
    check_type("data", data, (ad.AnnData, md.MuData), "an AnnData or MuData", "pass the object")
    check_type("modality", modality, (str, type(None)), "the name of a modality", "pass it as text, or leave it out")
    if isinstance(data, ad.AnnData):
        return Measured(modality or "X", _values(data), np.arange(data.n_obs), data.n_obs, np.asarray(data.var_names))
    only = next(iter(data.mod)) if len(data.mod) == 1 else None
    chosen = modality or roles(data).get(role) or only
    if chosen is None or chosen not in data.mod:
        remedy = "pass modality= with one of them"
        raise value_error(
            "modality", f"the {role} modality" if chosen is None else repr(chosen), named(data.mod), remedy
        )
    position_n = np.asarray(data.obsmap[chosen]).ravel().astype(np.int64)  # 1-based, 0 where absent
    indices_n = np.flatnonzero(position_n > 0)
    part = data.mod[chosen]
    values = _values(part)[position_n[indices_n] - 1]
    return Measured(chosen, values, indices_n, data.n_obs, np.asarray(part.var_names))


def _values(part: ad.AnnData) -> sp.csr_matrix | np.ndarray:
    """Return ``X``, or the layer of raw counts, if there is one and ``X`` holds no whole numbers."""
    values = _in_memory(part.X)
    layer = next((layer for layer in _modality_names.COUNTS_LAYERS if layer in part.layers), None)
    if layer is None:
        return values
    stored = np.asarray(values.data if sp.issparse(values) else values)
    return values if (stored == np.round(stored)).all() else _in_memory(part.layers[layer])


def _in_memory(values: object) -> sp.csr_matrix | np.ndarray:
    if hasattr(values, "to_memory"):  # backed sparse data set
        values = values.to_memory()
    if sp.issparse(values):
        return sp.csr_matrix(values)
    return np.asarray(values)
