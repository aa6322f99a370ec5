"""Folders that may not be written, or not even be read: each writer and reader says so in one sentence, and changes nothing."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from omicsmlm import Classifier, OmicsMLM, Survival, pl, read
from omicsmlm._cli import main
from omicsmlm.nn._state_store import StateStore
from tests.fixtures.make import FIXTURES, OBJECTS
from tests.hostile.judging import SENTENCE
from tests.hostile.surface import CURVES, GOOD
from tests.objects import QUIET, SMALL, rna

NOBODY = 65534
"""User and group that own nothing; root may write and read everything."""
DIGEST = (1, 2)
Acts = dict[str, Callable[[Path], object]]


def _command(*arguments: object) -> None:
    """Run the command; its exit code 2 is that of one sentence."""
    sys.argv = ["omicsmlm", *map(str, arguments)]
    try:
        main()
    except SystemExit as stop:
        if stop.code == 2:
            raise ValueError("omicsmlm: expected rights, got none; see what it wrote.") from None
        if stop.code:
            raise


def writers() -> Acts:
    """Return what writes into a folder that :func:`furnished` made, by name."""
    data = OBJECTS["OmicsMLM"]()
    model = OmicsMLM.load(FIXTURES / "OmicsMLM", data)
    model.adata.obsm["X_omics"] = model.get_latent_representation()[
        :, :2
    ]  # drawn as it is: numba ends a process that was
    # forked from one that had drawn a UMAP (its threads are OpenMP's), with a line on stderr alone
    classifier = Classifier.load(FIXTURES / "Classifier", OBJECTS["Classifier"]())
    survival = Survival.load(FIXTURES / "Survival", OBJECTS["Survival"]())
    return {
        "save": lambda at: model.save(at / "new" / "deep"),
        "save over a model": lambda at: model.save(at / "model", overwrite=True),
        "save a Classifier": lambda at: classifier.save(at / "classifier"),
        "save a Survival": lambda at: survival.save(at / "survival"),
        "share a model": lambda at: model.save_to_hub(at / "shared"),
        "write checkpoints": lambda at: OmicsMLM(rna(24), SMALL).train(1, checkpoint_dir=at / "checkpoints", **QUIET),
        "write checkpoints over others": lambda at: OmicsMLM(rna(24), SMALL).train(1, checkpoint_dir=at, **QUIET),
        "embed to a file": lambda at: model.write_latent_representation(at / "new.h5mu"),
        "embed over a file": lambda at: model.write_latent_representation(at / "out.h5mu"),
        "write a figure": lambda at: pl.history(CURVES, save=at / "new.png"),
        "write a report": lambda at: pl.report(model, at / "new.html"),
        "make a store of states": lambda at: StateStore(at / "other", 4),
        "add to a store of states": lambda at: StateStore(at / "store", 4).add({(3, 4): torch.ones(2, 4)}),
        "embed, the command": lambda at: _command("embed", at / "out.h5mu", at / "other.h5mu", "--model", FIXTURES / "OmicsMLM"),
    }  # fmt: skip


def readers() -> Acts:
    """Return what reads such a folder, by name."""
    return {
        "load": lambda at: OmicsMLM.load(at / "model"),
        "load with an object": lambda at: OmicsMLM.load(at / "model", OBJECTS["OmicsMLM"]()),
        "load what was shared": lambda at: OmicsMLM.from_hub(at / "model"),
        "map a query": lambda at: OmicsMLM.load_query_data(OBJECTS["OmicsMLM_query"](), at / "model"),
        "read a table": lambda at: read(rna=at / "counts.tsv"),
        "read states": lambda at: StateStore(at / "store", 4).get([DIGEST])[DIGEST],
    }


def furnished(folder: Path) -> None:
    """Put a model, an output, a table and a store of states into a folder."""
    model = OmicsMLM.load(FIXTURES / "OmicsMLM", OBJECTS["OmicsMLM"]())
    model.save(folder / "model")
    model.write_latent_representation(folder / "out.h5mu")
    (folder / "counts.tsv").write_text(GOOD)
    StateStore(folder / "store", 4).add({DIGEST: torch.zeros(3, 4)})


def content(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a folder, and the names of folders in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def open_to_all() -> Iterator[Path]:
    """Return, for a ``with`` block, an empty folder that every user may reach."""
    with TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)
        yield Path(temporary)


def _forbid(folder: Path, mode: int) -> None:
    for path in [*folder.rglob("*"), folder]:
        path.chmod(mode if path.is_dir() else mode & 0o666)


def outcome(act: Callable[[Path], object], folder: Path) -> str:
    """Do something as a user without rights, in a process of its own; return "well", "sentence", or what else came."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        found = "died"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            act(folder)
            found = "well"
        except BaseException as error:  # noqa: BLE001 - whatever it is, is judged
            is_ours = isinstance(error, ValueError) and SENTENCE.match(str(error))
            found = "sentence" if is_ours else f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, found.encode()[:2000])
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        found = file.read().decode()
    os.waitpid(child, 0)
    return found


def without_rights() -> tuple[int, list[str]]:
    """Write into, and read, folders without the rights; return how often, and what came of it that should not."""
    missed, acts = [], {**writers(), **readers()}
    with open_to_all() as folder:
        for name in ("first", "writable", "readable", "closed"):
            (folder / name).mkdir()
            furnished(folder / name)
        for name, act in acts.items():  # imports what the other user may not, and shows that rights are all that lacks
            try:
                act(folder / "first")
            except ValueError as error:
                missed.append(f"{name}, with all rights: {error}")
        _forbid(folder / "writable", 0o777)
        missed += [
            f"{name}, in a folder that may be written: {found}"
            for name, act in acts.items()
            if (found := outcome(act, folder / "writable")) != "well"
        ]
        for place, mode, groups in (
            ("readable", 0o555, ((writers(), "sentence"), (readers(), "well"))),
            ("closed", 0o000, ((acts, "sentence"),)),
        ):
            before = content(folder / place)
            _forbid(folder / place, mode)
            for group, wanted in groups:
                for name, act in group.items():
                    found = outcome(act, folder / place)
                    if found != wanted:
                        missed.append(f"{name}, in a {place} folder: {found}")
            _forbid(folder / place, 0o755)
            if content(folder / place) != before:
                missed.append(f"a {place} folder was changed")
    return 2 * len(acts), missed
