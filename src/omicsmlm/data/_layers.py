"""The layer with raw counts, where X holds something that was made of them."""

import logging
from collections.abc import Collection, Sequence

import numpy as np
from anndata import AnnData
from mudata import MuData

from omicsmlm._log_counts import counts_of_logs
from omicsmlm._modality_names import COUNTS_LAYERS

from ._matrix import Matrix
from ._modality_index import modality_of

logger = logging.getLogger(__name__)

N_LOOKED_AT = 32
"""Observations whose values are looked at."""


def counts_layers(data: AnnData | MuData, names: Sequence[str], given: Collection[str]) -> dict[str, str]:
    """Return the layer with raw counts, by modality, of those whose ``X`` holds none; a warning names each.

    Parameters
    ----------
    data
        The object.
    names
        Its modalities.
    given
        Modalities for which the user has named a layer or a kind.

    Examples
    --------
    >>> import numpy as np
    >>> adata = AnnData(np.array([[0.7, 1.1]]), layers={"counts": np.array([[1, 2]])})
    >>> counts_layers(adata, ["rna"], []), counts_layers(adata, ["rna"], ["rna"])
    ({'rna': 'counts'}, {})
    """
    found = {}
    for name in names:
        part = None if name in given else modality_of(data, name)
        if not isinstance(part, AnnData):
            continue
        layer = next((layer for layer in COUNTS_LAYERS if layer in part.layers), None)
        if layer is None or 0 in part.shape or part.X is None or Matrix.of(name, part, None).beginning().are_counts:
            continue
        if not Matrix.of(name, part, layer).beginning().are_counts:
            continue
        logger.warning(
            '%s: X holds no raw counts, so that those of layers[%r] are used; name the kind "real" when you set the object up to use X.',
            name,
            layer,
        )
        found[name] = layer
    return found


def are_logs_of_counts(place: str, part: AnnData) -> bool:
    """Return whether ``X`` of the first observations, none of it negative, holds logarithms of scaled counts.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(1.0, (20, 50))
    >>> are_logs_of_counts("rna", AnnData(np.log1p(counts * 7.5))), are_logs_of_counts("rna", AnnData(np.sqrt(counts)))
    (True, False)
    """
    rows, columns = np.arange(min(N_LOOKED_AT, part.n_obs)), np.arange(part.n_vars, dtype=np.int32)
    _, value_m, offsets = Matrix.of(place, part, None).pack(rows, columns, keep_zeros=False)
    is_stored_m = value_m != 0
    row_m = np.repeat(rows, np.diff(offsets))[is_stored_m]
    return counts_of_logs(value_m[is_stored_m], np.bincount(row_m, minlength=len(rows))) is not None
