"""States of sequences on disk: each distinct sequence is embedded once, in this session or an earlier one."""

import hashlib
import logging
import os
import re
import sqlite3
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import torch

from omicsmlm._checks import named, value_error
from omicsmlm._writing import written_file

logger = logging.getLogger(__name__)

Digest = tuple[int, int]
FORMER_INDEX = "index.bin"
"""File of a store of omicsmlm 0.1, which knew a checkpoint by its path and time."""
PATIENCE = 120.0
"""Seconds that are waited for another process to finish what it writes."""
AT_ONCE = 500
"""States that one question asks for."""
N_TRIES = 10
"""Of an operation while the store is rebuilt."""
_FILE = re.compile(r"states-(\d+)\.sqlite(-journal)?")
_TABLE = "CREATE TABLE states (digest BLOB PRIMARY KEY, length INTEGER, states BLOB, checksum BLOB)"
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}


class StateStore:
    """A database of half-precision states, each with a checksum, that any number of processes read and write at once.

    It is SQLite with a rollback journal, which works on network file systems as far as their locks do. What is written is there
    whole or not at all, also when its writer is killed. A state whose checksum is wrong is made anew, and a file that is no
    database any more, or part of one, is replaced by one of what can be read of it; the log says so.

    Parameters
    ----------
    directory
        Folder of one encoder, revision and truncation; made if it is not there.
    width
        d of a state.

    Raises
    ------
    ValueError
        If the folder cannot be written.
    """

    def __init__(self, directory: str | Path, width: int) -> None:
        self.directory, self.width = Path(directory), width
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise value_error(
                "cache_dir", "a directory that can be written", str(error), "pass another path"
            ) from error
        self._current()
        former = sorted(index.parent.name for index in self.directory.parent.glob(f"*/{FORMER_INDEX}"))
        if former:
            logger.info(
                "cache_dir: of stores that omicsmlm 0.1 wrote none is read any more; in %s, these folders may be deleted: %s.",
                self.directory.parent,
                named(former),
            )

    def __len__(self) -> int:
        """Count the sequences."""
        return self._asked(_count)

    def get(self, digests: Sequence[Digest]) -> dict[Digest, np.ndarray]:
        """Return (l, d) float16 of those of some sequences that are there."""
        found: dict[Digest, np.ndarray] = {}
        keys = [_key(digest) for digest in digests]
        for start in range(0, len(keys), AT_ONCE):
            rows = self._asked(_rows, keys[start : start + AT_ONCE])
            wrong = [row for row in rows if not self._is_whole(row)]
            if wrong:
                logger.warning(
                    "cache_dir: %d states in %s are not as they were written, and are made anew.",
                    len(wrong),
                    self.directory,
                )
                self._asked(_remove, wrong)
            for row in rows:
                if row not in wrong:
                    found[struct.unpack("<qq", row[0])] = np.frombuffer(row[2], np.float16).reshape(-1, self.width)
        return found

    def add(self, states: Mapping[Digest, torch.Tensor]) -> None:
        """Write the (l, d) states of some sequences, all or none; of those that are there already, nothing."""
        rows = []
        for digest, states_ld in states.items():
            values_ld = states_ld.detach().to(torch.float16).cpu().contiguous().numpy()
            content = _key(digest), len(values_ld), values_ld.tobytes()
            rows.append((*content, _checksum(*content)))
        self._asked(_insert, rows)

    def _is_whole(self, row: tuple) -> bool:
        key, length, states, checksum = row
        types = isinstance(key, bytes) and isinstance(length, int) and isinstance(states, bytes)
        return (
            types
            and len(key) == 16
            and 0 <= length
            and len(states) == 2 * length * self.width
            and checksum == _checksum(key, length, states)
        )

    # ---- the file ---------------------------------------------------------------------------------------------------

    def _asked[T, *Given](self, act: Callable[[sqlite3.Connection, *Given], T], *given: *Given) -> T:
        """Do something with the database, again where it was rebuilt meanwhile, and as often as it is found damaged."""
        for _ in range(N_TRIES):
            path = self._current()
            try:
                with closing(_connected(path)) as connection:
                    return act(connection, *given)
            except sqlite3.Error as error:
                if _is_damage(error):
                    self._rebuild(path, error)
                elif path == self._current():
                    raise self._unusable(error) from error
        raise value_error("cache_dir", "a disk that keeps what is written", str(self.directory), "pass another path")

    def _current(self) -> Path:
        """Return the file that is in use, the latest; an empty one is made where there is none."""
        numbers = {True: [-1], False: [-1]}
        for file in self.directory.iterdir():
            if match := _FILE.fullmatch(file.name):
                numbers[match[2] is None].append(int(match[1]))
        if max(numbers[True]) >= 0:
            return self._path(max(numbers[True]))
        # The journal of a file that was removed must not meet another of its name, of which it would be taken to be.
        path = self._path(max(numbers[False]) + 1)
        self._make(path, iter(()))
        return path

    def _path(self, number: int) -> Path:
        return self.directory / f"states-{number}.sqlite"

    def _make(self, path: Path, rows: Iterator[tuple]) -> bool:
        """Make a database; tell whether it was not another process that did."""
        try:
            with written_file(path, "cache_dir", overwrite=False) as part, closing(sqlite3.connect(part)) as connection:
                connection.execute("PRAGMA page_size = 32768")  # states are of tens of kilobytes
                connection.execute(_TABLE)
                with connection:
                    connection.executemany("INSERT OR IGNORE INTO states VALUES (?, ?, ?, ?)", rows)
        except ValueError:
            if not os.path.exists(path):
                raise
            return False
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return True

    def _rebuild(self, damaged: Path, error: sqlite3.Error) -> None:
        """Replace a damaged file by one of the states in it that can be read, under the next number."""
        kept = 0

        def rows() -> Iterator[tuple]:
            nonlocal kept
            with suppress(sqlite3.Error), closing(_connected(damaged)) as connection:
                for row in connection.execute("SELECT * FROM states"):
                    if self._is_whole(row):
                        kept += 1
                        yield row

        match = _FILE.fullmatch(damaged.name)
        assert match is not None
        if self._make(self._path(int(match[1]) + 1), rows()):
            logger.warning(
                "cache_dir: %s is damaged (%s); %d states could be read, and others are made anew.",
                damaged,
                error,
                kept,
            )
            for name in (damaged.name, f"{damaged.name}-journal"):
                (self.directory / name).unlink(missing_ok=True)

    def _unusable(self, error: sqlite3.Error) -> ValueError:
        found = f"{error} in {str(self.directory)!r}"
        remedy = "free some space, wait for what holds it, or pass another path"
        return value_error("cache_dir", "a directory that can be written", found, remedy)


