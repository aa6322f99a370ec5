"""Processes that are killed at random moments of training, saving and embedding to a file, and what is left afterwards."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omicsmlm import Classifier, OmicsMLM, Survival
from omicsmlm.models import OmicsModel
from tests.fixtures.make import FIXTURES, OBJECTS
from tests.objects import QUIET, SMALL, linked_halves
from tests.test_contract import FAMILIES, new

N_EPOCHS = 6
"""Of a training that is killed: as many checkpoints."""
PATIENCE = 300.0
"""Seconds after which a training that was not killed hangs."""


def forked(act: Callable[[], object]) -> int:
    """Do something in a process of its own; return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        act()
        code = 0
    finally:
        os._exit(code)


def ended(child: int, seconds: float) -> int | None:
    """Return the exit status of a process once it has ended, or None after so many seconds."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def killed(child: int) -> bool:
    """Kill a process; return whether it was still at work."""
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def linked() -> OmicsMLM:
    """Return a model of which a training leaves out what links alone initialised."""
    mdata, links = linked_halves(60)
    return OmicsMLM(mdata, SMALL, batch_key="batch", links=links)


TRAINED: dict[str, tuple[int, Callable[[], OmicsModel]]] = {
    "OmicsMLM, several": (3, lambda: new(FAMILIES["OmicsMLM, several"])),
    "OmicsMLM, links": (1, linked),
} | {name: (1, lambda name=name: new(FAMILIES[name])) for name in ("ScMBERT, RNA", "MOJO", "TxFM", "IsoFormer")}
"""What is trained and killed, and how often beside one another."""


def training(make: Callable[[], OmicsModel], folder: Path, n: int, rng: np.random.Generator) -> tuple[int, int]:
    """Kill the trainings of a model n times, each going on from the last checkpoint.

    Returns
    -------
    n_killed, n_wrong
        Kills, and trainings that did not end with the weights of one that nobody killed.
    """

    def train(into: Path) -> None:
        model = make()
        begun = into if (into / "last.ckpt").exists() else None
        model.train(N_EPOCHS, checkpoint_dir=into, resume_from=begun, **QUIET)
        weights = {key: value.numpy() for key, value in model.module.state_dict().items()}
        np.savez(into / "part.npz", **weights)
        (into / "part.npz").rename(into / "weights.npz")

    began, whole = time.monotonic(), folder / "whole"
    if ended(forked(lambda: train(whole)), PATIENCE) != 0:
        return 0, 1
    took, unbroken, n_killed, n_wrong, chain = time.monotonic() - began, np.load(whole / "weights.npz"), 0, 0, 0
    while n_killed < n:
        chain += 1
        broken = folder / f"broken{chain}"
        broken.mkdir()
        for _ in range(100):
            child = forked(lambda into=broken: train(into))
            seconds = rng.uniform(0, took) if n_killed < n else PATIENCE
            status = ended(child, seconds)
            if status is None:
                n_killed += killed(child)
            elif status == 0:
                break
            else:
                return n_killed, n_wrong + 1
        resumed = np.load(broken / "weights.npz") if (broken / "weights.npz").exists() else {}
        n_wrong += not all(key in resumed and np.array_equal(unbroken[key], resumed[key]) for key in unbroken.files)
    return n_killed, n_wrong


def _parts(model: Any) -> list[torch.Tensor]:
    """Return a weight of each part that is saved: of the head, if it is one, and of the encoder."""
    if isinstance(model, OmicsMLM):
        return [next(model.module.parameters())]
    own = model.networks if isinstance(model, Survival) else model.module.head
    return [next(own.parameters()), next(model.model.module.parameters())]


def saving(name: str, folder: Path, n: int, rng: np.random.Generator) -> tuple[int, int]:
    """Kill a process that saves one version of a model over another, n times; as :func:`training`.

    Wrong is what does not load, or holds weights of two versions.
    """
    kind, target = {"OmicsMLM": OmicsMLM, "Classifier": Classifier, "Survival": Survival}[name], folder / "model"
    model = kind.load(FIXTURES / name, OBJECTS[name]())

    def save(version: int) -> None:
        for weight in _parts(model):
            torch.nn.init.constant_(weight, version)
        model.save(target, overwrite=True)

    def save_on(first: int) -> None:
        for version in range(first, first + 1000):
            save(version)

    save(0)
    began = time.monotonic()
    save(0)
    took, n_killed, n_wrong = time.monotonic() - began, 0, 0
    for i in range(n):
        child = forked(lambda first=1000 * (i + 1): save_on(first))
        time.sleep(rng.uniform(0, 3 * took))
        n_killed += killed(child)
        try:
            versions = {float(weight.detach().flatten()[0]) for weight in _parts(kind.load(target))}
            n_wrong += len(versions) != 1
        except ValueError:
            n_wrong += 1
    save(0)
    n_wrong += len(list(folder.iterdir())) != 1  # what killed writers left is removed by the next
    return n_killed, n_wrong


def embedding(folder: Path, n: int, rng: np.random.Generator) -> tuple[int, int]:
    """Kill a process that embeds a file into another, n times; as :func:`training`.

    Wrong is an input that changed, or an output that is neither the former nor the new one.
    """
    source, target = folder / "in.h5mu", folder / "out.h5mu"
    data = OBJECTS["OmicsMLM"]()
    data.write_h5mu(source)
    content = source.read_bytes()
    model = OmicsMLM.load(FIXTURES / "OmicsMLM", data)

    def embed() -> None:
        model.write_latent_representation(target, data)

    began = time.monotonic()
    embed()
    took, whole, n_killed, n_wrong = time.monotonic() - began, _embedding_in(target), 0, 0
    for _ in range(n):
        child = forked(lambda: [embed() for _ in range(1000)])
        time.sleep(rng.uniform(0, 3 * took))
        n_killed += killed(child)
        n_wrong += source.read_bytes() != content or not np.array_equal(_embedding_in(target), whole)
    return n_killed, n_wrong


def _embedding_in(path: Path) -> np.ndarray:
    import mudata

    return np.asarray(mudata.read_h5mu(path).obsm["X_omics"])


def all_kills(n: int, folder: Path, rng: np.random.Generator) -> Iterator[tuple[str, int, int]]:
    """Go through what is killed: its name, kills, and what was wrong afterwards; n kills in all at least."""
    shares: list[tuple[str, float, Callable[[Path, int], tuple[int, int]]]] = [
        (f"train {name}", 0.05 * part, lambda at, k, make=make: training(make, at, k, rng))
        for name, (part, make) in TRAINED.items()
    ]
    shares += [
        (f"save {name}", 0.15, lambda at, k, name=name: saving(name, at, k, rng))
        for name in ("OmicsMLM", "Classifier", "Survival")
    ]
    shares.append(("embed to a file", 0.15, lambda at, k: embedding(at, k, rng)))
    for what, share, act in shares:
        place = folder / what.replace(" ", "-").replace(",", "")
        place.mkdir()
        yield (what, *act(place, max(1, round(share * n))))
