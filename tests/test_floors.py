"""The house keeps its floors: which room may import which (docs/design.md)."""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "omicsmlm"
GROUND = {
    "_types",
    "_announcing",
    "_argument_types",
    "_checks",
    "_compat",
    "_cox",
    "_dense",
    "_draws",
    "_former_names",
    "_manifest",
    "_modality_names",
    "_obs_values",
    "_log_counts",
    "_pairing",
    "_random_state",
    "_surroundings",
    "_risk_scores",
    "_censored_times",
    "_sizes",
    "_stages",
    "_stored",
    "_working_folder",
    "_writing",
    "types",
}
STATIONS = {"data", "tokenizers", "masking", "nn", "objectives", "training"}
TOP = {"evaluation", "pl", "pp", "datasets", "io"}
MAY_IMPORT = (
    dict.fromkeys(GROUND, GROUND)
    | {station: GROUND | {station} for station in STATIONS}
    | {"models": GROUND | STATIONS | {"models"}}
    | dict.fromkeys(TOP, GROUND | TOP)
)  # `__init__`, `_cli` and `cli` are free
HEADS = {"classifier", "survival"}
"""Of the rooms in ``models/`` those that are heads; but for ``base`` and ``heads``, each other one is a family."""
MOST_ROOMS, MOST_ARROWS = 12, 20
"""Of ``models/``."""
LAZY = ("transformers", "enformer_pytorch", "peft", "scib_metrics", "captum")


def room_of(parts: Sequence[str]) -> tuple[str, ...]:
    """The room of a file or of an imported name, by its place below ``omicsmlm``; of ``models/`` each folder is one."""
    n = 2 if parts[0] == "models" and len(parts) > 1 and not parts[1].endswith(".py") else 1
    return tuple(part.removesuffix(".py") for part in parts[:n])


def may_import(room: str) -> set[str]:
    """The rooms of ``models/`` that one of them may import."""
    if room in ("base", "heads"):
        return {"base", room}
    return {"base", room, *(["heads"] if room in HEADS else [])}


@cache
def nodes_of(source: str) -> list[ast.AST]:
    """All nodes of a source, which several tests walk through."""
    return list(ast.walk(ast.parse(source)))


def arrows(src: Path) -> set[tuple[str, str]]:
    """Which room of ``models/`` imports which."""
    found = set()
    for file in (src / "models").rglob("*/*.py"):
        room = file.relative_to(src / "models").parts[0]
        for name, _ in imports(file, src):
            parts = name.split(".")
            if parts[:2] == ["omicsmlm", "models"] and len(parts) > 2 and parts[2] != room:
                found.add((room, parts[2]))
    return found


def imports(file: Path, src: Path) -> Iterator[tuple[str, bool]]:
    """Each imported name in full, and whether the import waits inside a function."""
    nodes = nodes_of(file.read_text())
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    waiting = {id(node) for function in functions for node in ast.walk(function)}
    package = ["omicsmlm", *file.relative_to(src).parts[:-1]]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in waiting) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            yield from ((f"{module}.{alias.name}", id(node) in waiting) for alias in node.names)


def _broken_in_models(place: tuple[str, ...], room: str) -> Iterator[str]:
    """What is wrong with an import of a room of ``models/``, or of a name in its ``__init__``, from a file of it."""
    if place[1] == "__init__.py":
        return
    if len(place) == 2:
        yield "no room has this file, which imports"
    elif not room:
        yield f"only the rooms, not the whole of models, may be imported by {place[1]}:"
    elif room not in may_import(place[1]):
        yield f"{place[1]} may not import the room of"


def _is_private(room: tuple[str, ...], parts: list[str]) -> bool:
    """Whether a name has a private part and lies in another room."""
    private = any(part.startswith("_") and not part.startswith("__") for part in parts[1:])
    return private and room_of(parts[1:]) != room


