"""Folders beside a target in which something is written before it takes its name."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".part"
"""Ends the name of a working folder."""
FORMER = "former"
"""What had the target's name, in a working folder, where a file system cannot exchange two names at once."""
ABANDONED = 24 * 3600.0
"""Seconds after which a working folder is taken for abandoned where folders cannot be locked (on some network file systems)."""
N_TRIES = 100
"""Of taking a name that other writers take as well."""


@contextmanager
def working_folder(target: Path) -> Iterator[Path]:
    """Return, for a ``with`` block, a folder beside a target that is removed in the end; those of killed writers go first.

    It is locked while its writer lives. What had the target's name, and was moved here, gets it back if none has it then.
    """
    for left in working_folders(target):
        _remove_if_abandoned(left, target)
    folder, descriptor = _made_and_locked(target)
    try:
        yield folder
    finally:
        _remove(folder, target)
        os.close(descriptor)


def working_folders(target: Path) -> list[Path]:
    """Return the working folders that there are of a target.

    Examples
    --------
    >>> working_folders(Path("/no such folder/model"))
    []
    """
    pattern = re.compile(re.escape(_prefix(target)) + r"[a-z0-9_]{8}" + re.escape(SUFFIX))
    try:
        return sorted(target.parent / name for name in os.listdir(target.parent) if pattern.fullmatch(name))
    except OSError:
        return []


def _prefix(target: Path) -> str:
    name = os.fsencode(target.name)
    return f".{target.name if len(name) <= 128 else hashlib.sha256(name).hexdigest()}."  # names have at most 255 bytes


def _made_and_locked(target: Path) -> tuple[Path, int]:
    for _ in range(N_TRIES):
        folder = Path(tempfile.mkdtemp(SUFFIX, _prefix(target), target.parent))
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another writer took it for abandoned before it was locked
        if _lock(descriptor) is not False and folder.exists():
            return folder, descriptor
        os.close(descriptor)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _lock(descriptor: int) -> bool | None:
    """Lock a folder without waiting; None where the file system has no locks for folders."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_if_abandoned(folder: Path, target: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        locked = _lock(descriptor)
        if locked is None:
            locked = time.time() - os.fstat(descriptor).st_mtime > ABANDONED
        if locked:
            _remove(folder, target)
    finally:
        os.close(descriptor)


def _remove(folder: Path, target: Path) -> None:
    """Remove a working folder; what had the target's name gets it back, if it has not been given away."""
    if (folder / FORMER).exists() and not target.exists():
        (folder / FORMER).rename(target)
    shutil.rmtree(folder, ignore_errors=True)
