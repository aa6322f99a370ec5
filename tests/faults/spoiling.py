"""Saved models whose files were changed or cut, disks that are full, and several writers of one place; what came of it."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

import omicsmlm
from omicsmlm._manifest import MANIFEST, write_manifest
from tests.faults.killing import PATIENCE, ended, forked
from tests.fixtures.make import FIXTURES, OBJECTS, says
from tests.objects import QUIET, SMALL, rna

SAVED = sorted(OBJECTS)
TESTS = Path(__file__).parents[1]


def _opened(name: str, folder: Path) -> str:
    """Return how a model loads: "refused" in one sentence, "loaded", or the name of a foreign error."""
    try:
        getattr(omicsmlm, name.split("_")[0]).load(folder)
    except ValueError as error:
        return "refused" if "\n" not in str(error) and "; " in str(error) else f"ValueError {error}"
    except Exception as error:  # noqa: BLE001 - what must not be, counted
        return type(error).__name__
    return "loaded"


def corrupted(n: int, folder: Path, rng: np.random.Generator) -> tuple[int, list[str]]:
    """Flip a bit of, or cut, a file of saved models with a manifest, n times; return the tries, and what was not refused."""
    missed = []
    for i in range(n):
        name = SAVED[i % len(SAVED)]
        place = folder / "model"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(FIXTURES / name, place)
        (place / "said.npy").unlink(missing_ok=True)
        write_manifest(place)
        files = sorted(path for path in place.rglob("*") if path.is_file())
        file = files[int(rng.integers(len(files)))]
        content = bytearray(file.read_bytes())
        at = int(rng.integers(len(content)))
        if i % 4 == 3:
            content = content[:at]
        else:
            content[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(content)
        came = _opened(name, place)
        if came != "refused" and not (file.name == MANIFEST and _same_manifest(content, place, files)):
            missed.append(f"{name} {file.relative_to(place)} at {at}: {came}")
    return n, missed


def _same_manifest(content: bytes, place: Path, files: list[Path]) -> bool:
    """Return whether a changed manifest says what it said: a blank became another."""
    with suppress(ValueError):
        found = json.loads(content)
        write_manifest(place)
        return found == json.loads((place / MANIFEST).read_bytes())
    return False


@contextmanager
def _largest_file(n_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _refused(act: Callable[[], object], n_bytes: int) -> None:
    """Do something on a disk that is full after some bytes; raise if it ends otherwise than well or in one sentence."""
    with _largest_file(n_bytes):
        try:
            act()
        except ValueError as error:
            if "\n" in str(error) or "; " not in str(error):
                raise


def full_disks(n: int, folder: Path, rng: np.random.Generator) -> tuple[int, list[str]]:
    """Save, embed and write checkpoints on a disk that is full after some bytes; return the tries, and what went wrong."""
    missed = []
    data = OBJECTS["OmicsMLM"]()
    model = omicsmlm.OmicsMLM.load(FIXTURES / "OmicsMLM", data)
    model.save(folder / "model")
    model.write_latent_representation(folder / "out.h5mu")
    said = says(omicsmlm.OmicsMLM.load(folder / "model", data))
    output = (folder / "out.h5mu").read_bytes()
    acts = {
        "save": lambda: model.save(folder / "model", overwrite=True),
        "embed": lambda: model.write_latent_representation(folder / "out.h5mu"),
        "train": lambda: omicsmlm.OmicsMLM(rna(), SMALL).train(2, checkpoint_dir=folder / "checkpoints", **QUIET),
    }
    for i in range(n):
        what = list(acts)[i % len(acts)]
        n_bytes = int(rng.integers(100, 20_000))
        # HDF5 cannot close a file on a full disk, and may crash later in the process that tried.
        if ended(forked(lambda what=what, n_bytes=n_bytes: _refused(acts[what], n_bytes)), PATIENCE) != 0:
            missed.append(f"{what}: something else than a sentence with {n_bytes} bytes")
        if not np.array_equal(says(omicsmlm.OmicsMLM.load(folder / "model", data)), said):
            missed.append(f"{what}: the saved model is lost")
        if (folder / "out.h5mu").read_bytes() != output:
            missed.append(f"{what}: the former output is lost")
    return n, missed


def scripts(n: int, folder: Path, seed: int) -> Iterator[tuple[str, int, int]]:
    """Go through what the scripts of writers and stores count: what is done, kills or reads, and what was wrong."""

    def counts(script: str, *arguments: object) -> dict[str, int]:
        place = folder / "-".join(map(str, arguments))
        place.mkdir()
        command = [sys.executable, str(TESTS / script), str(place), *map(str, arguments)]
        paths = {
            "PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS.parent}",
            "OMP_NUM_THREADS": "1",
            "PATH": "/usr/bin:/bin",
        }
        return json.loads(subprocess.run(command, env=paths, capture_output=True, check=True).stdout.splitlines()[-1])

    for kind in ("file", "directory"):
        found = counts("writing_script.py", "kills", kind, n, seed)
        yield f"write a {kind}", found["killed"], found["killed"] - found["whole"] + found["left over"]
    found = counts("writing_script.py", "writers", "directory", n, seed)
    yield "three writers of a directory, read", n, n - found["whole"] + found["left over"]
    found = counts("nn/store_script.py", "kills", n, seed)
    yield "fill a store of states", found["killed"], found["failed or wrong"] + found["wrong"] + found["lost"]
    found = counts("nn/store_script.py", "fill", 10 * n, seed)
    yield "three writers of a store, read", 10 * n, found["failed or wrong"] + found["wrong"] + found["lost"]
