"""Several processes train as one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed import destroy_process_group, init_process_group
from torch.multiprocessing import spawn

import omicsmlm
from omicsmlm.training import gathered

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-4
"""Sums over two halves of a batch round otherwise than over the whole; 30 steps of AdamW let that grow this much."""


def train(out, *launcher):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, *launcher, str(Path(__file__).with_name("ranks_script.py")), str(out)]
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)


def test_two_ranks_give_the_weights_the_history_and_the_embedding_of_one_process(tmp_path):
    train(tmp_path)
    train(tmp_path, "-m", "torch.distributed.run", "--nproc-per-node", "2")
    alone, *ranks = (np.load(tmp_path / f"{name}.npz") for name in ("alone", "0", "1"))
    assert set(ranks[0].files) == set(alone.files)
    for name in alone.files:
        assert np.array_equal(ranks[0][name], ranks[1][name]), f"{name} differs between ranks"
        np.testing.assert_allclose(ranks[0][name], alone[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


def _gather(rank, file, out):
    init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=3)
    part = torch.arange(rank * 4.0).view(-1, 2) + rank  # 0, 2 and 4 rows
    torch.save(gathered(part, 3), f"{out}/{rank}.pt")
    destroy_process_group()


def test_parts_of_unequal_size_are_gathered_in_the_order_of_ranks(tmp_path):
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
