"""Digests of names: the same everywhere, and different for different names."""

import hashlib

import numpy as np
import pandas as pd

from omicsmlm.data._names import digests_of


def test_a_digest_is_the_first_eight_bytes_of_blake2b_as_a_signed_number():
    expected = int.from_bytes(hashlib.blake2b("Zelle ä".encode(), digest_size=8).digest(), "little", signed=True)
    assert digests_of(["Zelle ä"]).tolist() == [expected]
    assert digests_of([]).tolist() == []


def test_it_follows_from_the_name_alone():
    names = [f"cell {i}" for i in range(500)]
    found = digests_of(pd.Index(names))
    assert found.dtype == np.int64
    assert len(np.unique(found)) == 500
    np.testing.assert_array_equal(digests_of(pd.Index(names, dtype="string")[::-1]), found[::-1])
