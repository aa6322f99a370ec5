"""The house keeps its other rules: tests mirror ``src``, docstrings say what is returned, names are the field's."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_floors import SRC, arrows, nodes_of, room_of

TESTS = Path(__file__).parent

# ---- tests mirror src -----------------------------------------------------------------------------------------------

UNMIRRORED: set[str] = set()
"""Files without a test file of their own; this list may only become shorter."""
OF_SEVERAL = {
    "training/test_kill.py",  # kills a process in the middle of a training, wherever that is
}
"""Test files in a mirrored folder that test no one file."""


def mirrors(src: Path, tests: Path) -> tuple[set[str], set[str]]:
    """Return the files of ``src`` that have no test file, and the test files in folders that have no file of ``src``.

    ``data/_rows.py`` is tested by ``data/test_rows.py``. An ``__init__`` holds nothing to test, and what the whole house
    must do is tested by the files beside this one, and in folders that ``src`` does not have.
    """
    files = {file.relative_to(src) for file in src.rglob("*.py") if file.name != "__init__.py"}
    expected = {str(file.parent / f"test_{file.stem.removeprefix('_')}.py"): str(file) for file in files}
    found = {str(file.relative_to(tests)) for file in tests.rglob("test_*.py")}
    lacking = {file for test, file in expected.items() if test not in found}
    mirrored = {test for test in found if "/" in test and (src / test).parent.is_dir()}
    return lacking, mirrored - set(expected)


def test_tests_mirror_src():
    lacking, extra = mirrors(SRC, TESTS)
    assert lacking - UNMIRRORED == set(), "each file has a test file of the same place and name"
    assert extra - OF_SEVERAL == set(), "each test file in a folder tests a file of the same place and name"
    assert UNMIRRORED - lacking == set(), "these have a test file now, or are no more: take them off the list"
    assert OF_SEVERAL - extra == set(), "these are no more: take them off the list"


def test_what_mirrors_nothing_is_seen(tmp_path):
    src, tests = tmp_path / "src", tmp_path / "tests"
    for file in ("_types.py", "data/__init__.py", "data/_rows.py", "data/_order.py"):
        (src / file).parent.mkdir(parents=True, exist_ok=True)
        (src / file).touch()
    own = ("test_types.py", "test_floors.py", "hostile/test_all.py")
    for file in (*own, "data/test_order.py", "data/test_columns.py", "data/objects.py"):
        (tests / file).parent.mkdir(parents=True, exist_ok=True)
        (tests / file).touch()
    assert mirrors(src, tests) == ({"data/_rows.py"}, {"data/test_columns.py"})


# ---- docstrings begin with what is returned or done -----------------------------------------------------------------

OPENINGS = re.compile(r"(Gives?|Tells?|Judges?) ")
"""Of a function's docstring, none: "Return …" or "Compute …" in the place of "Give …", "Whether …" in that of "Tell …"."""
OF_OLD: set[str] = set()
"""Rooms in which some docstrings still begin so; this list may only become shorter."""


def openings(src: Path) -> Iterator[tuple[str, str]]:
    """Go through the docstrings that begin with such a word: the room, and where."""
    for file in sorted(src.rglob("*.py")):
        place = file.relative_to(src)
        for node in nodes_of(file.read_text()):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Module):
                text = ast.get_docstring(node) or ""
                if OPENINGS.match(text):
                    yield "/".join(room_of(place.parts)), f"{place}: {text.splitlines()[0]}"


def test_docstrings_begin_with_what_is_returned_or_done():
    found = list(openings(SRC))
    assert [where for room, where in found if room not in OF_OLD] == []
    assert OF_OLD - {room for room, _ in found} == set(), "these rooms are done: take them off the list"


def test_an_opening_of_old_is_seen(tmp_path):
    file = tmp_path / "models" / "mojo" / "_model.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        '"""Gives way."""\n\ndef f():\n    """Give x.\n\n    More.\n    """\n\ndef g():\n    """Given x, return y."""'
    )
    where = "models/mojo/_model.py"
    assert list(openings(tmp_path)) == [("models/mojo", f"{where}: Gives way."), ("models/mojo", f"{where}: Give x.")]


# ---- names are the field's ------------------------------------------------------------------------------------------

DENIED = {
    "anchor": "linear baseline, linear ensemble",
    "answer": "prediction",
    "calm": "zero-init",
    "census": "memory bank, reference embeddings",
    "crop": "truncation",
    "foretell": "predict",
    "hide": "mask",
    "judge": "evaluate",
    "labeller": "classifier module",
    "letter": "residue, nucleotide",
    "mistake": "value_error",
    "pull": "batch-alignment loss, regulariser",
    "scored": "evaluated",
    "seen": "visible",
    "share": "fraction",
    "shown": "visible",
    "tally": "running sums",
    "told": "conditioned on",
    "unseen": "invisible, not measured",
}
"""Words of our own that names of the house no longer have, and the field's."""
FORMS = {
    "anchored": "anchor",
    "answering": "answer",
    "corrupted": "corrupt",
    "corruption": "corrupt",
    "foretold": "foretell",
    "hiding": "hide",
    "judged": "judge",
    "pulled": "pull",
}
TERMS = {"bbox_to_anchor", "hide_state_registries"}
"""Names of others in which such a word has its usual meaning."""


