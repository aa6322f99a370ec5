"""Every example of a docstring gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import omicsmlm

NAMES = [module.name for module in pkgutil.walk_packages(omicsmlm.__path__, "omicsmlm.")]


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_right(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0


def test_there_are_examples():
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in NAMES if "_checks" in name) >= 2
