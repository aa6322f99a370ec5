"""States on disk: written once, read by the next one, whatever a killed run left."""

import numpy as np
import pytest
import torch

from omicsmlm.nn._state_store import INDEX, STATES, StateStore

DIGESTS = [(1, 2), (-3, 4), (2**62, -(2**62)), (0, 0)]


def states(length, seed):
    return torch.randn(length, 4, generator=torch.Generator().manual_seed(seed))


def filled(folder, n=3):
    store = StateStore(folder, 4)
    for i, digest in enumerate(DIGESTS[:n]):
        store.add(digest, states(i + 2, i))
    return store


def check(store, n=3):
    assert len(store) == n
    for i, digest in enumerate(DIGESTS[:n]):
        assert store.has(digest)
        np.testing.assert_array_equal(store.get(digest), states(i + 2, i).half().numpy())


def test_what_was_written_is_read_now_and_later(tmp_path):
    check(filled(tmp_path / "a" / "b"))
    check(StateStore(tmp_path / "a" / "b", 4))
    assert not StateStore(tmp_path / "a" / "b", 4).has((7, 7))


def test_a_store_grows_while_it_is_read(tmp_path):
    store = filled(tmp_path, 1)
    check(store, 1)
    store.add(DIGESTS[1], states(3, 1))
    check(store, 2)
    later = StateStore(tmp_path, 4)
    check(later, 2)
    later.add(DIGESTS[2], states(4, 2))
    check(later)


def test_states_are_written_once(tmp_path):
    store = filled(tmp_path)
    sizes = [(tmp_path / name).stat().st_size for name in (STATES, INDEX)]
    assert sizes == [(2 + 3 + 4) * 4 * 2, 3 * 32]
    store.add(DIGESTS[1], states(9, 9))
    assert [(tmp_path / name).stat().st_size for name in (STATES, INDEX)] == sizes
    check(store)


@pytest.mark.parametrize("left", [1, 16, 31])
def test_a_half_written_entry_is_written_again(tmp_path, left):
    filled(tmp_path)
    index = tmp_path / INDEX
    index.write_bytes(index.read_bytes()[: 2 * 32 + left])
    store = StateStore(tmp_path, 4)
    check(store, 2)
    assert not store.has(DIGESTS[2])
    store.add(DIGESTS[2], states(4, 2))
    check(store)
    check(StateStore(tmp_path, 4))


def test_states_without_an_entry_are_written_over(tmp_path):
    filled(tmp_path, 2)
    with (tmp_path / STATES).open("ab") as file:
        file.write(b"half of a state, and the run was killed")
    store = StateStore(tmp_path, 4)
    store.add(DIGESTS[2], states(4, 2))
    check(StateStore(tmp_path, 4))


def test_an_empty_store(tmp_path):
    assert len(StateStore(tmp_path, 4)) == 0


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match="cache_dir: expected a directory that can be written, got .*; pass another path"
    ):
        StateStore(tmp_path / "file" / "store", 4)
