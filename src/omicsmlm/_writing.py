"""The one place that writes: whatever happens meanwhile, a name stands for the whole old content or for the whole new.

All is written in a working folder beside the target, flushed to disk, and then takes its name at once. A working folder is locked
while its writer lives; one whose writer was killed is removed by the next writer of the same target.
"""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ._checks import shortened, value_error
from ._working_folder import FORMER, N_TRIES, working_folder, working_folders

Failures = tuple[type[Exception], ...]


@contextmanager
def written_file(
    path: str | Path, place: str = "path", *, overwrite: bool = True, failures: Failures = ()
) -> Iterator[Path]:
    """Return, for a ``with`` block, a path to write a file at, which takes its name when the block ends without an error.

    Parameters
    ----------
    path
        The file; ``~`` is the home directory, and of a link its target is replaced. Its folder must exist.
    place
        What the path is to the user, for the message.
    overwrite
        Whether a file that is there may be replaced.
    failures
        Errors, beside OSError and those that name a full disk, by which a library says in the block that it could not write.

    Raises
    ------
    ValueError
        If the file exists and is not to be overwritten, or cannot be written (no space, no right); what had the name stays.
    """
    target = absolute(path, place)
    wanted = "a file that can be written"
    with _said(place, wanted, target, failures):
        if target.is_dir():
            raise value_error(place, "a file", f"{str(target)!r}, which is a directory", "pass another path")
        if target.exists() and not overwrite:
            raise _exists(place, "file", target)
        with working_folder(target) as folder:
            part = folder / f"new{target.suffix}"  # some libraries look at how a name ends
            yield part
            if target.exists():
                shutil.copymode(target, part)
            _flush(part)
            _flush(folder)
            if overwrite:
                part.replace(target)
            elif not _claimed(part, target):
                raise _exists(place, "file", target)
            _flush(target.parent)


@contextmanager
def written_directory(
    directory: str | Path,
    place: str = "save",
    *,
    overwrite: bool,
    ours: Collection[str],
    finish: Callable[[Path], None] | None = None,
    failures: Failures = (),
) -> Iterator[Path]:
    """Return, for a ``with`` block, an empty directory that takes its name when the block ends without an error.

    Parameters
    ----------
    directory
        The directory; its parents are made. ``~`` is the home directory, and of a link the target is replaced.
    place
        What the path is to the user, for the message.
    overwrite
        Whether one that is there may be replaced.
    ours
        Names of what such a directory holds. One without any of them is not replaced, and other files in one that is are kept.
    finish
        Called with the directory when all is written but those other files; to write a manifest, say.
    failures
        As for :func:`written_file`.

    Raises
    ------
    ValueError
        As :func:`check_directory`, or if the directory cannot be written; what had the name stays.
    """
    target = check_directory(directory, place, overwrite=overwrite, ours=ours)
    with _said(place, "a directory that can be written", target, failures):
        target.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(target) as folder:
            part = folder / "new"
            part.mkdir()
            yield part
            if finish is not None:
                finish(part)
            if target.exists():
                _keep_others(target, part, ours)
                shutil.copymode(target, part)
            _flush_tree(part)
            _flush(folder)
            if not _took_name(part, target, folder / FORMER, overwrite):
                raise _exists(place, "directory", target)
            _flush(target.parent)


def check_directory(directory: str | Path, place: str = "save", *, overwrite: bool, ours: Collection[str]) -> Path:
    """Return the absolute path of a directory that may be made or replaced; before hours of work that is to end in it, say.

    Raises
    ------
    ValueError
        If it is a file, exists and is not to be overwritten, or holds only what is not ours.
    """
    target = absolute(directory, place)
    found = repr(str(target))
    try:
        if not target.exists():
            return target
        if not target.is_dir():
            raise value_error(place, "a directory", f"{found}, which is a file", "pass another path")
        if not overwrite:
            raise _exists(place, "directory", target)
        names = set(os.listdir(target))
    except OSError as error:
        raise _unwritable(place, "a directory that can be written", target, error) from error
    if names and not names & set(ours):
        raise value_error(
            place, "a directory that holds a model", f"{found} with other files", "pass another directory"
        )
    return target


