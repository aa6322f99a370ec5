"""States on disk: written once, read by any number of processes, and never wrong, whatever was done to the file."""

import resource
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
import torch

from omicsmlm.nn import _state_store
from omicsmlm.nn._state_store import StateStore
from tests.nn.store_script import counted

DIGESTS = [(1, 2), (-3, 4), (2**62, -(2**62)), (0, 0)]
WIDTH = 4


def states(i):
    return torch.randn(i + 2, WIDTH, generator=torch.Generator().manual_seed(i))


def filled(folder, n=3):
    store = StateStore(folder, WIDTH)
    for i, digest in enumerate(DIGESTS[:n]):
        store.add({digest: states(i)})
    return store


def check(store, n=3):
    assert len(store) == n
    found = store.get(DIGESTS)
    assert list(map(len, found.values())) == [len(found[digest]) for digest in found]
    assert set(found) == set(DIGESTS[:n])
    for i, digest in enumerate(DIGESTS[:n]):
        np.testing.assert_array_equal(found[digest], states(i).half().numpy())


def test_what_was_written_is_read_now_and_later(tmp_path):
    check(filled(tmp_path / "a" / "b"))
    check(StateStore(tmp_path / "a" / "b", WIDTH))
    assert StateStore(tmp_path / "a" / "b", WIDTH).get([(7, 7)]) == {}
    assert StateStore(tmp_path / "a" / "b", WIDTH).get([]) == {}


def test_a_store_grows_while_it_is_read(tmp_path):
    store = filled(tmp_path, 1)
    check(store, 1)
    later = StateStore(tmp_path, WIDTH)
    later.add({DIGESTS[1]: states(1), DIGESTS[2]: states(2)})
    check(later)
    check(store)


def test_states_are_written_once(tmp_path):
    store = filled(tmp_path)
    store.add({DIGESTS[1]: states(9), DIGESTS[3]: states(3)})
    check(store, 4)


def test_more_states_than_one_question_asks_for(tmp_path):
    store = StateStore(tmp_path, WIDTH)
    store.add({(i, 0): states(i % 5) for i in range(1200)})
    found = store.get([(i, 0) for i in range(1300)])
    assert len(found) == 1200
    assert all(np.array_equal(found[i, 0], states(i % 5).half().numpy()) for i in range(1200))


def test_a_sequence_without_states(tmp_path):
    store = StateStore(tmp_path, WIDTH)
    store.add({(1, 1): torch.zeros(0, WIDTH)})
    assert store.get([(1, 1)])[1, 1].shape == (0, WIDTH)


def test_an_empty_store(tmp_path):
    assert len(StateStore(tmp_path, WIDTH)) == 0


# ---- damage -------------------------------------------------------------------------------------------------------


def changed(folder, column, value):
    with closing(sqlite3.connect(folder / "states-0.sqlite")) as connection, connection:
        connection.execute(f"UPDATE states SET {column} = ? WHERE length = 3", [value])


@pytest.mark.parametrize(
    ("column", "value"),
    [("states", bytes(24)), ("states", b""), ("states", "text"), ("length", 2), ("length", None), ("checksum", b"0")],
)
def test_a_state_that_was_changed_is_told_and_made_anew(tmp_path, caplog, column, value):
    store = filled(tmp_path)
    changed(tmp_path, column, value)
    assert set(store.get(DIGESTS)) == {DIGESTS[0], DIGESTS[2]}
    assert [record.getMessage() for record in caplog.records] == [
        f"cache_dir: 1 states in {tmp_path} are not as they were written, and are made anew."
    ]
    store.add({DIGESTS[1]: states(1)})
    check(store)
    assert len(caplog.records) == 1


