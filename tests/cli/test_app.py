"""Results go one way and messages the other, and an error is one sentence with a status of its own."""

import json
import subprocess
import sys

import numpy as np
import pytest
import typer

from omicsmlm.cli import app
from omicsmlm.cli._app import FAILURE, TRACEBACK, WRONG_INPUT, Report, reporting

COMMANDS = ["annotate", "benchmark", "demo", "embed", "impute", "info", "query", "read", "survival", "train"]


def test_what_is_printed_meanwhile_is_no_result(capsys):
    @reporting
    def command(as_json: bool = False) -> Report:
        sys.stdout.write("a library chats\n")
        return Report({"n": np.int64(3), "path": COMMANDS}, "done")

    command(as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"n": 3, "path": COMMANDS}
    assert err == "a library chats\n"
    command(as_json=False)
    assert capsys.readouterr().out == "done\n"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            ValueError("rna: expected this, got that; do so."),
            WRONG_INPUT,
            "error: rna: expected this, got that; do so.\n",
        ),
        (RuntimeError("two\nlines"), FAILURE, f"failed: RuntimeError: two lines (for the traceback: {TRACEBACK}=1)\n"),
    ],
)
def test_errors_are_one_sentence(run, monkeypatch, error, status, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("omicsmlm.cli._info._of_file", fail)
    monkeypatch.delenv(TRACEBACK, raising=False)
    called = run("info", "x.h5ad")
    assert (called.status, called.out, called.err) == (status, "", said)
    monkeypatch.setenv(TRACEBACK, "1")
    called = run("info", "x.h5ad")
    assert "Traceback" in called.err
    assert called.err.endswith(said)


def test_a_wrong_call_is_wrong_input(run):
    called = run("embed")
    assert (called.status, called.out) == (WRONG_INPUT, "")
    assert "source" in called.err.lower()


def test_every_command_is_listed_and_teaches_by_an_example(run):
    assert sorted(command.callback.__name__ for command in app.registered_commands) == COMMANDS
    overview = run("--help").out
    for name in COMMANDS:
        assert name in overview
        shown = " ".join(run(name, "--help").out.split())
        assert f"Example: omicsmlm {name}" in shown
        assert "--json" in shown


@pytest.mark.slow
def test_a_pipe_gets_the_result_alone(files):
    command = [sys.executable, "-m", "omicsmlm._cli", "info", str(files / "multiome.h5mu"), "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["n_obs"] == 150


def test_version(run):
    import omicsmlm

    assert run("--version").out == f"omicsmlm {omicsmlm.__version__}\n"
    assert isinstance(app, typer.Typer)
