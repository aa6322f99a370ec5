"""python -m tests.hostile [--n 1000] [--trained 150] [--seed 0] [--families NAME …] [--calls] [--one 'LINE OF A RECIPE'] [--out FILE]"""

import argparse
import sys
from pathlib import Path

import torch

from tests.hostile.judging import judged
from tests.hostile.recipes import BASES, Recipe
from tests.hostile.running import as_text, run_calls, run_recipes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--trained", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="*", choices=sorted(BASES), default=sorted(BASES))
    parser.add_argument("--calls", action="store_true", help="the hostile calls, too")
    parser.add_argument("--one", help="judge one recipe, here")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        sys.stdout.write(f"{judged(Recipe.read(arguments.one))}\n")
        return 0

    def report(line: str) -> None:
        sys.stderr.write(line[:300] + "\n")
        sys.stderr.flush()

    tallies = [run_recipes(arguments.n, arguments.trained, arguments.seed, report, arguments.families)]
    if arguments.calls:
        tallies.append(run_calls(report, arguments.families))
    text = "\n\n".join(map(as_text, tallies)) + "\n"
    sys.stdout.write(text)
    if arguments.out:
        arguments.out.write_text(text)
    return int(any(tally.keys for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
