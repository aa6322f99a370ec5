"""The pages name what exists: every member, argument and field of ours that they write as code."""

import ast
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

import omicsmlm

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "experiments").glob("*.md"),
        *(ROOT / "docs" / "api").glob("*.md"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ]
)
CLASSES = {name: value for name in omicsmlm.__all__ if inspect.isclass(value := getattr(omicsmlm, name))}
MODELS = {"model", "query_model", "reference", "classifier", "survival"}
"""What the pages call their models."""


def code(text: str) -> Iterator[str]:
    """Go through what a page writes as code: blocks of Python, and spans."""
    blocks = r"^```python\n(.*?)^```$"
    yield from re.findall(blocks, text, re.MULTILINE | re.DOTALL)
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def unknown(text: str) -> Iterator[str]:
    """Go through what a piece of code takes of omicsmlm that is not there: a line each. What is no Python is passed over."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError:
        return
    for node in nodes:
        if isinstance(node, ast.Assign) and re.fullmatch(r"[a-z]\w*=\S.*", text):  # a span such as `loss="squares"`
            yield from (f"nothing of ours takes {name}" for name in _targets(node) if name not in arguments())
        elif isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            base, *rest = whole.split(".")
            if (
                base in MODELS
                and len(rest) == 1
                and rest[0] != "py"
                and not any(_has(model, rest[0]) for model in CLASSES.values())
            ):
                yield f"no model has {rest[0]}"
            elif (base == "omicsmlm" or base in CLASSES) and re.fullmatch(r"[\w.]+", whole) and not _resolves(whole):
                yield f"there is no {whole}"
        elif isinstance(node, ast.Call):
            yield from (f"{ast.unparse(node.func)} takes no {word}" for word in _unknown_arguments(node))


def _targets(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


@functools.cache
def arguments() -> set[str]:
    """Return what any public function, class or method of ours takes, and what Lightning's trainer does."""
    rooms = (
        omicsmlm,
        omicsmlm.pp,
        omicsmlm.evaluation,
        omicsmlm.datasets,
        omicsmlm.pl,
        omicsmlm.evaluation.perturbation,
    )
    public = [getattr(room, name) for room in rooms for name in dir(room) if not name.startswith("_")]
    called = [part for part in public if callable(part)]
    called += [getattr(part, name) for part in called if inspect.isclass(part) for name in dir(part) if name[0] != "_"]
    found = set(inspect.signature(Trainer).parameters)
    for part in called:
        if callable(part) and getattr(part, "__module__", "").startswith("omicsmlm"):
            found |= set(inspect.signature(part).parameters)
    return found


def _has(model: type, name: str) -> bool:
    """Whether a class or its objects have a member: also one that is only annotated, or set in ``__init__``."""
    annotated = any(name in vars(parent).get("__annotations__", {}) for parent in model.__mro__)
    return hasattr(model, name) or annotated or any(f"self.{name}" in _source(parent) for parent in model.__mro__)


def _source(parent: type) -> str:
    return inspect.getsource(parent) if parent.__module__.startswith("omicsmlm") else ""


def _resolves(whole: str) -> bool:
    return _found(whole) is not None


def _found(whole: str) -> object | None:
    """Return what a dotted name stands for, beginning at ``omicsmlm`` or at a class of it; None where there is none."""
    parts = whole.removeprefix("omicsmlm.").split(".")
    found: object = omicsmlm
    for i, part in enumerate(parts):
        if inspect.isclass(found) and not hasattr(found, part) and _has(found, part):
            return found
        try:
            found = (
                getattr(found, part)
                if hasattr(found, part)
                else importlib.import_module(f"omicsmlm.{'.'.join(parts[: i + 1])}")
            )
        except ImportError:
            return None
    return found


def _unknown_arguments(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    called = _found(name) if name.split(".")[0] in {"omicsmlm", *CLASSES} else None
    if called is None or not callable(called):
        return []
    parameters = inspect.signature(called).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    return [word.arg for word in node.keywords if word.arg and word.arg not in parameters]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_what_exists(page):
    assert [line for piece in code(page.read_text(encoding="utf-8")) for line in unknown(piece)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_commands_lead_to_files(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    named = re.findall(r"(?:python |`)((?:benchmarks|tests|docs|src)/[\w./]+\.(?:py|md|ipynb))", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [name for name in named if not (ROOT / name).exists() and "models/toy/" not in name]
    assert missing == []


@pytest.mark.parametrize(
    ("piece", "line"),
    [
        ("omicsmlm.OmicsMLMConfig(n_hidden=3)", "omicsmlm.OmicsMLMConfig takes no n_hidden"),
        ("ClassifierConfig(colour=1)", "ClassifierConfig takes no colour"),
        ("model.foretell()", "no model has foretell"),
        ('colour="blue"', "nothing of ours takes colour"),
        ("omicsmlm.pp.shorten(x)", "there is no omicsmlm.pp.shorten"),
        ("TxFMConfig.XXL()", "there is no TxFMConfig.XXL"),
    ],
)
def test_what_does_not_exist_is_seen(piece, line):
    assert list(unknown(piece)) == [line]


def test_what_exists_passes():
    pieces = (
        "omicsmlm.OmicsMLMConfig(n_linear=3)",
        "model.train(max_steps=3)\nmodel.module.n_latent",
        "omicsmlm.evaluation.survival.risk_groups(x)",
        "classifier.candidates",
        "num_nodes=2",
        'library="expected"',
        "x = 3",
        "1 + log(x) =",
    )
    assert [line for piece in pieces for line in unknown(piece)] == []
