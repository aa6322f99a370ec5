"""How many observations have which modalities, in words."""

from collections.abc import Sequence

import numpy as np


def describe_pairing(names: Sequence[str], has_nm: np.ndarray) -> str:
    """Return how many observations have which modalities, the most frequent combination first.

    Parameters
    ----------
    names
        Names of the modalities.
    has_nm
        (n, m) bool: the observation has the modality.

    Examples
    --------
    >>> describe_pairing(["rna", "atac"], np.array([[True, True], [True, False], [True, True]]))
    '2 with rna and atac, 1 with rna'
    """
    patterns_km, count_k = np.unique(has_nm, axis=0, return_counts=True)
    ordered = sorted(zip(patterns_km.tolist(), count_k.tolist(), strict=True), key=lambda pair: -pair[1])
    lines = [
        f"{count:,} with {' and '.join(name for name, has in zip(names, pattern, strict=True) if has) or 'none'}"
        for pattern, count in ordered
    ]
    return ", ".join(lines)
