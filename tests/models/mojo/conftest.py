"""A small trained MOJO that several files ask."""

import pytest

from omicsmlm import MOJO
from tests.objects import QUIET, SMALL_MOJO, bulk


@pytest.fixture(scope="package")
def trained():
    """A model that has been trained for a while; tests must not change it."""
    model = MOJO(bulk(), SMALL_MOJO)
    model.train(15, **QUIET)
    return model
