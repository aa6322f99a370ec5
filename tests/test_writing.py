"""Whatever happens while something is written, its name stands for the whole old content or for the whole new."""

import json
import os
import re
import resource
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from safetensors.numpy import save_file

from omicsmlm import _writing
from omicsmlm._manifest import MANIFEST, read_directory, write_manifest
from omicsmlm._working_folder import ABANDONED, FORMER, working_folders
from omicsmlm._writing import absolute, check_directory, exchange, whole, written_directory, written_file

ROOT = Path(__file__).parents[1]
OURS = ("a.txt", "b.txt", "inner", MANIFEST)


def in_a_process_of_its_own(act):
    """Whether something goes well there. HDF5 cannot close a file on a full disk, and may crash later where it tried."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    code = 1
    try:
        act()
        code = 0
    finally:
        os._exit(code)


def write(directory, text, overwrite=True):
    with written_directory(directory, overwrite=overwrite, ours=OURS, finish=write_manifest) as part:
        (part / "a.txt").write_text(text)
        (part / "inner").mkdir()
        (part / "inner" / "b.txt").write_text(text)


def half_a_file(path, error):
    with written_file(path) as part:
        part.write_text("half")
        raise error


def half_a_directory(directory, error):
    with written_directory(directory, overwrite=True, ours=OURS) as part:
        (part / "a.txt").write_text("half")
        raise error


def beside_another(path):
    with written_file(path, overwrite=False) as part:
        part.write_text("mine")
        path.write_text("of another, meanwhile")


def tree(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@contextmanager
def largest_file(n_bytes):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# ---- files ---------------------------------------------------------------------------------------------------------


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    target = tmp_path / "x.h5ad"
    with written_file(target) as part:
        assert part.suffix == ".h5ad"
        assert part.parent.parent == tmp_path, "the same file system"
        part.write_text("new")
        assert not target.exists()
    assert tree(tmp_path) == {"x.h5ad": "new"}
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask


def test_a_file_that_is_replaced_keeps_its_rights_and_the_links_to_it(tmp_path):
    target, link = tmp_path / "x", tmp_path / "latest"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with written_file(link) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("of the block")])
def test_a_block_that_fails_leaves_the_old_and_nothing_else(tmp_path, error):
    (tmp_path / "x").write_text("old")
    with pytest.raises(type(error)):
        half_a_file(tmp_path / "x", error)
    write(tmp_path / "model", "old")
    before = tree(tmp_path)
    with pytest.raises(type(error)):
        half_a_directory(tmp_path / "model", error)
    assert tree(tmp_path) == before
    assert before["x"] == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "x"]


def test_a_file_that_is_not_to_be_overwritten(tmp_path):
    target = tmp_path / "x"
    with written_file(target, overwrite=False) as part:
        part.write_text("first")
    sentence = f"^path: expected a new file, got '{target}', which exists; pass overwrite=True or another.$"
    with pytest.raises(ValueError, match=sentence), written_file(target, overwrite=False) as part:
        raise AssertionError("not reached")
    target.unlink()
    with pytest.raises(ValueError, match=sentence):
        beside_another(target)
    assert tree(tmp_path) == {"x": "of another, meanwhile"}


def test_a_folder_is_no_file_and_a_missing_one_holds_none(tmp_path):
    with (
        pytest.raises(
            ValueError, match="^target: expected a file, got '.*', which is a directory; pass another path.$"
        ),
        written_file(tmp_path, "target"),
    ):
        raise AssertionError("not reached")
    sentence = (
        "^path: expected a file that can be written, got 'No such file or directory' at '.*x'; pass another path.$"
    )
    with pytest.raises(ValueError, match=sentence), written_file(tmp_path / "none" / "x"):
        raise AssertionError("not reached")


def test_home_and_links_and_names_without_end(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with written_file("~/x") as part:
        part.write_text("at home")
    assert tree(tmp_path) == {"x": "at home"}
    (tmp_path / "a").symlink_to(tmp_path / "a")
    assert absolute(tmp_path / "a" / "b").is_absolute()
    with written_file(tmp_path / ("n" * 250)) as part:
        part.write_text("long")
        assert len(working_folders(tmp_path / ("n" * 250))) == 1
    assert (tmp_path / ("n" * 250)).read_text() == "long"
    with (
        pytest.raises(ValueError, match="^path: expected a file that can be written, got 'File name too long' at "),
        written_file(tmp_path / ("n" * 300)),
    ):
        raise AssertionError("not reached")


# ---- directories -----------------------------------------------------------------------------------------------------


def test_a_directory_is_made_with_its_parents_and_replaced_when_asked(tmp_path):
    directory = tmp_path / "runs" / "model"
    write(directory, "old", overwrite=False)
    write(directory, "new")
    assert {name: text for name, text in tree(directory).items() if name != MANIFEST} == {
        "a.txt": "new",
        "inner/b.txt": "new",
    }
    assert read_directory(directory) == {"a.txt": b"new", "inner/b.txt": b"new"}
    assert sorted(p.name for p in directory.parent.iterdir()) == ["model"]
    with pytest.raises(
        ValueError, match="^save: expected a new directory, got '.*', which exists; pass overwrite=True"
    ):
        write(directory, "newer", overwrite=False)
    assert read_directory(directory)["a.txt"] == b"new"


def test_where_names_cannot_be_exchanged_they_are_moved(tmp_path, monkeypatch):
    monkeypatch.setattr(_writing, "exchange", lambda a, b: False)
    write(tmp_path / "model", "old")
    write(tmp_path / "model", "new")
    assert read_directory(tmp_path / "model")["a.txt"] == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_this_system_exchanges_names(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "b").exists()
    assert not exchange(tmp_path / "a", tmp_path / "none")


def test_what_is_not_ours_in_a_directory_stays(tmp_path):
    write(tmp_path / "model", "old")
    (tmp_path / "model" / "notes.txt").write_text("keep me")
    (tmp_path / "model" / "figures").mkdir()
    (tmp_path / "model" / "figures" / "umap.txt").write_text("keep me")
    write(tmp_path / "model", "new")
    found = tree(tmp_path / "model")
    assert found["notes.txt"] == found["figures/umap.txt"] == "keep me"
    assert found["a.txt"] == "new"
    assert set(read_directory(tmp_path / "model")) == {"a.txt", "inner/b.txt"}, "and is no part of the model"


def test_the_rest_of_an_earlier_write_is_replaced(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.txt").write_text("all that a killed save of an earlier version wrote")
    write(tmp_path / "model", "new")
    assert read_directory(tmp_path / "model")["a.txt"] == b"new"


@pytest.mark.parametrize("overwrite", [False, True])
def test_places_that_are_not_for_a_model(tmp_path, overwrite):
    (tmp_path / "file").write_text("keep me")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("keep me")
    other = "a directory that holds a model" if overwrite else "a new directory"
    places = {
        "file": "save: expected a directory, got '.*file', which is a file; pass another path",
        "file/model": "save: expected a directory that can be written, got '(Not a directory|File exists)' at '.*model'; pass",
        "full": f"save: expected {other}, got '.*full'",
    }
    for place, sentence in places.items():
        with pytest.raises(ValueError, match=sentence):
            write(tmp_path / place, "new", overwrite)
    assert tree(tmp_path) == {"file": "keep me", "full/thesis.txt": "keep me"}
    with pytest.raises(ValueError, match=f"^save_model: expected {other}, got "):
        check_directory(tmp_path / "full", "save_model", overwrite=overwrite, ours=OURS)
    assert check_directory(tmp_path / "new", overwrite=overwrite, ours=OURS) == tmp_path / "new"


@pytest.mark.parametrize("path", [None, 3, "a\0b", ["model"]])
def test_what_is_no_path_is_one_sentence(path):
    told = "^{}: expected a path, got .*; pass the name of a file or folder"
    with pytest.raises(ValueError, match=told.format("path")), written_file(path):
        pass
    with pytest.raises(ValueError, match=told.format("save")):
        write(path, "x")
    with pytest.raises(ValueError, match=told.format("load")):
        whole(path)


# ---- disks that are full, folders that cannot be written --------------------------------------------------------------


def test_a_full_disk_is_one_sentence_and_the_old_stays(tmp_path):
    (tmp_path / "x").write_text("old")
    write(tmp_path / "model", "old")
    before = tree(tmp_path)
    sentence = (
        "^{}: expected a {} that can be written, got 'File too large' at '.*'; free some space or pass another path.$"
    )
    with largest_file(1000):
        with pytest.raises(ValueError, match=sentence.format("path", "file")), written_file(tmp_path / "x") as part:
            part.write_bytes(b"x" * 2000)
        with pytest.raises(ValueError, match=sentence.format("save", "directory")):
            write(tmp_path / "model", "x" * 2000)
    assert tree(tmp_path) == before


def save_tensors(path, failures=()):
    with written_directory(path, overwrite=False, ours=OURS, failures=failures) as part:
        save_file({"x": np.zeros(2000)}, part / "x.safetensors")


def save_table(path):
    with written_file(path) as part:
        AnnData(np.zeros((300, 300))).write_h5ad(part)


@pytest.mark.parametrize("save", [save_tensors, save_table])
def test_what_a_library_says_of_a_full_disk_is_told_too(tmp_path, save):
    sentence = "^(save|path): expected .* that can be written, got 'File too large' at '.*'; free some space or"

    def fill():
        with largest_file(1000), pytest.raises(ValueError, match=sentence):
            save(tmp_path / "x")

    assert in_a_process_of_its_own(fill)
    assert list(tmp_path.iterdir()) == []


def raise_in_a_block(path, error, failures=()):
    with written_file(path, failures=failures):
        raise error


def test_an_error_by_which_a_library_says_that_it_could_not_write(tmp_path):
    error = RuntimeError("[enforce fail at inline_container.cc:672]\n. unexpected pos 704 vs 598")
    with pytest.raises(RuntimeError, match="inline_container"):
        raise_in_a_block(tmp_path / "x", error)
    sentence = (
        r"^path: expected a file that can be written, got '\[enforce fail at .*672\] \. unexp.*' at '.*x'; pass another"
    )
    with pytest.raises(ValueError, match=sentence):
        raise_in_a_block(tmp_path / "x", error, failures=(RuntimeError,))


READ_ONLY = """
import os, sys
from omicsmlm._writing import written_file
if os.geteuid() == 0:
    os.seteuid(65534)  # rights say nothing to root
