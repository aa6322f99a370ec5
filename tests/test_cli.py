"""The entry point of the command is where the package says."""

import tomllib
from pathlib import Path

from omicsmlm import _cli, cli


def test_the_entry_point():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"omicsmlm": "omicsmlm._cli:main"}
    assert (_cli.main, _cli.app) == (cli.main, cli.app)
