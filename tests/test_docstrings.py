"""Every example of a docstring gives what it says."""

import doctest
import importlib

import pytest

from tests.test_floors import SRC


def module_of(path):
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = sorted(module_of(path) for path in SRC.rglob("*.py") if ">>>" in path.read_text())
"""All modules with an example; read off the files, so that none is left out."""


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_right(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
    assert found.attempted > 0, "an example that doctest does not find, in a comment or a nested function, is not one"


def test_there_are_examples():
    assert len(NAMES) >= 60
    assert {"omicsmlm._checks", "omicsmlm._cox", "omicsmlm.evaluation._splits", "omicsmlm.models.mojo._model"} <= {
        *NAMES
    }