try:
    with written_file(sys.argv[1]) as part:
        part.write_text("new")
except ValueError as error:
    sys.stdout.write(str(error))
"""


def test_a_folder_that_cannot_be_written_is_one_sentence():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "x").write_text("old")
        folder.chmod(0o555)
        ran = subprocess.run(
            [sys.executable, "-c", READ_ONLY, folder / "x"], capture_output=True, text=True, env=paths()
        )
        folder.chmod(0o755)
        assert re.fullmatch(
            "path: expected a file that can be written, got 'Permission denied' at '.*x'; pass another path.",
            ran.stdout,
        ), ran.stderr
        assert tree(folder) == {"x": "old"}


# ---- kills ----------------------------------------------------------------------------------------------------------


def test_what_killed_writers_left_is_removed_and_no_other_folder(tmp_path):
    write(tmp_path / "a", "of a")
    left = tmp_path / ".a.0123abc_.part"
    others = [tmp_path / name for name in (".a.b.0123abc_.part", ".a.part", ".b.0123abc_.part", ".a.0123abc_.part2")]
    for folder in (left, *others):
        folder.mkdir()
        (folder / "x").touch()
    assert working_folders(tmp_path / "a") == [left]
    write(tmp_path / "a", "again")
    assert not left.exists()
    assert all(folder.exists() for folder in others)


def test_a_folder_that_is_being_written_is_not_removed(tmp_path):
    with written_file(tmp_path / "x") as slow:
        slow.write_text("slow")
        with written_file(tmp_path / "x") as fast:
            fast.write_text("fast")
        assert (tmp_path / "x").read_text() == "fast"
        assert slow.exists()
    assert tree(tmp_path) == {"x": "slow"}


def test_what_was_moved_away_by_a_killed_writer_is_found_and_gets_its_name_back(tmp_path):
    write(tmp_path / "model", "old")
    left = tmp_path / ".model.0123abcd.part"
    left.mkdir()
    (tmp_path / "model").rename(left / FORMER)
    assert whole(tmp_path / "model") == left / FORMER
    assert read_directory(tmp_path / "model")["a.txt"] == b"old"
    with pytest.raises(RuntimeError), written_directory(tmp_path / "model", overwrite=True, ours=OURS):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert read_directory(tmp_path / "model")["a.txt"] == b"old"


def test_where_folders_cannot_be_locked_old_ones_are_taken_for_abandoned(tmp_path, monkeypatch):
    monkeypatch.setattr("omicsmlm._working_folder._lock", lambda descriptor: None)
    old, new = tmp_path / ".x.01234567.part", tmp_path / ".x.12345678.part"
    for folder, age in ((old, ABANDONED + 60), (new, 60)):
        folder.mkdir()
        then = folder.stat().st_mtime - age
        os.utime(folder, (then, then))
    with written_file(tmp_path / "x") as part:
        part.write_text("x")
    assert not old.exists()
    assert new.exists()


def paths():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}


def counted(tmp_path, what, kind, n, seed, *more):
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "writing_script.py"), str(tmp_path)]
    ran = subprocess.run([*command, what, kind, str(n), str(seed), *more], capture_output=True, text=True, env=paths())
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


KINDS = [("file",), ("directory",), ("directory", "renames")]


def check_kills(tmp_path, kind, n):
    found = counted(tmp_path, "kills", kind[0], n, 0, *kind[1:])
    assert found["killed"] == found["whole"] == n
    assert found["moved on"] >= n / 10, "they are killed while they write"
    assert found["left over"] == 0
    assert found["last"] == 1


def check_writers(tmp_path, kind, n):
    found = counted(tmp_path, "writers", kind[0], n, 0, *kind[1:])
    assert found["alive"] == 3
    assert found["whole"] == n
    assert found["distinct"] > 1
    assert found["left over"] == 0


@pytest.mark.parametrize("kind", KINDS[1:], ids=str)
def test_writers_killed_at_random_leave_the_old_or_the_new(tmp_path, kind):
    check_kills(tmp_path, kind, 20)


def test_writers_at_once_and_a_reader_meet_whole_directories(tmp_path):
    check_writers(tmp_path, KINDS[1], 50)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_many_writers_killed_at_random_leave_the_old_or_the_new(tmp_path, kind):
    check_kills(tmp_path, kind, 200)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_many_writers_at_once_and_a_reader(tmp_path, kind):
    check_writers(tmp_path, kind, 500)
