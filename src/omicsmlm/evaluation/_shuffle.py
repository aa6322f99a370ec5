"""The control for a second modality: its observations in random order."""

import mudata as md
import numpy as np

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm._checks import named, value_error


@in_one_sentence_of_types
def shuffle_modality(mdata: md.MuData, modality: str, seed: int = 0) -> md.MuData:
    """Copy a MuData with the values of one modality permuted among the observations that have it.

    What a model gains from the modality beyond its marginal distribution must be lost on this object.

    Parameters
    ----------
    mdata
        Not changed.
    modality
        The modality whose ``X`` and layers are permuted; labels and names stay with their observations.
    seed
        Seed of the permutation.

    Returns
    -------
    MuData

    Raises
    ------
    ValueError
        If there is no such modality.
    """
    if modality not in mdata.mod:
        raise value_error("modality", f"one of {named(mdata.mod)}", repr(modality), "pass one of these")
    shuffled = mdata.copy()
    part = shuffled.mod[modality]
    order = np.random.default_rng(seed).permutation(part.n_obs)
    part.X = part.X[order]
    for layer in [name for name in part.layers if name is not None]:  # anndata 0.13 lists X among them, as None
        part.layers[layer] = part.layers[layer][order]
    return shuffled
