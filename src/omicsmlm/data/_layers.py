"""The layer with raw counts, where X holds something that was made of them."""

import logging
from collections.abc import Collection, Sequence

from anndata import AnnData
from mudata import MuData

from omicsmlm._modality_names import COUNTS_LAYERS

from ._matrix import Matrix
from ._modality_index import modality_of

logger = logging.getLogger(__name__)


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
