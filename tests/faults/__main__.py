"""python -m tests.faults [--kills 200] [--changes 200] [--seed 0]: how many faults were made, and what did not recover."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from tests.faults.killing import all_kills
from tests.faults.rights import without_rights
from tests.faults.spoiling import corrupted, full_disks, scripts


def run(n_kills: int, n_changes: int, seed: int) -> list[tuple[str, int, list[str]]]:
    """Return, for each kind of fault, how many were made, and a line for each that was not recovered from."""
    found = []

    def note(what: str, n: int, missed: list[str]) -> None:
        sys.stderr.write(f"{what}: {n}, wrong {len(missed)}\n")
        found.append((what, n, missed))

    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for what, n_killed, n_wrong in all_kills(n_kills, folder, rng):
            note(f"killed: {what}", n_killed, [what] * n_wrong)
        for what, n, n_wrong in scripts(max(1, n_kills // 5), folder, seed):
            note(what if "read" in what else f"killed: {what}", n, [what] * n_wrong)
        for name, act, n in (
            ("files changed or cut", corrupted, n_changes),
            ("full disk", full_disks, max(3, n_changes // 8)),
        ):
            place = folder / act.__name__
            place.mkdir()
            note(name, *act(n, place, rng))
    note("folders without rights", *without_rights())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = run(arguments.kills, arguments.changes, arguments.seed)
    n_killed = sum(n for what, n, _ in found if what.startswith("killed"))
    sys.stdout.write(f"killed {n_killed}\n")
    for what, n, missed in found:
        sys.stdout.write(
            "\n    ".join([f"{what}: {n}, not recovered or not refused {len(missed)}", *missed[:20]]) + "\n"
        )
    return int(any(missed for *_, missed in found))


if __name__ == "__main__":
    sys.exit(main())
