"""Every example of a docstring gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import omicsmlm

NAMES = [module.name for module in pkgutil.walk_packages(omicsmlm.__path__, "omicsmlm.")]
ROOMS = (
    "omicsmlm.data",
    "omicsmlm.tokenizers",
    "omicsmlm.masking",
    "omicsmlm.nn",
    "omicsmlm.objectives",
    "omicsmlm.pp",
    "omicsmlm.datasets",
    "omicsmlm._types",
    "omicsmlm._stored",
    "omicsmlm._sizes",
    "omicsmlm._draws",
)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n.startswith((*ROOMS, "omicsmlm.training", "omicsmlm.models", "omicsmlm._checks"))]
)
def test_examples_are_right(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0


def test_there_are_examples():
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in NAMES if "_checks" in name) >= 2
