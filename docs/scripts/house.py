"""Draw ``docs/house.svg``: what imports what in ``models/``, before it had rooms and now.

Run in the root of the repository; the state before is the last commit without rooms:

    mkdir /tmp/before && git archive b7248a1^ src | tar -x -C /tmp/before
    PYTHONPATH=.:src python docs/scripts/house.py /tmp/before/src/omicsmlm docs/house.svg
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

from tests.test_floors import HEADS, SRC, arrows, imports

matplotlib.rcParams.update({"svg.hashsalt": "house", "svg.fonttype": "none", "font.size": 8})
Arrows = set[tuple[str, str]]


def flat_arrows(src: Path) -> tuple[set[str], Arrows]:
    """The files of a flat ``models/``, and which imports which."""
    files = {file.stem for file in (src / "models").glob("*.py")} - {"__init__"}
    found = set()
    for file in (src / "models").glob("*.py"):
        for name, _ in imports(file, src):
            parts = name.split(".")
            if parts[:2] == ["omicsmlm", "models"] and parts[2] in files - {file.stem} and file.stem in files:
                found.add((file.stem, parts[2]))
    return files, found


def layers(nodes: set[str], found: Arrows) -> dict[str, int]:
    """The longest way down from each node."""
    below = {node: {to for at, to in found if at == node} for node in nodes}

    def depth(node: str) -> int:
        return 1 + max(map(depth, below[node]), default=-1)

    return {node: depth(node) for node in nodes}


def draw(axes: plt.Axes, nodes: set[str], found: Arrows, title: str, *, named: bool) -> None:
    """Draw nodes in layers, and an arrow for each import."""
    height = layers(nodes, found)
    place = {}
    for level in range(max(height.values()) + 1):
        row = sorted(node for node in nodes if height[node] == level)
        place |= {node: ((i + 0.5) / len(row), level) for i, node in enumerate(row)}
    for at, to in sorted(found):
        style = {"arrowstyle": "-|>", "color": "0.55", "lw": 0.6, "shrinkA": 4, "shrinkB": 9 if named else 3}
        axes.annotate("", place[to], place[at], arrowprops=style)
    for node, (x, y) in place.items():
        if named:
            box = {"boxstyle": "round,pad=0.35", "fc": "#dfe9f5" if node not in HEADS else "#f5e6d3", "ec": "0.4"}
            axes.text(x, y, node, ha="center", va="center", bbox=box)
        else:
            axes.plot(x, y, "o", ms=4, color="#4a78b0")
    axes.set(title=title, xlim=(0, 1), ylim=(-0.5, max(height.values()) + 0.5))
    axes.axis("off")


def main(before: Path, target: Path) -> None:
    """Count and draw."""
    files, flat = flat_arrows(before)
    now = arrows(SRC)
    rooms = {room for pair in now for room in pair}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    draw(left, files, flat, f"before: {len(files)} files, {len(flat)} arrows", named=False)
    draw(right, rooms, now, f"now: {len(rooms)} rooms, {len(now)} arrows", named=True)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