def broken_rules(src: Path) -> Iterator[str]:
    """A line for each import that the plan of the house forbids."""
    for file in sorted(src.rglob("*.py")):
        place = file.relative_to(src)
        room = place.parts[0].removesuffix(".py")
        for name, waits in imports(file, src):
            parts = [*name.split("."), "", ""]
            inside, foreign = parts[0] == "omicsmlm", name + "."
            if inside and parts[1] not in MAY_IMPORT.get(room, {parts[1]}):
                yield f"{place}: {room} may not import {name}"
            if inside and room == parts[1] == "models":
                yield from (f"{place}: {line} {name}" for line in _broken_in_models(place.parts, parts[2]))
            if (
                inside
                and parts[1] in MAY_IMPORT
                and parts[1] not in GROUND
                and _is_private(room_of(place.parts), parts)
            ):
                yield f"{place}: {name} is private to its room"
            if foreign.startswith(("lightning.", "scvi.train.")) and room != "training":
                yield f"{place}: {name} belongs in training"
            if foreign.startswith("scvi.") and "._" in name and room != "_compat":
                yield f"{place}: the private {name} belongs in _compat"
            if parts[0] in LAZY and not waits:
                yield f"{place}: {name} belongs inside the function that needs it"


def private_uses(src: Path) -> Iterator[str]:
    """A line for each private member that is taken of an object of another room."""
    trees = {file.relative_to(src): nodes_of(file.read_text()) for file in sorted(src.rglob("*.py"))}
    held: dict[tuple[str, ...], set[str]] = {}
    for place, nodes in trees.items():
        names = held.setdefault(room_of(place.parts), set())
        names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        stored = [node for node in nodes if isinstance(getattr(node, "ctx", None), ast.Store)]
        names |= {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in stored}
    ours = set().union(*held.values())
    for place, nodes in trees.items():
        for node in nodes:
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls", "super()"):
                is_private = node.attr.startswith("_") and not node.attr.startswith("__")
                if is_private and node.attr in ours - held[room_of(place.parts)]:
                    yield f"{place}: {ast.unparse(node)} is private to another room"


def test_the_house_keeps_its_floors():
    assert list(SRC.rglob("*.py"))
    assert list(broken_rules(SRC)) == []
    assert list(private_uses(SRC)) == []


def test_the_rooms_of_models_are_few_and_so_are_the_arrows_between_them():
    rooms = {folder.parent.name for folder in (SRC / "models").glob("*/__init__.py")}
    found = arrows(SRC)
    assert {"base", "heads", *HEADS} < rooms
    assert len(rooms) <= MOST_ROOMS
    assert {("heads", "base"), ("survival", "heads"), ("txfm", "base")} <= found, "arrows are seen"
    assert len(found) <= MOST_ARROWS
    assert {to for _, to in found} == {"base", "heads"}, "none between siblings"
    assert not any(at == "base" for at, _ in found), "none runs up"


