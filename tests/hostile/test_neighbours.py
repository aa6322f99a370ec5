"""What users of neighbouring tools reported: the same contents in another form, or other surroundings, change no number."""

import pytest

from tests.hostile.judging import FINE, NO_OBJECT, SENTENCES
from tests.hostile.neighbours import ASKED, KINDS, LIVES, neighbour_judged
from tests.hostile.running import as_text, run_neighbours

FOUND = [
    ("TxFM", "surrounding", "float64 by default"),  # other numbers, in silence
    ("TxFM", "surrounding", "inference mode"),
    ("TxFM", "surrounding", "autocast"),  # other numbers, in silence
    ("OmicsMLM, RNA", "surrounding", "bfloat16 by default"),
    ("OmicsMLM, RNA", "surrounding", "meta device by default"),
    ("TxFM", "surrounding", "no working directory"),  # a sentence about Lightning's arguments
    ("MOJO", "life", "pickled"),  # a MuData cannot be pickled
    ("MOJO", "life", "saved by torch"),
    ("MOJO", "life", "deeply copied, and the copy trained"),
]
"""What was wrong once."""


@pytest.mark.parametrize(("family", "kind", "name"), FOUND)
def test_what_was_wrong_once(family, kind, name, tmp_path):
    verdict = neighbour_judged(family, kind, name, tmp_path)
    assert verdict.kind == FINE, verdict


def test_a_fault_is_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(LIVES, "broken", lambda model, data, folder: model.get_latent_representation() + 1e-2)
    assert neighbour_judged("TxFM", "life", "broken", tmp_path).kind == "order-dependent"


@pytest.mark.slow
@pytest.mark.parametrize("family", ASKED)
def test_every_case_of_every_family_and_head(family):
    tally = run_neighbours(lambda line: None, [family])
    assert not tally.keys, as_text(tally)
    assert tally.kinds[FINE] + tally.kinds[SENTENCES] > 90
    assert tally.kinds[NO_OBJECT] < 5
    assert sum(tally.kinds.values()) == sum(len(cases) for cases, _ in KINDS.values())
