"""Reading ahead: the same things in the same order, errors where they are met, and a thread that always ends."""

import subprocess
import sys
import threading
import time
from typing import NamedTuple

import pytest
import torch

from omicsmlm.data import _read_ahead
from omicsmlm.data._read_ahead import ReadAhead, pinned


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "omicsmlm-read"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not readers()


def test_things_come_in_order_and_the_thread_ends():
    found = ReadAhead(iter(range(50)), 3)
    assert list(found) == list(range(50))
    assert list(found) == [], "and it stays at its end"


def test_it_reads_ahead_but_not_without_bounds():
    read = []
    ahead = ReadAhead((read.append(k) or k for k in range(100)), 3)
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(read) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(read) == 5, "one taken, three waiting, one that waits to be put there"
    ahead.close()


def test_an_error_is_raised_where_the_next_thing_is_asked_for():
    def source():
        yield 1
        raise OSError("the disk is gone")

    ahead = ReadAhead(source(), 2)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    assert not readers()


def test_the_thread_ends_when_nobody_holds_the_iterator():
    for _ in ReadAhead(iter(int, 1), 2):  # without end
        break
    assert not readers()


def test_the_thread_ends_when_the_consumer_fails():
    def consume():
        for _ in ReadAhead(iter(int, 1), 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()


def test_python_can_exit_while_things_wait():
    # The file by itself: the package takes four times as long to import.
    code = "import runpy, sys\nx = runpy.run_path(sys.argv[1])['ReadAhead'](iter(int, 1), 2)\nprint(next(x))"
    done = subprocess.run(
        [sys.executable, "-c", code, _read_ahead.__file__], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


class Record(NamedTuple):
    """A record such as a batch."""

    values: torch.Tensor
    parts: dict[str, torch.Tensor]
    name: str


def test_every_tensor_of_a_record_is_pinned(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    found = pinned(Record(torch.zeros(2), {"a": torch.zeros(1)}, "x"))
    assert found.values.tolist() == [1, 1]
    assert found.parts["a"].tolist() == [1]
    assert found.name == "x"


@pytest.mark.gpu
def test_pinned_memory_is_pinned():
    assert pinned(Record(torch.zeros(2), {}, "x")).values.is_pinned()


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _read_ahead.JOIN_TIMEOUT == 10.0
