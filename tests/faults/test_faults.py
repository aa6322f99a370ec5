"""After faults between any two steps the last good state opens; `python -m tests.faults` runs more of them, with counts."""

import os
from datetime import date

import pytest

from tests.faults.__main__ import run

SEED = int(os.environ.get("OMICSMLM_SEED", date.today().toordinal()))


@pytest.mark.slow
def test_two_hundred_kills_and_changes():
    found = run(200, 200, SEED)
    assert {what: missed for what, _, missed in found if missed} == {}
    assert sum(n for what, n, _ in found if what.startswith("killed")) >= 200
