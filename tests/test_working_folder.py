"""Folders beside a target: locked while their writer lives, removed after it, and what was moved into them comes back."""

import os
import signal
import time

import pytest

from omicsmlm._working_folder import FORMER, SUFFIX, working_folder, working_folders


def test_it_lies_beside_the_target_and_is_gone_in_the_end(tmp_path):
    target = tmp_path / "model"
    with working_folder(target) as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(".model.")
        assert folder.suffix == SUFFIX
        assert working_folders(target) == [folder]
        assert working_folders(tmp_path / "other") == []
        (folder / "part").write_text("half")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("full")])
def test_it_is_gone_after_an_error_too(tmp_path, error):
    with pytest.raises(type(error)), working_folder(tmp_path / "model"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_two_writers_have_one_each(tmp_path):
    with working_folder(tmp_path / "model") as first, working_folder(tmp_path / "model") as second:
        assert first != second
        assert first.exists(), "that of a living writer is not taken for abandoned"
    assert list(tmp_path.iterdir()) == []


def test_that_of_a_killed_writer_goes_with_the_next(tmp_path):
    target = tmp_path / "model"
    child = os.fork()
    if not child:
        try:
            with working_folder(target) as folder:
                (folder / "part").write_text("half")
                time.sleep(60)
        finally:
            os._exit(1)
    until = time.monotonic() + 20
    while not any((folder / "part").exists() for folder in working_folders(target)) and time.monotonic() < until:
        time.sleep(0.01)
    (left,) = working_folders(target)
    with working_folder(target):
        assert left.exists(), "its writer lives"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with working_folder(target):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_taken", [False, True])
def test_what_had_the_name_gets_it_back_unless_it_is_taken(tmp_path, is_taken):
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").touch()
    with working_folder(target) as folder:
        target.rename(folder / FORMER)
        if is_taken:
            target.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "old").exists() is not is_taken


def test_names_that_others_could_have_given_are_left_alone(tmp_path):
    for name in (".model.txt.part", ".model.abcdefgh.part.txt", "model.abcdefgh.part", ".xmodel.abcdefgh.part"):
        (tmp_path / name).mkdir()
    with working_folder(tmp_path / "model"):
        pass
    assert len(list(tmp_path.iterdir())) == 4
