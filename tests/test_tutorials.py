"""The tutorials: what each must hold, and whether they still run."""

import base64
import importlib.util
import json
import re
import struct
from pathlib import Path

import pytest

from tests.test_docs import unknown

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.ipynb"))
WIDEST = 1120
"""Pixels of a picture: a page shrinks what is wider than its column, and the text in it becomes too small to read."""
CONTROLS = re.compile(r"untrained|shuffled|PCA|ridge|logistic regression|log counts", re.IGNORECASE)

OBJECTS = ("no model has n_obs", "no model has obs")
"""Of a ``reference`` that is an object, where the pages call a model so."""


def cells(file: Path, kind: str) -> list[dict]:
    """Return the cells of one kind."""
    return [cell for cell in json.loads(file.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def outputs(file: Path) -> list[dict]:
    return [output for cell in cells(file, "code") for output in cell["outputs"]]


def script():
    """The command that runs them, which is no module of a package."""
    pytest.importorskip("nbclient")
    spec = importlib.util.spec_from_file_location("tutorials_script", ROOT / "docs" / "scripts" / "tutorials.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", TUTORIALS, ids=lambda file: file.stem)
def test_was_run_from_top_to_bottom_without_an_error(file):
    assert [cell["execution_count"] for cell in cells(file, "code")] == list(range(1, len(cells(file, "code")) + 1))
    assert [output["ename"] for output in outputs(file) if output["output_type"] == "error"] == []


@pytest.mark.parametrize("file", TUTORIALS, ids=lambda file: file.stem)
def test_has_controls_limits_and_pictures_of_a_legible_width(file):
    prose = "\n".join(source(cell) for cell in cells(file, "markdown"))
    assert CONTROLS.search("\n".join(source(cell) for cell in cells(file, "code")))
    assert CONTROLS.search(prose), "the controls are commented on"
    assert "## What this does not show" in prose
    pictures = [output["data"]["image/png"] for output in outputs(file) if "image/png" in output.get("data", {})]
    assert pictures
    for picture in pictures:
        width, _ = struct.unpack(">II", base64.b64decode("".join(picture))[16:24])
        assert width <= WIDEST


@pytest.mark.parametrize("file", TUTORIALS, ids=lambda file: file.stem)
def test_outputs_hold_no_progress_bars_and_no_warnings_of_compilers(file):
    text = "".join("".join(output["text"]) for output in outputs(file) if output["output_type"] == "stream")
    assert not re.search(r"\d%\||slow_operation_alarm|Traceback", text)


@pytest.mark.parametrize("file", TUTORIALS, ids=lambda file: file.stem)
def test_code_names_what_exists(file):
    lines = [line for cell in cells(file, "code") for line in unknown(source(cell))]
    assert [line for line in lines if line not in OBJECTS] == []


def test_outputs_are_tidied():
    said = script().said
    assert said("a\rtrain:  50%|##  | 1/2\r\nmodel: 3 cells.\n") == "model: 3 cells.\n"
    assert said("                 \r") == ""
    assert said("a\na\na\nb\n\na\n") == "a\nb\n\na\n"
    alarm = (
        "E1121 09:21:40 10656 slow_operation_alarm.cc:74] \n" + "*" * 32 + "\nVery slow compile?\n" + "*" * 32 + "\n"
    )
    assert said(f"before\n{alarm}after\n") == "before\nafter\n"


@pytest.mark.slow
def test_the_first_steps_run_without_a_folder_of_data(monkeypatch):
    monkeypatch.delenv("OMICSMLM_DATA", raising=False)
    notebook = script().execute(ROOT / "tutorials" / "first_steps.ipynb")
    texts = [o["data"]["text/plain"] for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "data" in o]
    assert texts[-1] == "True", "the model that was saved and loaded embeds alike"


@pytest.mark.slow
def test_the_shortest_on_real_data_runs(data_folder):
    notebook = script().execute(ROOT / "tutorials" / "query.ipynb")
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