def _key(digest: Digest) -> bytes:
    return struct.pack("<qq", *digest)


def _checksum(key: bytes, length: int, states: bytes) -> bytes:
    made = hashlib.blake2b(key + struct.pack("<q", length), digest_size=16)
    made.update(states)
    return made.digest()


def _connected(path: Path) -> sqlite3.Connection:
    """Open a file that is there; a connection is for one operation, so that neither forks nor threads share one."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", PATIENCE, isolation_level=None, uri=True)
    connection.text_factory = bytes  # there is none; what a damaged file takes for one need not be UTF-8
    for setting in ("synchronous = NORMAL", "trusted_schema = OFF", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM states").fetchone()[0])


def _rows(connection: sqlite3.Connection, keys: Sequence[bytes]) -> list[tuple]:
    places = ",".join("?" * len(keys))
    return connection.execute(f"SELECT * FROM states WHERE digest IN ({places})", keys).fetchall()


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.executemany("INSERT OR IGNORE INTO states VALUES (?, ?, ?, ?)", rows)


def _remove(connection: sqlite3.Connection, rows: Sequence[tuple]) -> None:
    """Remove rows that are still as they were read."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.executemany("DELETE FROM states WHERE digest IS ? AND checksum IS ?", [(r[0], r[3]) for r in rows])


def _is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file is at fault: no database, a damaged one, one that was cut, or one without the table."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code == sqlite3.SQLITE_IOERR_SHORT_READ or code & 0xFF in _DAMAGED)
