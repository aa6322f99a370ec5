"""Models that earlier code saved (``tests/fixtures/make.py``) still open, and say the same."""

import numpy as np
import pytest

import omicsmlm
from tests.fixtures.make import FIXTURES, OBJECTS, SAID, says


@pytest.mark.parametrize("name", OBJECTS)
def test_a_model_saved_before_opens_and_says_the_same(name):
    family = getattr(omicsmlm, name.split("_")[0])
    model = family.load(FIXTURES / name, OBJECTS[name]())
    expected = np.load(FIXTURES / name / SAID)
    assert expected.std() > 0
    np.testing.assert_allclose(says(model), expected, rtol=1e-4, atol=1e-5)


def test_every_family_and_head_has_one():
    classes = {name for name in omicsmlm.models.__all__ if not name.endswith(("Config", "Encoder", "Model"))}
    assert {name.split("_")[0] for name in OBJECTS} == classes
