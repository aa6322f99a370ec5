"""Several processes train as one."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed import destroy_process_group, init_process_group
from torch.multiprocessing import spawn

import omicsmlm
from omicsmlm.training import _ranks, current_ranks, gathered, is_first_rank
from omicsmlm.training._ranks import averaged, count_over_ranks
from tests.objects import SMALL, linked_halves

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-4
"""Sums over two halves of a batch round otherwise than over the whole; 30 steps of AdamW let that grow this much."""


PATIENCE = 300
"""Seconds after which a rank that does not end is ended: another one may wait for what it never sends."""


def train(out: Path) -> None:
    """Train on paired cells and on halves that links tie; write weights, history and embedding under the name of the rank."""
    rank = os.environ.get("RANK", "alone")
    halves, links = linked_halves(60)  # what links alone initialise is left out of the training, on every rank alike
    for name, data, table in (
        ("paired", omicsmlm.datasets.simulate_multiome(150, 30, 40), None),
        ("linked", halves, links),
    ):
        model = omicsmlm.OmicsMLM(data, dataclasses.replace(SMALL, dropout=0.0), batch_key="batch", links=table)
        model.train(6, batch_size=32, accelerator="cpu", progress_bar=False, checkpoint_dir=out / name)
        weights = {name: value.numpy() for name, value in model.module.state_dict().items()}
        history = {f"history {name}": frame.to_numpy() for name, frame in model.history.items()}
        np.savez(out / f"{name}-{rank}.npz", embedding=data.obsm["X_omics"], **weights, **history)


def train_ranks(out: Path, n_ranks: int) -> list[int]:
    """Train as several ranks, forked from this process, with the environment that torchrun gives them; return their statuses.

    To start each by torchrun, as the slow tests do, takes ten times as long: it would import everything anew.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": n_ranks, "LOCAL_WORLD_SIZE": n_ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "none"}
    children = []
    for rank in range(n_ranks):
        child = os.fork()
        if child == 0:
            signal.alarm(PATIENCE)
            own = {**shared, "RANK": rank, "LOCAL_RANK": rank}
            os.environ.update({name: str(value) for name, value in own.items()})
            code = 1
            try:
                train(out)
                code = 0
            except BaseException:  # noqa: BLE001 - for the test, which shows it
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]  # of all: none is left behind