def whole(directory: str | Path, place: str = "load") -> Path:
    """Return where the content of a directory is: under its name, or, if its writer was killed just then, still beside it."""
    target = absolute(directory, place)
    if not os.path.exists(target):
        for folder in working_folders(target):
            if os.path.isdir(folder / FORMER):
                return folder / FORMER
    return target


def absolute(path: str | Path, place: str = "path") -> Path:
    """Return a path without ``~`` and links.

    Raises
    ------
    ValueError
        If it is no path, or holds a character that none can; the message begins with `place`.

    Examples
    --------
    >>> absolute("~/model") == Path.home().resolve() / "model"
    True
    """
    if not isinstance(path, (str, os.PathLike)) or "\0" in str(path):
        raise value_error(place, "a path", shortened(path), "pass the name of a file or folder")
    try:
        return Path(path).expanduser().resolve()
    except (RuntimeError, OSError):  # no such user, or a loop of links: what follows says so
        return Path(os.path.abspath(path))


# ---- sentences ----------------------------------------------------------------------------------------------------------


@contextmanager
def _said(place: str, wanted: str, target: Path, failures: Failures) -> Iterator[None]:
    """Turn what the system says of a write into one sentence."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, *failures)) and _full(error) is None:
            raise
        raise _unwritable(place, wanted, target, error) from error


def _unwritable(place: str, wanted: str, target: Path, error: Exception) -> ValueError:
    full = _full(error)
    reason = full or getattr(error, "strerror", None) or " ".join(str(error).split())
    remedy = "pass another path" if full is None else "free some space or pass another path"
    return value_error(place, wanted, f"{reason!r} at {str(target)!r}", remedy)


def _full(error: Exception) -> str | None:
    """Return what the system says of a full disk if that is what is behind an error; HDF5 says it in the text of one of its own."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
            return os.strerror(number)
    return None


def _exists(place: str, kind: str, target: Path) -> ValueError:
    return value_error(place, f"a new {kind}", f"{str(target)!r}, which exists", "pass overwrite=True or another")


# ---- taking the name ----------------------------------------------------------------------------------------------------


def _claimed(part: Path, target: Path) -> bool:
    """Rename a file to its name, unless another has it."""
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if target.exists():
            return False
        part.rename(target)
    return True


def _took_name(part: Path, target: Path, former: Path, overwrite: bool) -> bool:
    """Rename a directory to its name, and return whether that was possible."""
    for _ in range(N_TRIES):
        try:
            part.rename(target)  # where there is none, or an empty one
            return True
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if not overwrite:
            return False
        if exchange(part, target):
            return True
        shutil.rmtree(former, ignore_errors=True)  # another writer was faster, and has put its own there
        with suppress(FileNotFoundError):
            target.rename(former)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def exchange(a: Path, b: Path) -> bool:
    """Exchange two names in one step; tell whether the system and the file system can do that."""
    library, at, swap = ctypes.CDLL(None, use_errno=True), -100, 2  # AT_FDCWD; RENAME_EXCHANGE, RENAME_SWAP
    names = os.fsencode(a), os.fsencode(b)
    try:
        if sys.platform == "darwin":
            return library.renamex_np(*names, swap) == 0
        return library.renameat2(at, names[0], at, names[1], swap) == 0
    except AttributeError:
        return False


def _keep_others(target: Path, part: Path, ours: Collection[str]) -> None:
    """Put what is not ours in a directory into the one that replaces it, too: as links, or as copies."""
    for other in sorted(target.iterdir()):
        new = part / other.name
        if other.name in ours or os.path.lexists(new):
            continue
        if other.is_dir() and not other.is_symlink():
            shutil.copytree(other, new, symlinks=True, copy_function=_linked)
        else:
            _linked(other, new)


def _linked(source: str | Path, target: str | Path) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return str(target)


# ---- to disk ------------------------------------------------------------------------------------------------------------


def _flush_tree(directory: Path) -> None:
    for folder, _, files in os.walk(directory):
        for file in files:
            if not os.path.islink(os.path.join(folder, file)):
                _flush(Path(folder, file))
        _flush(Path(folder))


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Not every file system can of folders.
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)