@pytest.mark.parametrize(
    ("place", "line", "complaint"),
    [
        ("_checks.py", "from omicsmlm.data import Dataset", "may not import omicsmlm.data.Dataset"),
        ("data/_modality_index.py", "import omicsmlm.nn.attention", "may not import omicsmlm.nn.attention"),
        ("nn/depth.py", "def f():\n    from omicsmlm import training", "may not import omicsmlm.training"),
        ("nn/__init__.py", "from ..masking import mask", "may not import omicsmlm.masking.mask"),
        ("objectives/counts.py", "from omicsmlm.models.base import Base", "may not import omicsmlm.models.base.Base"),
        ("models/mojo/_model.py", "from omicsmlm.models.txfm import Config", "mojo may not import the room of"),
        ("models/mojo/_model.py", "from ..txfm import Config", "mojo may not import the room of"),
        ("models/mojo/_model.py", "from omicsmlm.models import TxFM", "mojo may not import the room of"),
        ("models/mojo/_model.py", "import omicsmlm.models", "only the rooms, not the whole of models"),
        ("models/mojo/_model.py", "def f():\n    from .. import txfm", "mojo may not import the room of"),
        ("models/mojo/_model.py", "from omicsmlm.models.heads import Adapters", "mojo may not import the room of"),
        (
            "models/survival/_model.py",
            "from omicsmlm.models.classifier import Tuning",
            "survival may not import the room",
        ),
        ("models/classifier/_model.py", "from omicsmlm.models.mojo import MOJO", "classifier may not import the room"),
        ("models/heads/_features.py", "from omicsmlm.models.omicsmlm import OmicsMLM", "heads may not import the room"),
        ("models/base/_model.py", "from omicsmlm.models.heads import copy_of", "base may not import the room of"),
        ("models/base/_model.py", "from omicsmlm.models import mojo", "base may not import the room of"),
        ("models/_loose.py", "from omicsmlm.models.base import Base", "no room has this file"),
        ("models/mojo/_model.py", "from omicsmlm.models.base._files import Saved", "is private to its room"),
        ("models/mojo/_model.py", "from omicsmlm.models.base import _files", "is private to its room"),
        ("models/mojo/_model.py", "from omicsmlm.data._modality_index import Rows", "is private to its room"),
        ("models/mojo/_model.py", "from omicsmlm.nn import _scaled", "is private to its room"),
        ("evaluation/_table.py", "from omicsmlm.pl._table import table", "is private to its room"),
        ("models/mojo/_model.py", "from omicsmlm.evaluation import probe", "may not import omicsmlm.evaluation.probe"),
        ("evaluation/_table.py", "from omicsmlm import OmicsMLM", "may not import omicsmlm.OmicsMLM"),
        ("datasets/__init__.py", "import omicsmlm", "may not import omicsmlm"),
        ("pl/__init__.py", "from omicsmlm.training import Plan", "may not import omicsmlm.training.Plan"),
        ("models/base/_model.py", "import lightning", "lightning belongs in training"),
        ("models/base/_model.py", "from scvi.train import TrainRunner", "scvi.train.TrainRunner belongs in training"),
        ("data/fields.py", "from scvi.data._utils import f", "scvi.data._utils.f belongs in _compat"),
        ("evaluation/_table.py", "import scib_metrics", "inside the function"),
        ("models/base/_model.py", "from captum.attr import IntegratedGradients", "inside the function"),
        ("tokenizers/sequences.py", "from transformers import AutoModel", "inside the function"),
    ],
)
def test_a_broken_rule_is_seen(tmp_path, place, line, complaint):
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(line)
    (report,) = broken_rules(tmp_path)
    assert report.startswith(place)
    assert report.endswith(complaint) or complaint in report


def test_a_private_member_of_another_room_is_seen(tmp_path):
    texts = {
        "models/base/_model.py": "class Base:\n    def _embed(self):\n        self._seen = 1",
        "models/base/_files.py": "def write(model):\n    model._embed()\n    model._replace(x=1)",
        "models/heads/_copy.py": "def read(model):\n    return model._embed(), model._seen, model.__class__, model._replace()",
        "models/mojo/_model.py": "class MOJO(Base):\n    def f(self):\n        return self._embed()",
    }
    for place, text in texts.items():
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    expected = [f"models/heads/_copy.py: model.{name} is private to another room" for name in ("_embed", "_seen")]
    assert sorted(private_uses(tmp_path)) == expected


def test_what_is_allowed_passes(tmp_path):
    allowed = {
        "__init__.py": "from omicsmlm.models import OmicsMLM",
        "_cli.py": "import omicsmlm\nfrom omicsmlm.models import OmicsMLM",
        "_compat.py": "from scvi.data._constants import X",
        "data/__init__.py": "from omicsmlm._checks import value_error\nfrom omicsmlm.data._modality_index import Rows",
        "training/fit.py": "import lightning.pytorch\nfrom scvi.train import TrainRunner",
        "models/__init__.py": "from omicsmlm.models.mojo import MOJO\nfrom .txfm import TxFM",
        "models/survival/_model.py": "from omicsmlm.models.heads import copy_of\nfrom omicsmlm.models.base import Base",
        "models/mojo/_model.py": "from omicsmlm.models.base import Base\nfrom omicsmlm.nn import depth\nimport scvi",
        "models/mojo/_module.py": "from ._config import Config, _size\nfrom omicsmlm.models.mojo._config import Config",
        "evaluation/__init__.py": "from . import _table\n\ndef benchmark():\n    import scib_metrics",
    }
    for place, text in allowed.items():
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert list(broken_rules(tmp_path)) == []
