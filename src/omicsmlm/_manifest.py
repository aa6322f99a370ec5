"""What a directory holds, written down with the hash of each file; and reading that trusts neither files nor their sizes.

The manifest tells damage, and parts that do not belong together; it does not tell who wrote them, as a signature would.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ._checks import named, value_error
from ._writing import whole

MANIFEST = "manifest.json"
FORMAT = 1
MOST_BYTES = 16 * 2**30
"""Of the files that are read."""
MOST_MANIFEST_BYTES = 2**20
MOST_JSON_BYTES = 512 * 2**20
"""Of a JSON file, which takes some ten times as much memory: names of many million features."""
MOST_DEPTH = 64
"""To which lists and objects of a JSON file lie in one another."""
MOST_DIGITS = 40
"""Characters of a number in a JSON file; a float in full has 24, an integer of 64 bits 20."""
N_TRIES = 20
"""Of reading a directory while others replace it."""
AGAIN = "save it again"
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[-+.0-9eE]{%d}" % (MOST_DIGITS + 1))


def write_manifest(directory: Path) -> None:
    """Write down the size and the SHA-256 of each file of a directory, and of what is written down itself."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path != directory / MANIFEST)
    entries = {
        path.relative_to(directory).as_posix(): {"bytes": path.stat().st_size, "sha256": _digest_of_file(path)}
        for path in files
    }
    content = {"format": FORMAT, "files": entries}
    text = json.dumps({**content, "sha256": _digest_of(content)}, indent=1)
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def has_manifest(directory: str | Path) -> bool:
    """Return whether a directory has a manifest; models of omicsmlm 0.1 have none."""
    return os.path.exists(whole(directory) / MANIFEST)


def read_directory(
    directory: str | Path, names: Collection[str] | None = None, place: str = "load", most_bytes: int = MOST_BYTES
) -> dict[str, bytes]:
    """Return the content of files of a directory, each as its manifest says it was written, and all of one writing.

    What is read is what was hashed, so that nothing can change in between. While the directory is being replaced, it is the old
    or the new one. A link may lead out of the directory (stores of large files make such): what it leads to is hashed alike.

    Parameters
    ----------
    directory
        The directory.
    names
        Of the files, relative to it, with ``/``; None for all that the manifest names.
    place
        What is done, for the message.
    most_bytes
        Of the files together.

    Raises
    ------
    ValueError
        If a file is missing, changed, too large or none (a device, a pipe), or the manifest is.
    """
    for _ in range(N_TRIES):
        path = whole(directory)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if whole(directory) == path:
                raise _no_file(place, str(directory), error) from error
            continue
        try:
            return _Opened(str(directory), place, descriptor).read(names, most_bytes)
        except ValueError:
            if _is_at(path, descriptor):
                raise
        finally:
            os.close(descriptor)
    raise value_error(place, "a directory at rest", f"{str(directory)!r}, which others write", "try again")


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether what was opened still has its name; else another has taken it, and what was read may be half removed."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


class _Opened(NamedTuple):
    """A directory that stays the one that was opened, whoever takes its name."""

    name: str
    place: str
    descriptor: int

    def read(self, names: Collection[str] | None, most_bytes: int) -> dict[str, bytes]:
        entries = self._entries()
        names = list(entries) if names is None else names
        absent = [name for name in names if name not in entries]
        if absent:
            raise value_error(self.place, f"a manifest that names {named(absent)}", "one without", AGAIN)
        if sum(entries[name][0] for name in names) > most_bytes:
            raise _too_large(f"{self.place} {self.name!r}", most_bytes)
        within = [name for name in entries if name.endswith(f"/{MANIFEST}") and name not in names]
        for name in within:  # not read here, it vouches for the model within where that is loaded by itself
            self._checked(name, *entries[name])
        return {name: self._checked(name, *entries[name]) for name in names}

    def _checked(self, name: str, n_bytes: int, digest: str) -> bytes:
        content = _read(f"{self.place} {name}", name, n_bytes, self.descriptor)
        if hashlib.sha256(content).hexdigest() != digest:
            raise value_error(self.place, f"the {name} that was saved", "a file that has been changed", AGAIN)
        return content

    def _entries(self) -> dict[str, tuple[int, str]]:
        """Return size and hash of each file."""
        place = f"{self.place} {MANIFEST}"
        content = parse_json(_read(place, MANIFEST, MOST_MANIFEST_BYTES, self.descriptor), place)
        digest = content.pop("sha256", None)
        if digest != _digest_of(content):
            raise value_error(place, "the manifest that was saved", "a file that has been changed", AGAIN)
        if content.get("format") != FORMAT:
            raise value_error(place, f"format {FORMAT}", repr(content.get("format")), "update omicsmlm")
        files = content.get("files")
        if not isinstance(files, dict) or not all(_is_entry(name, entry) for name, entry in files.items()):
            raise value_error(place, "files in the directory, with size and hash", "others", AGAIN)
        return {name: (entry["bytes"], entry["sha256"]) for name, entry in files.items()}