def denied_word(name: str) -> str | None:
    """Return the word of our own that an identifier has, if it has one."""
    for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name):
        word = part.lower()
        for form in (word, word.removesuffix("s")):
            if FORMS.get(form, form) in DENIED:
                return FORMS.get(form, form)
    return None


def identifiers(file: Path) -> set[str]:
    """Return the names that a file defines or uses; not those in texts."""
    found = set()
    for node in nodes_of(file.read_text()):
        for field in ("name", "arg", "attr", "id", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str) and not isinstance(node, ast.ExceptHandler):
                found.add(name.rpartition(".")[2])
    return found - TERMS


def test_names_are_the_fields():
    found: dict[str, set[str]] = {}
    for file in sorted(SRC.rglob("*.py")):
        for name in identifiers(file) | {file.stem}:
            if denied_word(name):
                found.setdefault(name, set()).add(str(file.relative_to(SRC)))
    said = {name: (DENIED[denied_word(name) or ""], places) for name, places in found.items()}
    assert said == {}, "say it in the field's words, each given here"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("n_shown", "shown"),
        ("RiskAnchors", "anchor"),
        ("_foretold", "foretell"),
        ("pulls", "pull"),
        ("LETTER_WIDTH", "letter"),
        ("n_shared", None),
        ("hidden_nd", None),
        ("masked_n", None),
    ],
)
def test_a_word_of_our_own_is_seen(name, word):
    assert denied_word(name) == word


# ---- who is inherited from is abstract ------------------------------------------------------------------------------

NOT_ABSTRACT = {"Grid", "Standardised", "StoredGrid"}
"""Classes that are of use themselves, and that others refine."""


def concrete_parents(src: Path) -> set[str]:
    """Return the names of classes of ours that others inherit from and that do not say that they are abstract.

    Protocols are, and records (data classes) that others extend need not be.
    """
    classes = [
        node for file in src.rglob("*.py") for node in nodes_of(file.read_text()) if isinstance(node, ast.ClassDef)
    ]
    bases = {ast.unparse(base).partition("[")[0] for node in classes for base in node.bases}
    is_free = {node.name for node in classes if "Protocol" in map(ast.unparse, node.bases) or node.decorator_list}
    parents = [node for node in classes if node.name in bases - is_free]
    abstract = {n.name for n in parents if (ast.get_docstring(n) or "").startswith("Abstract") or _has_abstract(n)}
    return {node.name for node in parents} - abstract


def _has_abstract(node: ast.ClassDef) -> bool:
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    return any("abstractmethod" in map(ast.unparse, method.decorator_list) for method in methods)


def test_who_is_inherited_from_is_abstract():
    assert concrete_parents(SRC) == NOT_ABSTRACT


def test_a_concrete_parent_is_seen(tmp_path):
    (tmp_path / "_a.py").write_text(
        'class A:\n    """Abstract: a."""\n\nclass B(A[int]):\n    """One b."""\n\nclass C(B):\n    """One c."""'
    )
    assert concrete_parents(tmp_path) == {"B"}


# ---- the picture of the house ---------------------------------------------------------------------------------------


def test_the_picture_of_the_house_is_of_today():
    found = arrows(SRC)
    rooms = {room for pair in found for room in pair}
    picture = (TESTS.parent / "docs" / "house.svg").read_text()
    assert f"now: {len(rooms)} rooms, {len(found)} arrows" in picture, "draw it anew: docs/scripts/house.py"
    assert all(f">{room}<" in picture for room in rooms)


def test_the_design_names_each_room_and_each_file_of_the_ground_floor():
    listed = (TESTS.parent / "docs" / "design.md").read_text().partition("```")[2].partition("```")[0]
    names = {path.name + "/" * path.is_dir() for path in SRC.iterdir()} - {"__init__.py", "__pycache__/", "py.typed"}
    assert {name for name in names if not re.search(rf"(?<![\w.]){re.escape(name)}", listed)} == set()
