"""Trains a small OmicsMLM of paired cells and one of halves that links tie, alone or as several ranks; writes what came of it.

python ranks_script.py OUT [N_RANKS]

The ranks are forked from one process that has imported everything, with the environment that torchrun gives them: to start each
one by torchrun, as the slow tests do, takes twice as long.
"""

import dataclasses
import os
import socket
import sys
from pathlib import Path

import numpy as np

import omicsmlm
from omicsmlm import OmicsMLM
from tests.objects import SMALL, linked_halves


def train(out: Path) -> None:
    """Train, and write weights, history and embedding under the name of the rank."""
    rank = os.environ.get("RANK", "alone")
    halves, links = linked_halves(60)  # what links alone initialise is left out of the training, on every rank alike
    for name, data, table in (
        ("paired", omicsmlm.datasets.simulate_multiome(150, 30, 40), None),
        ("linked", halves, links),
    ):
        model = OmicsMLM(data, dataclasses.replace(SMALL, dropout=0.0), batch_key="batch", links=table)
        model.train(6, batch_size=32, accelerator="cpu", progress_bar=False, checkpoint_dir=out / name)
        weights = {name: value.numpy() for name, value in model.module.state_dict().items()}
        history = {f"history {name}": frame.to_numpy() for name, frame in model.history.items()}
        np.savez(out / f"{name}-{rank}.npz", embedding=data.obsm["X_omics"], **weights, **history)


def train_ranks(out: Path, n_ranks: int) -> None:
    """Train as several ranks; exit with an error if one of them does not come to its end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": n_ranks, "LOCAL_WORLD_SIZE": n_ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "none"}
    children = []
    for rank in range(n_ranks):
        child = os.fork()
        if child == 0:
            own = {**shared, "RANK": rank, "LOCAL_RANK": rank}
            os.environ.update({name: str(value) for name, value in own.items()})
            code = 1
            try:
                train(out)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]  # of all: none is left behind
    if any(statuses):
        sys.exit("a rank failed")


if len(sys.argv) > 2:
    train_ranks(Path(sys.argv[1]), int(sys.argv[2]))
else:
    train(Path(sys.argv[1]))
