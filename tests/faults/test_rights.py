"""Who may not write, or not even read, a folder is told so in one sentence; who may only read, reads."""

import pytest

from tests.faults.rights import open_to_all, outcome, without_rights


def test_what_another_user_may_not_do_is_seen():
    with open_to_all() as folder:
        (folder / "closed").mkdir(mode=0o700)
        assert outcome(lambda at: (at / "closed" / "x").write_text(""), folder).startswith("PermissionError")
        assert outcome(lambda at: None, folder) == "well"
        assert list((folder / "closed").iterdir()) == []


@pytest.mark.slow
def test_no_right_is_one_sentence_and_nothing_changes():
    tried, missed = without_rights()
    assert missed == []
    assert tried > 30