def test_states_of_another_sequence_or_width_are_not_taken(tmp_path):
    store = filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "states-0.sqlite")) as connection, connection:
        connection.execute("UPDATE states SET digest = ? WHERE length = 3", [b"0" * 16])
    assert set(store.get(DIGESTS)) == {DIGESTS[0], DIGESTS[2]}
    key = int.from_bytes(b"0" * 8, "little")
    assert store.get([(key, key)]) == {}
    assert StateStore(tmp_path, 2 * WIDTH).get(DIGESTS[:1]) == {}


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + bytes(200), bytes(100_000)])
def test_a_file_that_is_no_database_is_told_and_replaced(tmp_path, caplog, content):
    store = filled(tmp_path)
    (tmp_path / "states-0.sqlite").write_bytes(content)
    assert store.get(DIGESTS) == {}
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"cache_dir: {tmp_path}/states-0.sqlite is damaged (")
    assert message.endswith("); 0 states could be read, and others are made anew.")
    check(filled(tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["states-1.sqlite"]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A store of many pages."""
    folder = tmp_path_factory.mktemp("large")
    StateStore(folder, WIDTH).add({(i, 0): states(i % 40).repeat(50, 1) for i in range(200)})
    return folder


def check_large(folder):
    """None is read wrong, and what is missing can be filled in."""
    store = StateStore(folder, WIDTH)
    keys = [(i, 0) for i in range(200)]
    for _ in range(2):
        found = store.get(keys)
        for (i, _), values in found.items():
            np.testing.assert_array_equal(values, states(i % 40).repeat(50, 1).half().numpy())
        store.add({key: states(key[0] % 40).repeat(50, 1) for key in keys if key not in found})
    assert len(store.get(keys)) == 200
    return 200 - len(found)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_cut_file_is_told_and_what_is_left_of_it_kept(large, tmp_path, part, caplog):
    shutil.copytree(large, tmp_path / "store")
    (file,) = (tmp_path / "store").iterdir()
    file.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
    check_large(tmp_path / "store")
    assert caplog.text.count("cache_dir: ") == 1
    assert "is damaged" in caplog.text or part == 0.999, "or a state in the last page is wrong"
    assert "\n" not in caplog.records[0].getMessage()


def flip(large, folder, rng):
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    (file,) = large.iterdir()
    content = bytearray(file.read_bytes())
    for _ in range(int(rng.choice([1, 20, 2000]))):
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    (folder / file.name).write_bytes(content)
    check_large(folder)


def test_flipped_bits_are_never_read(large, tmp_path, rng):
    for _ in range(10):
        flip(large, tmp_path / "store", rng)


@pytest.mark.slow
def test_many_flipped_bits_are_never_read(large, tmp_path, rng):
    for _ in range(200):
        flip(large, tmp_path / "store", rng)


def test_the_journal_of_a_removed_file_meets_no_other(tmp_path):
    filled(tmp_path)
    (tmp_path / "states-0.sqlite").rename(tmp_path / "states-0.sqlite-journal")
    check(filled(tmp_path))
    assert (tmp_path / "states-1.sqlite").exists()


# ---- several processes ----------------------------------------------------------------------------------------------


def checked(folder, what, n, seed, caplog):
    folder.mkdir()
    found = counted(folder, what, n, seed)
    assert "damaged" not in caplog.text
    assert found["failed or wrong"] == found["wrong"] == found["lost"] == 0, found
    assert found["files"] == ["states-0.sqlite"]
    return found


@pytest.mark.filterwarnings("ignore:This process")
def test_processes_that_fill_one_store_lose_and_misread_nothing(tmp_path, caplog):
    checked(tmp_path / "store", "fill", 24, 0, caplog)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process")
def test_processes_that_fill_a_large_store_lose_and_misread_nothing(tmp_path, caplog):
    checked(tmp_path / "store", "fill", 1200, 1, caplog)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process")
def test_writers_that_are_killed_leave_a_whole_store(tmp_path, caplog):
    found = checked(tmp_path / "store", "kills", 100, 0, caplog)
    assert found["killed"] == 100
    assert found["stored"] > 0


# ---- what cannot be used ---------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match="cache_dir: expected a directory that can be written, got .*; pass another path"
    ):
        StateStore(tmp_path / "file" / "store", WIDTH)


def test_a_full_disk_is_one_sentence_and_what_is_there_stays(tmp_path):
    store = filled(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "states-0.sqlite").stat().st_size + 1000, hard))
    try:
        sentence = (
            "^cache_dir: expected a directory that can be written, got [^\n]+; free some space, wait for what holds"
        )
        with pytest.raises(ValueError, match=sentence):
            store.add({DIGESTS[3]: torch.zeros(100_000, WIDTH)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check(store)
    check(StateStore(tmp_path, WIDTH))


def test_stores_of_the_first_version_are_named(tmp_path, caplog):
    caplog.set_level("INFO", "omicsmlm")
    (tmp_path / "0123").mkdir()
    (tmp_path / "0123" / "index.bin").touch()
    StateStore(tmp_path / "new", WIDTH)
    assert [record.getMessage() for record in caplog.records] == [
        f"cache_dir: of stores that omicsmlm 0.1 wrote none is read any more; in {tmp_path}, these folders may be deleted: "
        "'0123'."
    ]


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _state_store.PATIENCE == 120.0
    assert _state_store.AT_ONCE == 500
    assert _state_store.N_TRIES == 10


# ---- file systems without locks, and without the right to write -----------------------------------------------------


def test_no_write_ahead_log_is_asked_for_which_network_file_systems_cannot_have(tmp_path):
    store = filled(tmp_path)
    with closing(_state_store._connected(tmp_path / "states-0.sqlite")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] in (b"delete", "delete")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM states")
        assert {file.suffix for file in tmp_path.iterdir()} <= {".sqlite", ".sqlite-journal"}
        connection.execute("ROLLBACK")
    check(store)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (sqlite3.SQLITE_BUSY, "database is locked"),
        (sqlite3.SQLITE_PROTOCOL, "locking protocol"),
        (sqlite3.SQLITE_IOERR_LOCK, "disk I/O error"),
        (sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
    ],
)
def test_a_file_system_without_locks_is_one_sentence_and_the_states_stay(tmp_path, monkeypatch, code, text):
    store = filled(tmp_path)

    def refused(*arguments):
        error = sqlite3.OperationalError(text)
        error.sqlite_errorcode = code
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(_state_store, "_insert", refused)
        with pytest.raises(ValueError, match=f"^cache_dir: expected a directory that can be written, got {text} in "):
            store.add({DIGESTS[3]: states(3)})
    check(store)
    assert [file.name for file in tmp_path.iterdir()] == ["states-0.sqlite"], "taken for damaged by nobody"


def test_another_who_holds_the_store_is_waited_for_and_then_told(tmp_path, monkeypatch):
    monkeypatch.setattr(_state_store, "PATIENCE", 0.05)
    store = filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "states-0.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        for act in (lambda: store.add({DIGESTS[3]: states(3)}), lambda: store.get(DIGESTS)):
            with pytest.raises(ValueError, match="^cache_dir: .*database is locked in .*; free some space, wait for"):
                act()
        holder.execute("ROLLBACK")
    check(store)
