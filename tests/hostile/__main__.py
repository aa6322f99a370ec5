"""python -m tests.hostile [--n 1000] [--trained 150] [--seed 0] [--families NAME …] [--calls] [--surface 200] [--neighbours] [--arguments] [--out FILE]

One recipe, by its line: ``--one '{"family": …}'``. Cases whose name begins with a text: ``--surface 10000 --only "read"``.
"""

import argparse
import sys
from pathlib import Path

import torch

from tests.hostile.judging import judged
from tests.hostile.recipes import BASES, Recipe
from tests.hostile.running import as_text, run_calls, run_neighbours, run_recipes, run_surface


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--trained", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="*", choices=sorted(BASES), default=sorted(BASES))
    parser.add_argument("--calls", action="store_true", help="the hostile calls, too")
    parser.add_argument("--surface", type=int, default=0, help="so many cases of tables, columns, files, figures")
    parser.add_argument("--neighbours", action="store_true", help="what users of neighbouring tools reported")
    parser.add_argument("--arguments", action="store_true", help="every argument of public functions and getters")
    parser.add_argument("--only", default="", help="of these, those that begin with this")
    parser.add_argument("--one", help="judge one recipe, here")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        sys.stdout.write(f"{judged(Recipe.read(arguments.one))}\n")
        return 0

    def report(line: str) -> None:
        sys.stderr.write(line[:500] + "\n")
        sys.stderr.flush()

    tallies = []
    if arguments.n or arguments.trained:
        tallies.append(run_recipes(arguments.n, arguments.trained, arguments.seed, report, arguments.families))
    if arguments.surface:
        tallies.append(run_surface(arguments.surface, arguments.seed, report, arguments.only))
    if arguments.neighbours:
        from tests.hostile.neighbours import ASKED

        tallies.append(run_neighbours(report, [family for family in ASKED if family in arguments.families]))
    if arguments.arguments:
        from tests.hostile.arguments import run_arguments

        tallies.append(run_arguments(report, arguments.only))
    if arguments.calls:
        tallies.append(run_calls(report, arguments.families))
    text = "\n\n".join(map(as_text, tallies)) + "\n"
    sys.stdout.write(text)
    if arguments.out:
        arguments.out.write_text(text)
    return int(any(tally.keys for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
