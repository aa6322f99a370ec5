"""What it costs to make a model of a common multiome, and to start: CPU and wall seconds, and memory.

    OMP_NUM_THREADS=1 python benchmarks/construction.py
    python benchmarks/construction.py --cells 10000 --genes 20000 --peaks 100000 --family OmicsMLM
    python benchmarks/construction.py --start-up

The multiome is simulated: 12 types in 2 batches, and a programme of its own in each cell; about 1,500 genes and 4,000 peaks of
a cell are not zero. Memory is that of this process: resident before the model is made, and the most while it is made.
"""

import argparse
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

N_TYPES, N_BATCHES, N_PROGRAMMES = 12, 2, 8
BLOCK = 500
"""Cells that are drawn at once."""
START_UP = {
    "import omicsmlm": ["-c", "import omicsmlm"],
    "omicsmlm --help": ["-m", "omicsmlm._cli", "--help"],
    "omicsmlm embed --help": ["-m", "omicsmlm._cli", "embed", "--help"],
    "omicsmlm --version": ["-m", "omicsmlm._cli", "--version"],
}


def draw(
    n_cells: int, n_features: int, n_draws: int, codes: pd.DataFrame, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Draw counts: of each cell, ``n_draws`` or so, by the profile of its type in its batch and by that of its programme."""
    mean_g = rng.gamma(0.6, size=n_features)
    profiles_pg = mean_g * np.exp(0.5 * rng.standard_normal((N_TYPES * N_BATCHES + N_PROGRAMMES, n_features)))
    profiles_pg[: N_TYPES * N_BATCHES] *= np.repeat(
        np.exp(0.3 * rng.standard_normal((N_BATCHES, n_features))), N_TYPES, axis=0
    )
    cumulative_pg = profiles_pg.cumsum(1)
    cumulative_pg /= cumulative_pg[:, -1:]
    own_n = (codes["batch"] * N_TYPES + codes["type"]).to_numpy()
    blocks = []
    for first in range(0, n_cells, BLOCK):
        cells = np.arange(first, min(first + BLOCK, n_cells))
        depth_n = np.maximum(1, (n_draws * rng.lognormal(0, 0.25, len(cells))).astype(int))
        cell_t, uniform_t = np.repeat(np.arange(len(cells)), depth_n), rng.random(depth_n.sum())
        programme_t = rng.random(len(cell_t)) < codes["share"].to_numpy()[cells][cell_t]
        profile_t = np.where(
            programme_t, N_TYPES * N_BATCHES + codes["programme"].to_numpy()[cells][cell_t], own_n[cells][cell_t]
        )
        feature_t = np.empty(len(cell_t), dtype=np.int32)
        for profile in np.unique(profile_t):
            at = profile_t == profile
            feature_t[at] = np.searchsorted(cumulative_pg[profile], uniform_t[at])
        ones_t = np.ones(len(cell_t), dtype=np.float32)
        blocks.append(sparse.coo_matrix((ones_t, (cell_t, feature_t)), shape=(len(cells), n_features)).tocsr())
    return sparse.vstack(blocks, format="csr")


def simulate(n_cells: int, n_genes: int, n_peaks: int, seed: int = 0) -> MuData:
    """Simulate a multiome, every cell with both modalities."""
    rng = np.random.default_rng(seed)
    codes = pd.DataFrame(
        {
            "batch": rng.integers(0, N_BATCHES, n_cells),
            "type": rng.integers(0, N_TYPES, n_cells),
            "programme": rng.integers(0, N_PROGRAMMES, n_cells),
            "share": rng.beta(1, 2, n_cells),
        }
    )
    obs = pd.DataFrame({"batch": codes["batch"].map(str).to_numpy()}, index=[f"cell{i}" for i in range(n_cells)])
    mods = {}
    for name, size, n_draws in (("rna", n_genes, 2200), ("atac", n_peaks, 4200)):
        var = pd.DataFrame(index=[f"{name}{j}" for j in range(size)])
        mods[name] = AnnData(draw(n_cells, size, n_draws, codes, rng), obs=obs.copy(), var=var)
    mdata = MuData(mods)
    mdata.obs["batch"] = obs["batch"]
    return mdata


def memory(key: str) -> float:
    """Read this process's memory from Linux, GiB: ``VmRSS`` now, ``VmHWM`` the most since it was last forgotten."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 2**20


def seconds(command: list[str]) -> tuple[float, float]:
    """Run Python and give the CPU and wall seconds it took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - began


def start_up() -> None:
    """Print the least of three."""
    for name, command in START_UP.items():
        cpu, wall = min(seconds(command) for _ in range(3))
        print(f"{name:24} {cpu:6.2f} s CPU  {wall:6.2f} s")


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--peaks", type=int, default=100_000)
    parser.add_argument("--family", default="OmicsMLM", choices=["OmicsMLM", "ScMBERT", "TxFM"])
    parser.add_argument(
        "--start-up", action="store_true", help="only what it costs to import the package and to ask for help"
    )
    parser.add_argument(
        "--save", type=Path, help="file for the embedding of the untrained model, to compare two versions"
    )
    arguments = parser.parse_args()
    if arguments.start_up:
        start_up()
        return
    mdata = simulate(arguments.cells, arguments.genes, arguments.peaks)
    stored = sum(part.X.data.nbytes + part.X.indices.nbytes for part in mdata.mod.values()) / 2**30
    non_zero = ", ".join(f"{part.X.nnz / part.n_obs:,.0f} {name}" for name, part in mdata.mod.items())
    print(f"{mdata.n_obs:,} cells; not zero in a cell: {non_zero}; {stored:.2f} GiB of values")
    import omicsmlm

    logging.disable()
    model_class = getattr(omicsmlm, arguments.family)
    data, small = (
        (mdata["rna"], simulate(300, 100, 100)["rna"])
        if arguments.family == "TxFM"
        else (mdata, simulate(300, 100, 100))
    )
    model_class(small, batch_key="batch")  # compiles and imports what is compiled and imported once
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    cpu, wall = time.process_time(), time.perf_counter()
    model = model_class(data, batch_key="batch")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        f"{arguments.family}: {cpu:.1f} s CPU, {wall:.1f} s; memory {before:.2f} GiB before, most {memory('VmHWM'):.2f} GiB"
    )
    if arguments.save:
        np.save(arguments.save, model.get_latent_representation())


if __name__ == "__main__":
    main()
