"""A line reaches the user, whoever set up logging or not."""

import logging

from omicsmlm._announcing import announce


def test_a_line_is_logged_as_it_is(caplog):
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        announce(logging.getLogger("omicsmlm.io"), "50 % of 'x' {}")
    assert [record.getMessage() for record in caplog.records] == ["50 % of 'x' {}"]


def test_without_logging_a_handler_is_made_once(monkeypatch, capsys):
    package, own = logging.getLogger("omicsmlm"), logging.getLogger("omicsmlm.io")
    monkeypatch.setattr(package, "handlers", [])
    monkeypatch.setattr(package, "propagate", False)
    monkeypatch.setattr(package, "level", package.level)
    announce(own, "one")
    announce(own, "two")
    assert len(package.handlers) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == ["one", "two"]