def _is_entry(name: str, entry: object) -> bool:
    path = PurePosixPath(name)
    is_inside = name == str(path) and not path.is_absolute() and ".." not in path.parts and "\0" not in name
    is_whole = isinstance(entry, dict) and entry.keys() == {"bytes", "sha256"}
    return is_inside and is_whole and type(entry["bytes"]) is int and entry["bytes"] >= 0  # type: ignore[index]


# ---- reading what may be anything ---------------------------------------------------------------------------------------


def read_bounded(path: str | Path, place: str, most_bytes: int) -> bytes:
    """Return the content of a regular file of so many bytes at most, without waiting for a pipe or reading a device.

    Raises
    ------
    ValueError
        If it is larger, or no such file.
    """
    return _read(place, str(path), most_bytes)


def _read(place: str, name: str, most_bytes: int, directory: int | None = None) -> bytes:
    try:
        # Without O_NONBLOCK, to open a pipe would be to wait for somebody to write into it.
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise _no_file(place, name, error) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise value_error(place, "a file", f"{name!r}, which is none", AGAIN)
        if found.st_size > most_bytes:
            raise _too_large(place, most_bytes)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(found.st_size + 1)
    except OSError as error:
        raise _no_file(place, name, error) from error
    finally:
        os.close(descriptor)
    if len(content) > found.st_size:
        raise value_error(place, "a file at rest", "one that grows", "try again")
    return content


def parse_json(content: bytes, place: str, most_bytes: int = MOST_JSON_BYTES) -> dict[str, Any]:
    """Return the object that a JSON file holds, after its size, depth and the length of its numbers were looked at.

    Raises
    ------
    ValueError
        If it is larger or deeper than such a file can be, or no JSON object.

    Examples
    --------
    >>> parse_json(b'{"width": [128, 1.5]}', "load config.json")
    {'width': [128, 1.5]}
    """
    if len(content) > most_bytes:
        raise _too_large(place, most_bytes)
    without_texts = _TEXT.sub(b'""', content)
    depth = deepest = 0
    for bracket in re.finditer(rb"[\[\]{}]", without_texts):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > MOST_DEPTH or _LONG_NUMBER.search(without_texts):
        wanted = f"lists in one another to a depth of {MOST_DEPTH} and numbers of up to {MOST_DIGITS} characters"
        raise value_error(place, wanted, "more", AGAIN)
    try:
        found = json.loads(content.decode("utf-8"))
    except ValueError as error:  # of JSON, or of UTF-8
        raise value_error(place, "a whole JSON file", str(error), AGAIN) from error
    if not isinstance(found, dict):
        raise value_error(place, "a JSON object", type(found).__name__, AGAIN)
    return found


def _too_large(place: str, most_bytes: int) -> ValueError:
    return value_error(place, f"at most {most_bytes} bytes", "more", AGAIN)


def _no_file(place: str, name: str, error: OSError) -> ValueError:
    found = f"{error.strerror or error!s} at {name!r}"
    return value_error(place, "a file that can be read", found, "check the path, or save it again")


def _digest_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