@pytest.mark.filterwarnings("ignore:This process")  # has threads, that of pytest-xdist among them, and is forked
def test_two_ranks_give_the_weights_the_history_and_the_embedding_of_one_process(tmp_path):
    assert train_ranks(tmp_path, 2) == [0, 0]
    train(tmp_path)
    for what in ("paired", "linked"):
        alone, *ranks = (np.load(tmp_path / f"{what}-{name}.npz") for name in ("alone", "0", "1"))
        assert set(ranks[0].files) == set(alone.files)
        for name in alone.files:
            assert np.array_equal(ranks[0][name], ranks[1][name]), f"{what}: {name} differs between ranks"
            np.testing.assert_allclose(
                ranks[0][name], alone[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{what}: {name}"
            )
        assert [file.name for file in (tmp_path / what).iterdir()] == ["last.ckpt"]


class Threads:
    """Ranks as threads of one process, with the two operations that they share."""

    def __init__(self, n_ranks):
        self.n_ranks, self.local = n_ranks, threading.local()
        self.barrier, self.given = threading.Barrier(n_ranks), [None] * n_ranks

    def run(self, act):
        """Let each rank act; return what each found, in the order of ranks."""
        found, failed = [None] * self.n_ranks, []

        def as_rank(rank):
            self.local.rank = rank
            try:
                found[rank] = act(rank)
            except Exception as error:  # noqa: BLE001 - raised below, in the thread of the test
                failed.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=as_rank, args=(rank,)) for rank in range(self.n_ranks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return found

    def exchanged(self, part):
        self.given[self.local.rank] = part.clone()
        self.barrier.wait()
        parts = [one.clone() for one in self.given]
        self.barrier.wait()
        return parts

    def all_gather(self, outs, part):
        assert len({tuple(one.shape) for one in self.exchanged(part)}) == 1, "parts have to be of one shape"
        for out, one in zip(outs, self.exchanged(part), strict=True):
            out.copy_(one)

    def all_reduce(self, value):
        value.copy_(sum(self.exchanged(value)))


@pytest.fixture
def threads(monkeypatch):
    made = Threads(3)
    monkeypatch.setattr(_ranks, "all_gather", made.all_gather)
    monkeypatch.setattr(_ranks, "all_reduce", made.all_reduce)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_parts_of_unequal_size_stand_in_the_order_of_ranks(threads, dtype):
    parts = [(torch.arange(rank * 4).view(-1, 2) + rank).to(dtype) for rank in range(3)]  # 0, 2 and 4 rows
    found = threads.run(lambda rank: gathered(parts[rank], 3))
    for one in found:
        assert torch.equal(one, torch.cat(parts))
        assert one.dtype == dtype


def test_numbers_are_added_and_averaged_over_ranks(threads):
    values = [torch.tensor([1.0, 10.0]), torch.tensor([2.0, 20.0]), torch.tensor([6.0, 60.0])]
    for one in threads.run(lambda rank: averaged(values[rank], 3)):
        assert one.tolist() == [3, 30]
    assert values[0].tolist() == [1, 10], "what is given stays"
    for one in threads.run(lambda rank: count_over_ranks(rank + 1, 3, torch.device("cpu"))):
        assert (int(one), one.dtype) == (6, torch.int64)
    assert count_over_ranks(4, 1, torch.device("cpu")) == 4
    assert averaged(values[1], 1) is values[1]


def test_alone_a_process_is_the_first_of_one():
    assert current_ranks(torch.device("cpu")) == (0, 1, torch.device("cpu"))
    assert is_first_rank()


def test_among_several_the_first_one_writes(monkeypatch):
    monkeypatch.setattr(_ranks, "is_initialized", lambda: True)
    monkeypatch.setattr(_ranks, "get_world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(_ranks, "get_rank", lambda rank=rank: rank)
        assert current_ranks(torch.device("cpu"))[:2] == (rank, 3)
        assert is_first_rank() == (rank == 0)


def _gather(rank, file, out):
    init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=3)
    part = torch.arange(rank * 4.0).view(-1, 2) + rank  # 0, 2 and 4 rows
    torch.save(gathered(part, 3), f"{out}/{rank}.pt")
    destroy_process_group()


@pytest.mark.slow
def test_parts_of_unequal_size_are_gathered_from_processes(tmp_path):
    spawn(_gather, (tmp_path / "store", tmp_path), nprocs=3)
    expected = torch.cat([torch.arange(rank * 4.0).view(-1, 2) + rank for rank in range(3)])
    for rank in range(3):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt"), expected)


@pytest.mark.parametrize("n", [0, 3])
def test_alone_there_is_nothing_to_gather(n):
    part = torch.randn(n, 2)
    assert gathered(part, 1) is part


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["alone", "torchrun", "slurm"])
def test_the_script_of_the_docs_trains_and_goes_on(launcher, tmp_path):
    from anndata import read_h5ad

    from omicsmlm.datasets import simulate_multiome

    rna = simulate_multiome(300, 30, 40)["rna"].copy()
    n_obs = rna.n_obs
    rna.obs["batch"] = np.arange(rna.n_obs) % 2
    rna.write_h5ad(tmp_path / "cells.h5ad")
    script = [str(ROOT / "docs" / "scripts" / "train.py"), "cells.h5ad", "embedded.h5ad"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    job = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
    job |= {"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost", "MASTER_PORT": "29511"}
    for _ in range(2):  # the second time it goes on from the end of the first
        if launcher == "slurm":
            tasks = [
                subprocess.Popen(
                    [sys.executable, *script],
                    cwd=tmp_path,
                    env=environment | job | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
                )
                for rank in (0, 1)
            ]
            assert [task.wait(timeout=300) for task in tasks] == [0, 0]
        else:
            run = ["-m", "torch.distributed.run", "--nproc-per-node", "2"] if launcher == "torchrun" else []
            subprocess.run([sys.executable, *run, *script], check=True, cwd=tmp_path, env=environment, timeout=300)
        embedded = read_h5ad(tmp_path / "embedded.h5ad")
        assert embedded.obsm["X_omics"].shape == (n_obs, 80)
        assert np.isfinite(embedded.obsm["X_omics"]).all()
        model = omicsmlm.OmicsMLM.load(tmp_path / "model")
        np.testing.assert_allclose(model.get_latent_representation(rna), embedded.obsm["X_omics"], atol=1e-4)
