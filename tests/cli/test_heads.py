"""A head is learned from a model, or loaded, and never both."""

from pathlib import Path

import pytest

from omicsmlm.cli import _heads
from omicsmlm.cli._heads import HeadFiles, ready_head
from tests.test_bad_input import refused


class Head:
    """A head that notes what is done with it."""

    def __init__(self, made_of):
        self.made_of, self.done = made_of, []

    @classmethod
    def load(cls, folder):
        return cls(folder)

    def train(self):
        self.done.append("trained")

    def save(self, folder, overwrite):
        self.done.append((folder, overwrite))


@pytest.fixture
def checked(monkeypatch):
    """Files that are there; what was checked of those that are written."""
    found = []
    monkeypatch.setattr(_heads, "opened", lambda path, place="source": f"object of {path}")
    monkeypatch.setattr(_heads, "saved_class", lambda folder: str(folder))
    monkeypatch.setattr(_heads, "loaded_model", lambda folder, data: (folder, data))
    monkeypatch.setattr(_heads, "check_target", lambda path, place, *_, **options: found.append((path, place, options)))
    monkeypatch.setattr(_heads, "check_model_target", lambda path, place, **options: found.append((path, place)))
    return found


def files(model_dir, query=None, save_model=None):
    return HeadFiles(Path("a"), Path(model_dir), Path("t.csv"), query, save_model, overwrite=True)


def test_it_is_learned_from_a_model_of_the_source_and_predicts_the_query(checked):
    head, data = ready_head(files("MOJO", Path("q"), Path("s")), Head, {"--x": "x", "--y": "y"}, Head)
    assert head.made_of == (Path("MOJO"), "object of a")
    assert head.done == ["trained", (Path("s"), True)]
    assert data == "object of q"
    assert checked == [(Path("t.csv"), "target", {"overwrite": True, "source": Path("a")}), (Path("s"), "save_model")]


def test_a_saved_one_is_loaded_and_predicts_the_source(checked):
    head, data = ready_head(files("Head"), Head, {"--x": None}, Head)
    assert (head.made_of, head.done, data) == (Path("Head"), [], "object of a")
    assert len(checked) == 1, "of the table alone"


@pytest.mark.parametrize(
    ("model_dir", "keys", "message"),
    [
        ("MOJO", {"--x": None}, "--x: expected --x with a model, and none with a saved Head, got a model and --x None"),
        (
            "MOJO",
            {"--x": "a", "--y": None},
            "--x: expected --x and --y with a model, .* got a model and --x a, --y None",
        ),
        ("Head", {"--x": "a"}, "--x: expected --x with a model, .* got a saved Head and --x a; leave them out"),
    ],
)
def test_columns_are_named_with_a_model_alone(checked, model_dir, keys, message):
    with refused(message):
        ready_head(files(model_dir), Head, keys, Head)
