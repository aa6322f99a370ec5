"""Writers that are killed, or that write at once; what is left is counted, as JSON on the last line.

python writing_script.py FOLDER kills|writers|reads file|directory N SEED [renames]
"""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from omicsmlm import _writing
from omicsmlm._manifest import MANIFEST, read_directory, write_manifest
from omicsmlm._writing import written_directory, written_file

NAMES = ("a.bin", "inner/b.bin")
SIZE = 100_000


def content(version: int) -> bytes:
    return (version % 2**31).to_bytes(4, "big") * (SIZE // 4)


def write(target: Path, version: int) -> None:
    if target.suffix:
        with written_file(target) as part:
            part.write_bytes(content(version))
        return
    with written_directory(target, overwrite=True, ours=(MANIFEST, *NAMES, "inner"), finish=write_manifest) as part:
        (part / "inner").mkdir()
        for name in NAMES:
            (part / name).write_bytes(content(version))


def version_of(target: Path) -> int:
    """The version that a target holds; raises where it is not one whole version."""
    found = [target.read_bytes()] if target.suffix else list(read_directory(target, NAMES).values())
    version = int.from_bytes(found[0][:4], "big")
    assert all(part == content(version) for part in found), "not one whole version"
    return version


def started(target: Path, first: int) -> int:
    """The process of a writer without end."""
    child = os.fork()
    if child:
        return child
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for version in range(first, first + 2**20):
            write(target, version)
    finally:
        os._exit(1)


def killed(child: int) -> bool:
    """Kill a writer; whether it was still writing."""
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def kills(target: Path, n: int, rng: np.random.Generator) -> dict[str, int]:
    counts = {"killed": 0, "whole": 0, "moved on": 0}
    write(target, 0)
    began, last = time.monotonic(), 0
    for _ in range(3):
        write(target, 0)
    took = (time.monotonic() - began) / 3
    for i in range(n):
        child = started(target, (i + 1) * 2**20)
        time.sleep(rng.uniform(0, 4 * took))
        counts["killed"] += killed(child)
        version = version_of(target)
        counts["whole"] += 1
        counts["moved on"] += version != last
        last = version
    write(target, 1)
    return counts | {"left over": len(list(target.parent.iterdir())) - 1, "last": version_of(target)}


def writers(target: Path, n: int, rng: np.random.Generator) -> dict[str, int]:
    """Three writers at once, while it is read."""
    write(target, 0)
    children = [started(target, (i + 1) * 2**20) for i in range(3)]
    versions = [version_of(target) for _ in range(n)]
    alive = sum(killed(child) for child in children)
    write(target, 1)
    left = len(list(target.parent.iterdir())) - 1
    return {"alive": alive, "whole": len(versions), "distinct": len(set(versions)), "left over": left}


if __name__ == "__main__":
    folder, what, kind, n, seed = sys.argv[1:6]
    os.fsync = lambda descriptor: (
        None
    )  # a kill is no power cut; without waiting for the disk more kills fall between the steps
    if "renames" in sys.argv[6:]:  # as on a file system that cannot exchange two names
        _writing.exchange = lambda a, b: False
    place = Path(folder) / ("target.bin" if kind == "file" else "target")
    counts = {"kills": kills, "writers": writers}[what](place, int(n), np.random.default_rng(int(seed)))
    sys.stdout.write(json.dumps(counts) + "\n")
