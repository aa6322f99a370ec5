"""Whether the tests bite: small faults put into the sources one by one, each against the tests that mirror its file.

    python benchmarks/mutation.py [--n 200] [--rooms data,masking,objectives,nn,models] [--seed 0] [--resume FILE] [--files …]

--n faults are drawn by the seed, as many in each room; within a room each place that can be mutated is as likely (operators:
_mutants.py). A fault in src/omicsmlm/nn/_x.py meets tests/nn/test_x.py and nothing else: without that file it survives.
It is killed if these tests, which pass without it, fail or take more than five times as much CPU time (--timeout: seconds at
least; of the clock, an hour). Faults that change nothing count as survivors. The sources are copied to a temporary folder
first; the checkout is not touched.

--resume FILE keeps what was found, a line of JSON each, and does not do again what it holds of the same source and the same
tests. --files takes the faults from these files alone (nn/_fusion.py,…).
"""

import argparse
import difflib
import hashlib
import importlib
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from _mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("data", "masking", "objectives", "nn", "models")
PRELOADED = (
    "torch",
    "anndata",
    "mudata",
    "sklearn.cluster",
    "scipy.sparse",
    "lightning.pytorch",
    "scvi.model",
    "pytest",
)
"""Imported once, before the process of each fault is forked; nothing of ours is among them."""
LONGEST = 3600.0
"""Seconds of the clock after which tests are ended, for faults that wait for ever."""
PASSED, NO_TESTS = 0, 5
"""Exit codes of pytest."""


class Fault(NamedTuple):
    """A mutant and its file, from src/omicsmlm on."""

    file: str
    mutant: Mutant

    @property
    def room(self) -> str:
        """The first folder."""
        return self.file.split("/")[0]


def mirror(file: str) -> str:
    """Return the tests of a file: those of nn/_x.py are tests/nn/test_x.py."""
    path = Path(file)
    return str(Path("tests") / path.parent / f"test_{path.name.lstrip('_')}")


