"""The family that ``docs/add_a_family.md`` builds, made of the code on that page and nothing else."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "add_a_family.md"
ROOM = "omicsmlm.models.toy"


class Block(NamedTuple):
    """A block of Python code on the page."""

    title: str
    """Its first line, a comment."""
    code: str
    line: int
    """Of the page, on which it begins."""


def blocks() -> list[Block]:
    """Return the blocks in the order of the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n# ([^\n]+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(match[1], match[2], text[: match.start()].count("\n") + 3) for match in found]


def files() -> dict[str, str]:
    """Return the files of the room, by their place below ``omicsmlm``."""
    here = "src/omicsmlm/"
    return {block.title.removeprefix(here): block.code for block in blocks() if block.title.startswith(here)}


def run(block: Block, names: dict[str, object]) -> None:
    """Run a block; what fails is reported with its line on the page."""
    exec(compile("\n" * (block.line - 1) + block.code, str(PAGE), "exec"), names)


def imported(package: str = ROOM) -> ModuleType:
    """Import the room, once a session, as if it lay in ``src`` or under another name in a package of somebody else."""
    if package in sys.modules:
        return sys.modules[package]
    room = ModuleType(package)
    room.__path__ = []
    sys.modules[package] = room
    for block in blocks():
        if not block.title.startswith("src/"):
            continue
        name = Path(block.title).stem
        module = room if name == "__init__" else ModuleType(f"{package}.{name}")
        module.__package__ = package
        sys.modules[module.__name__] = module
        run(block, module.__dict__)
    return room


Toy, ToyConfig = imported().Toy, imported().ToyConfig
