"""Harmony: components moved until each soft cluster mixes the batches (Korsunsky et al. 2019)."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd

from omicsmlm._argument_types import in_one_sentence_of_types
from omicsmlm.evaluation.baselines._linear import pca


@in_one_sentence_of_types
def harmony(data: ad.AnnData | md.MuData, batch_key: str, n_comps: int = 50, *, seed: int = 0) -> np.ndarray:
    """Correct the components of :func:`pca` for the batch with harmonypy's defaults.

    Parameters
    ----------
    data
        An AnnData or MuData (its RNA is used); not changed.
    batch_key
        Column of the top-level ``.obs``.
    n_comps
        Number of components.
    seed
        Seed of PCA and Harmony.

    Returns
    -------
    ndarray
        float32 (n_obs, n_comps); NaN in observations without RNA.

    Raises
    ------
    ImportError
        If harmonypy is not installed.
    """
    try:
        import harmonypy
    except ImportError as error:
        raise ImportError("harmony needs harmonypy; run pip install harmonypy.") from error
    embedding_nd = pca(data, n_comps, seed=seed)
    visible_n = np.isfinite(embedding_nd).all(axis=1)
    batch = pd.DataFrame({"batch": data.obs[batch_key].astype(str).to_numpy()[visible_n]})
    done = harmonypy.run_harmony(embedding_nd[visible_n], batch, "batch", verbose=False, random_state=seed)
    corrected_nd = np.asarray(done.Z_corr)
    embedding_nd[visible_n] = corrected_nd if len(corrected_nd) == visible_n.sum() else corrected_nd.T
    return embedding_nd
