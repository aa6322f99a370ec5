"""Digests of the names of observations, by which a network knows again those that it was initialised with."""

import hashlib
from collections.abc import Iterable

import numpy as np


def digests_of(names: Iterable[str]) -> np.ndarray:
    """Return a 64-bit hash of each name, (n,) int64, the same in every object, session and machine (BLAKE2b).

    Of a million names, two have the same hash with a probability of 3 · 10⁻⁸.

    Examples
    --------
    >>> digests_of(["cell 1", "cell 2", "cell 1"]) % 5
    array([2, 0, 2])
    """
    hashes = [hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(hashes), "<i8").astype(np.int64)
