"""Combinations of modalities are counted."""

from collections import Counter

import numpy as np

from omicsmlm._pairing import describe_pairing


def test_every_combination_is_counted_the_most_frequent_first():
    has_nm = np.random.default_rng(0).random((500, 3)) < [0.8, 0.5, 0.1]
    counts = Counter(map(tuple, has_nm.tolist()))
    parts = describe_pairing(["a", "b", "c"], has_nm).split(", ")
    assert len(parts) == len(counts)
    assert parts[0].startswith(f"{max(counts.values())} with ")
    assert f"{counts[True, True, False]} with a and b" in parts
    assert f"{counts[False, False, False]} with none" in parts