def drawn(tree: Path, rooms: list[str], n: int, seed: int, files: list[str]) -> list[Fault]:
    """Draw n faults, as many in each room, room by room."""
    faults = []
    for i, room in enumerate(rooms):
        sources = [
            str(f.relative_to(tree / "src/omicsmlm")) for f in sorted((tree / "src/omicsmlm" / room).rglob("*.py"))
        ]
        sources = [f for f in sources if f in files or (not files and not f.endswith("__init__.py"))]
        sites = [(f, site) for f in sources for site in mutants((tree / "src/omicsmlm" / f).read_text())]
        rng = random.Random(f"{seed} {room}")
        chosen = rng.sample(sites, min(len(sites), n // len(rooms) + (i < n % len(rooms))))
        faults += sorted(Fault(f, rng.choice(site)) for f, site in chosen)
    return faults


def copied(tree: Path) -> None:
    """Copy what git knows of the checkout, and what it would take in."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\n")):
        if (ROOT / name).is_file() and not name.endswith((".png", ".ipynb")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)


def exit_code(tree: Path, test: str, cpu_seconds: float) -> tuple[int | None, float]:
    """Run tests in a process of their own; return its exit code, None if it took too long, and the CPU time it took.

    On a machine that others use as well the clock would say little.
    """
    process = os.fork()
    if process == 0:
        os.setsid()
        quiet = os.open(tree / "pytest.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.chdir(tree)
        sys.path[:] = [str(tree / "src"), *(p for p in sys.path if p != str(Path(__file__).parent))]
        # Tests that start processes by "spawn" run the main module anew: it must not be this script.
        sys.modules["__main__"] = types.ModuleType("__main__")
        sys.dont_write_bytecode, os.environ["PYTHONPATH"] = True, str(tree / "src")
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(cpu_seconds), math.ceil(cpu_seconds) + 5))
        code = 1
        try:
            code = int(importlib.import_module("pytest").main(["-x", "-q", "-p", "no:cacheprovider", test]))
        finally:
            os._exit(code)
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        found, status, used = os.wait4(process, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            return None if code in (-signal.SIGXCPU, -signal.SIGKILL) else code, used.ru_utime + used.ru_stime
        time.sleep(0.05)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None, cpu_seconds


class Judge:
    """Puts faults into a tree and says whether its tests find them.

    Parameters
    ----------
    tree
        A copy of the checkout.
    least
        CPU-seconds that tests have at least.
    """

    def __init__(self, tree: Path, least: float) -> None:
        self.tree, self.least = tree, least
        self.seconds: dict[str, float] = {}

    def verdict(self, fault: Fault) -> str:
        """Return "killed", "killed by time", "survived" or "survived: no tests"."""
        test = mirror(fault.file)
        if not (self.tree / test).is_file():
            return "survived: no tests"
        if test not in self.seconds:
            self.seconds[test] = self._time(test)
        path = self.tree / "src/omicsmlm" / fault.file
        source = path.read_text()
        path.write_text(fault.mutant.applied(source))
        try:
            code, _ = exit_code(self.tree, test, max(self.least, 5 * self.seconds[test]))
        finally:
            path.write_text(source)
        return "killed by time" if code is None else "survived" if code == PASSED else "killed"

    def _time(self, test: str) -> float:
        code, seconds = exit_code(self.tree, test, LONGEST)
        if code != PASSED:
            said = (self.tree / "pytest.log").read_text()
            raise SystemExit(
                f"{test} {'has no tests' if code == NO_TESTS else 'fails'} without a fault:\n{said[-3000:]}"
            )
        return seconds

    def key(self, fault: Fault) -> str:
        """Name a fault together with its source and its tests."""
        parts = [self.tree / "src/omicsmlm" / fault.file, self.tree / mirror(fault.file)]
        texts = [part.read_text() if part.is_file() else "" for part in parts]
        return hashlib.sha256(json.dumps([fault, texts]).encode()).hexdigest()


def difference(tree: Path, fault: Fault) -> Iterator[str]:
    """The lines that a fault changes."""
    source = (tree / "src/omicsmlm" / fault.file).read_text()
    pair = source.splitlines(), fault.mutant.applied(source).splitlines()
    return (line for line in difflib.unified_diff(*pair, n=0, lineterm="") if line[:3] not in ("---", "+++", "@@ "))


def table(faults: list[Fault], verdicts: list[str], rooms: list[str]) -> Iterator[str]:
    """A line per room, and one for all."""
    yield "| room | killed | of | |"
    yield "| --- | ---: | ---: | ---: |"
    for name, within in [*((room, {room}) for room in rooms), ("all", set(rooms))]:
        own = [v.startswith("killed") for f, v in zip(faults, verdicts, strict=True) if f.room in within]
        yield f"| {name} | {sum(own)} | {len(own)} | {100 * sum(own) / max(1, len(own)):.0f} % |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--rooms", default=",".join(ROOMS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--files", default="")
    chosen = parser.parse_args()
    files = [f for f in chosen.files.split(",") if f]
    rooms = sorted({f.split("/")[0] for f in files}) if files else chosen.rooms.split(",")
    for name in PRELOADED:
        importlib.import_module(name)
    importlib.import_module("torch").set_num_threads(1)
    assert "omicsmlm" not in sys.modules, "its sources are those of the copy"
    known = {}
    if chosen.resume and chosen.resume.is_file():
        known = {line["key"]: line["verdict"] for line in map(json.loads, chosen.resume.read_text().splitlines())}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copied(tree)
        faults, judge, verdicts = drawn(tree, rooms, chosen.n, chosen.seed, files), Judge(tree, chosen.timeout), []
        for i, fault in enumerate(faults):
            key = judge.key(fault)
            if key not in known:
                known[key] = judge.verdict(fault)
                if chosen.resume:
                    line = {"key": key, "verdict": known[key], "file": fault.file, **fault.mutant._asdict()}
                    with chosen.resume.open("a") as file:
                        file.write(json.dumps(line) + "\n")
            verdicts.append(known[key])
            at = f"{fault.file}:{fault.mutant.line}"
            print(f"{i + 1}/{len(faults)} {known[key]}: {at} ({fault.mutant.operator})", file=sys.stderr, flush=True)
        print("\n".join(table(faults, verdicts, rooms)))
        for fault, verdict in zip(faults, verdicts, strict=True):
            if verdict.startswith("survived"):
                print(f"\n{fault.file}:{fault.mutant.line} ({fault.mutant.operator}) {verdict}")
                print("\n".join(difference(tree, fault)))


if __name__ == "__main__":
    main()
