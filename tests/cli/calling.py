"""Calling the command as a shell does, within this process."""

import json
import sys
from typing import Any, NamedTuple

import pytest

from omicsmlm._cli import main


class Called(NamedTuple):
    """What a call of the command gave."""

    status: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """What it printed with ``--json``: one line, and nothing else."""
        (line,) = self.out.splitlines()
        return json.loads(line)


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *arguments: object) -> Called:
    """Run the command."""
    monkeypatch.setattr(sys, "argv", ["omicsmlm", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return Called(int(stop.value.code or 0), out, err)
