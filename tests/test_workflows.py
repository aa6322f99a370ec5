"""The workflows call the command as it is, and Snakemake runs the one that is written for it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer.main

import omicsmlm
from omicsmlm.cli import app

FOLDER = Path(__file__).parents[1] / "workflows"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def calls(text: str) -> list[tuple[str, set[str]]]:
    """Return the commands that a workflow calls, each with its options, and those that its variables hold."""
    joined = re.sub(r'\\+\n\s*|"\n\s*"', " ", text)  # lines that go on
    return [
        (command, set(re.findall(r"--[a-z-]+", rest)))
        for command, rest in re.findall(r"omicsmlm ([a-z]+) (.*)", joined)
    ]


@pytest.mark.parametrize("name", ["Snakefile", "main.nf"])
def test_commands_and_options_are_there(name):
    text = re.sub(r"^(#|//).*$", "", (FOLDER / name).read_text(), flags=re.MULTILINE)
    found = calls(text)
    assert {"train", "annotate", "benchmark"} <= {command for command, _ in found}
    for command, options in found:
        known = {option for parameter in COMMANDS[command].params for option in parameter.opts}
        assert options <= known, f"{command} has no {options - known}"
    held = set(re.findall(r"[\"'](--[a-z-]+) ", text))
    of_training = {option for parameter in COMMANDS["train"].params for option in parameter.opts}
    assert {"--batch-key", "--max-epochs"} <= held <= of_training
    assert "--batch-key" in {option for parameter in COMMANDS["benchmark"].params for option in parameter.opts}


def test_an_option_that_is_not_there_is_seen():
    ((command, options),) = calls('"omicsmlm train {x} "\n    "--familly {y}"')
    assert (command, options) == ("train", {"--familly"})


@pytest.mark.slow
def test_snakemake_runs_it(tmp_path):
    snakemake = os.environ.get("OMICSMLM_SNAKEMAKE") or shutil.which("snakemake")
    if snakemake is None:
        pytest.skip("Snakemake is neither on the PATH nor named by OMICSMLM_SNAKEMAKE")
    omicsmlm.datasets.simulate_multiome(300, 40, 50).write_h5mu(tmp_path / "cells.h5mu")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "omicsmlm"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m omicsmlm._cli "$@"\n')
    script.chmod(0o755)
    config = ["source=cells.h5mu", "labels_key=cell_type", "batch_key=batch", "max_epochs=1", "out=out"]
    command = [snakemake, "--snakefile", str(FOLDER / "Snakefile"), "--cores", "1", "--config", *config]
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"embedded.h5mu", "info.json", "labels.csv", "model", "scores.csv"}
    assert len(pd.read_csv(tmp_path / "out" / "labels.csv")) == 300
    assert "PCA" in pd.read_csv(tmp_path / "out" / "scores.csv", index_col=0).index
    again = subprocess.run(
        [*command, "--dry-run"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "Nothing to be done" in again.stdout + again.stderr
