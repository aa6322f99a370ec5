"""The house keeps its floors: which room may import which (docs/design.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "omicsmlm"
GROUND = {"_types", "_checks", "_compat", "_cox", "_draws", "_risk_scores", "_sizes", "_stored"}
STATIONS = {"data", "tokenizers", "masking", "nn", "objectives", "training"}
TOP = {"evaluation", "pl", "pp", "datasets"}
MAY_IMPORT = (
    dict.fromkeys(GROUND, GROUND)
    | {station: GROUND | {station} for station in STATIONS}
    | {"models": GROUND | STATIONS | {"models"}}
    | dict.fromkeys(TOP, GROUND | TOP)
)  # `__init__` and `_cli` are free
LAZY = ("transformers", "enformer_pytorch", "peft", "scib_metrics", "captum")


def imports(file: Path, src: Path) -> Iterator[tuple[str, bool]]:
    """Each imported name in full, and whether the import waits inside a function."""
    nodes = list(ast.walk(ast.parse(file.read_text(), str(file))))
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
            if (
                inside
                and room == parts[1] == "models"
                and place.stem not in ("__init__", parts[2])
                and parts[2][:1] != "_"
            ):
                yield f"{place}: only models/__init__ may import the family {name}"
            if foreign.startswith(("lightning.", "scvi.train.")) and room != "training":
                yield f"{place}: {name} belongs in training"
            if foreign.startswith("scvi.") and "._" in name and room != "_compat":
                yield f"{place}: the private {name} belongs in _compat"
            if parts[0] in LAZY and not waits:
                yield f"{place}: {name} belongs inside the function that needs it"


def test_the_house_keeps_its_floors():
    assert list(SRC.rglob("*.py"))
    assert list(broken_rules(SRC)) == []


@pytest.mark.parametrize(
    ("place", "line", "complaint"),
    [
        ("_checks.py", "from omicsmlm.data import Dataset", "may not import omicsmlm.data.Dataset"),
        ("data/_rows.py", "import omicsmlm.nn.attention", "may not import omicsmlm.nn.attention"),
        ("nn/depth.py", "def f():\n    from omicsmlm import training", "may not import omicsmlm.training"),
        ("nn/__init__.py", "from ..masking import mask", "may not import omicsmlm.masking.mask"),
        ("objectives/counts.py", "from omicsmlm.models._base import Base", "may not import omicsmlm.models._base.Base"),
        ("models/mojo.py", "from omicsmlm.models.txfm import Config", "the family omicsmlm.models.txfm.Config"),
        ("models/mojo.py", "from omicsmlm.models import TxFM", "the family omicsmlm.models.TxFM"),
        ("models/_base.py", "from . import mojo", "the family omicsmlm.models.mojo"),
        ("models/mojo.py", "from omicsmlm.evaluation import probe", "may not import omicsmlm.evaluation.probe"),
        ("evaluation/_table.py", "from omicsmlm import OmicsMLM", "may not import omicsmlm.OmicsMLM"),
        ("datasets/__init__.py", "import omicsmlm", "may not import omicsmlm"),
        ("pl/__init__.py", "from omicsmlm.training import Plan", "may not import omicsmlm.training.Plan"),
        ("models/_base.py", "import lightning", "lightning belongs in training"),
        ("models/_base.py", "from scvi.train import TrainRunner", "scvi.train.TrainRunner belongs in training"),
        ("data/fields.py", "from scvi.data._utils import f", "scvi.data._utils.f belongs in _compat"),
        ("evaluation/_table.py", "import scib_metrics", "inside the function"),
        ("models/_base.py", "from captum.attr import IntegratedGradients", "inside the function"),
        ("tokenizers/sequences.py", "from transformers import AutoModel", "inside the function"),
    ],
)
def test_a_broken_rule_is_seen(tmp_path, place, line, complaint):
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(line)
    (report,) = broken_rules(tmp_path)
    assert report.startswith(place)
    assert report.endswith(complaint) or complaint in report


def test_what_is_allowed_passes(tmp_path):
    allowed = {
        "__init__.py": "from omicsmlm.models import OmicsMLM",
        "_cli.py": "import omicsmlm\nfrom omicsmlm.models import OmicsMLM",
        "_compat.py": "from scvi.data._constants import X",
        "data/__init__.py": "from omicsmlm._checks import mistake\nfrom omicsmlm.data._rows import Rows",
        "training/fit.py": "import lightning.pytorch\nfrom scvi.train import TrainRunner",
        "models/__init__.py": "from omicsmlm.models.mojo import MOJO",
        "models/mojo.py": "from omicsmlm.models._base import Base\nfrom omicsmlm.nn import depth\nimport scvi",
        "evaluation/__init__.py": "from . import _table\n\ndef benchmark():\n    import scib_metrics",
    }
    for place, text in allowed.items():
        file = tmp_path / place
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert list(broken_rules(tmp_path)) == []
