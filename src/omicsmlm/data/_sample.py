"""A sample of observations as matrices, from which statistics and initial weights are computed."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from omicsmlm._types import Batch

from ._manager import OmicsManager

MIN_BLOCKS = 64
"""Fewest groups of neighbours in a sample of a file: neighbours are often of one batch or plate, and so alike."""


def stored_values(sample: Sequence[Batch], name: str, n_vocabulary: int) -> sparse.csr_matrix:
    """Return the tokens of a modality as one matrix.

    Parameters
    ----------
    sample
        Batches of observations.
    name
        Name of the modality.
    n_vocabulary
        Features of its vocabulary.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n, n_vocabulary) float32; a observation that lacks the modality is empty.
    """
    blocks = []
    for batch in sample:
        ids, values, offsets = (part.numpy() for part in batch.tokens[name])
        blocks.append(sparse.csr_matrix((values, ids, offsets), shape=(len(offsets) - 1, n_vocabulary)))
    return sparse.vstack(blocks, format="csr")


def batch_codes(sample: Sequence[Batch]) -> np.ndarray | None:
    """Return the batch of each observation, (n,) int64; None where there is no batch, or only one."""
    codes_nk = np.concatenate([batch.covariates.numpy() for batch in sample])
    return codes_nk[:, 0] if codes_nk.shape[1] and len(np.unique(codes_nk[:, 0])) > 1 else None


def name_digests(sample: Sequence[Batch]) -> np.ndarray:
    """Return the digests of the names of observations, (n,) int64."""
    found = [batch.digests.numpy() for batch in sample if batch.digests is not None]
    assert len(found) == len(sample)  # batches of an object have them
    return np.concatenate(found)


def sample_observations(manager: OmicsManager, n: int, seed: int, among: np.ndarray | None = None) -> np.ndarray:
    """Return a random sample of the observations.

    Parameters
    ----------
    manager
        Manager of an object.
    n
        Size of the sample; all observations where there are no more.
    seed
        Seed of the draw.
    among
        Observations to draw from, ascending; None for all.

    Returns
    -------
    numpy.ndarray
        (n,) int64, ascending. From a file: neighbours, at least 64 groups of them at random places, as single ones take
        several times as long to read.
    """
    known = np.arange(manager.adata.n_obs) if among is None else among
    n_obs = len(known)
    if n_obs <= n:
        return known
    draw = np.random.default_rng(seed)
    layout = manager.observation_dataset().layout
    if layout is None:
        return known[np.sort(draw.choice(n_obs, n, replace=False))]
    block = max(1, min(layout.block, n // MIN_BLOCKS))
    n_blocks = -(-n_obs // block)
    starts = block * draw.choice(n_blocks, min(n_blocks, n // block + 1), replace=False)  # the last one may be short
    places = (np.sort(starts)[:, None] + np.arange(block)).ravel()
    return known[places[places < n_obs][:n]]
