"""Rows per CPU-second of reading minibatches from files, beside random rows, annbatch, and AnnDataLoader in memory.

python benchmarks/disk.py [--n-obs 30000] [--repeats 3] [--part rows|collection|memory|peak]

Ratios are taken in one process, interleaved, by CPU time; the median of the repeats is shown.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp

from omicsmlm import datasets
from omicsmlm.data import OmicsManager, observation_loader
from omicsmlm.data._packing import pack_csr

BATCH = 128
SETS = {"5,000 genes, 250 values a row": (5_000, 250), "20,000 genes, 1,500 values a row": (20_000, 1_500)}
PEAK_OBS, PEAK_GENES, PEAK_VALUES = (50_000, 250_000), 5_000, 50


def write(path: Path, n_obs: int, n_genes: int, n_values: int) -> None:
    """Write counts with as many values in each row, at random genes."""
    rng = np.random.default_rng(0)
    first = (np.arange(n_values) * n_genes // n_values).astype(np.int32)
    indices = np.empty((n_obs, n_values), np.int32)
    for start in range(0, n_obs, 2000):
        part = indices[start : start + 2000]
        part[:] = first + rng.integers(0, n_genes // n_values, part.shape, dtype=np.int32)
    data = (1 + rng.poisson(1.0, indices.size)).astype(np.float32)
    indptr = np.arange(n_obs + 1, dtype=np.int64) * n_values
    adata = ad.AnnData(sp.csr_matrix((data, indices.ravel(), indptr), shape=(n_obs, n_genes)))
    adata.obs["batch"] = np.array(["a", "b"])[np.arange(n_obs) % 2]
    adata.obs["batch"] = adata.obs["batch"].astype("category")
    adata.write_h5ad(path)


def manager_of(adata: ad.AnnData) -> OmicsManager:
    """Register an object as a model would."""
    setup = {"modalities": ["rna"], "layers": None, "kinds": None, "covariate_keys": ["batch"]}
    manager = OmicsManager.define(setup, "Benchmark", "setup")
    manager.register_fields(adata)
    return manager


def ours(manager: OmicsManager, epoch: int, n_ahead: int = 0) -> int:
    """Go through an epoch of our loader."""
    loader = observation_loader(manager, np.arange(manager.adata.n_obs), BATCH, seed=0, n_ahead=n_ahead)
    loader.sampler.set_epoch(epoch)
    return sum(len(batch.indices) for batch in loader)


def random_rows(adata: ad.AnnData, epoch: int, n: int = 4096) -> int:
    """Read random rows by the index of the backed matrix and pack them: what the loader did before."""
    values, lut = adata.X, np.arange(adata.n_vars, dtype=np.int32)
    order = np.random.default_rng(epoch).permutation(adata.n_obs)[:n]
    for start in range(0, n, BATCH):
        wanted, position = np.unique(order[start : start + BATCH], return_inverse=True)
        block = values[wanted]
        pack_csr(block.indptr, block.indices, block.data, position, lut)
    return n


def annbatch_rows(path: Path, chunk_size: int, preload: int) -> int:
    """Go through an epoch of annbatch's own loader."""
    import annbatch

    options = {"batch_size": BATCH, "chunk_size": chunk_size, "preload_nchunks": preload, "shuffle": True}
    loader = annbatch.Loader(**options, preload_to_gpu=False, to=None)
    return sum(batch["X"].shape[0] for batch in loader.use_collection(annbatch.DatasetCollection(path, mode="r")))


def scvi_rows(adata_manager: object, sparse: bool) -> int:
    """Go through an epoch of scvi-tools' AnnDataLoader."""
    from scvi.dataloaders import AnnDataLoader

    loader = AnnDataLoader(adata_manager, batch_size=BATCH, shuffle=True, load_sparse_tensor=sparse)
    return sum(batch["X"].shape[0] for batch in loader)


def compare(title: str, runs: dict[str, Callable[[int], int]], repeats: int) -> None:
    """Print rows per CPU-second of each run, and how many times the others the first one is."""
    for run in runs.values():  # compile, and fill the page cache
        run(0)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for k in range(repeats):
        for name, run in runs.items():
            cpu = time.process_time()
            n = run(k)
            rates[name].append(n / (time.process_time() - cpu))
    first = np.array(next(iter(rates.values())))
    print(f"\n{title}")
    for name, found in rates.items():
        ratio = np.median(first / np.array(found))
        print(f"  {name:<44} {np.median(found):>10,.0f} rows/CPU-s   ours is {ratio:5.2f} x", flush=True)


def rows_part(folder: Path, n_obs: int, repeats: int) -> None:
    """Compare a backed file with random rows of it."""
    for k, (title, (n_genes, n_values)) in enumerate(SETS.items()):
        write(folder / f"{k}.h5ad", n_obs, n_genes, n_values)
        adata = ad.read_h5ad(folder / f"{k}.h5ad", backed="r")
        manager, files = manager_of(adata), manager_of(datasets.open_files(folder / f"{k}.h5ad"))
        runs = {
            "ours, backed h5ad": lambda e, m=manager: ours(m, e),
            "ours, reading ahead": lambda e, m=manager: ours(m, e, 4),
            "ours, open_files": lambda e, m=files: ours(m, e),
            "random rows (before)": lambda e, a=adata: random_rows(a, e),
        }
        compare(title, runs, repeats)


def collection_part(folder: Path, n_obs: int, repeats: int) -> None:
    """Compare with annbatch's loader on one collection."""
    for k, (title, (n_genes, n_values)) in enumerate(SETS.items()):
        source, out = folder / f"c{k}.h5ad", folder / f"c{k}.zarr"
        write(source, n_obs, n_genes, n_values)
        datasets.write_collection(source, out)
        manager = manager_of(datasets.open_files(out))
        runs = {
            "ours, open_files of a collection": lambda e, m=manager: ours(m, e),
            "annbatch, 32 chunks of 512 (default)": lambda e, p=out: annbatch_rows(p, 512, 32),
            "annbatch, 32 chunks of 64": lambda e, p=out: annbatch_rows(p, 64, 32),
        }
        compare(f"collection: {title}", runs, repeats)


def memory_part(folder: Path, n_obs: int, repeats: int) -> None:
    """Compare loaders in memory."""
    import scvi

    for k, (title, (n_genes, n_values)) in enumerate(SETS.items()):
        write(folder / f"m{k}.h5ad", min(n_obs, 20_000), n_genes, n_values)
        adata = ad.read_h5ad(folder / f"m{k}.h5ad")
        manager, other = manager_of(adata), adata.copy()
        scvi.model.SCVI.setup_anndata(other, batch_key="batch")
        scvi_manager = scvi.model.SCVI(other).adata_manager
        runs = {
            "ours": lambda e, m=manager: ours(m, e),
            "ours, reading ahead": lambda e, m=manager: ours(m, e, 4),
            "AnnDataLoader, dense": lambda e, m=scvi_manager: scvi_rows(m, False),
            "AnnDataLoader, sparse tensors": lambda e, m=scvi_manager: scvi_rows(m, True),
        }
        compare(f"in memory: {title}", runs, repeats)


PEAK = """
import sys, psutil, numpy as np, anndata as ad
sys.path.insert(0, {here!r})
import disk
process, path = psutil.Process(), sys.argv[1]
def private():
    found = process.memory_full_info()
    return found.uss
small = ad.read_h5ad(sys.argv[2], backed="r"); disk.ours(disk.manager_of(small), 0)  # compile
adata = ad.read_h5ad(path, backed="r")
before = peak = private()
manager = disk.manager_of(adata)
peak = max(peak, private())
loader = disk.row_loader(manager, np.arange(adata.n_obs), 128, seed=0)
for k, batch in enumerate(loader):
    if k % 50 == 0: peak = max(peak, private())
print(before, peak)
"""


def peak_part(folder: Path) -> None:
    """Print how much private memory registration and an epoch take for each row that is added, beyond the user's obs."""
    taken = []
    write(folder / "compile.h5ad", 2_000, PEAK_GENES, PEAK_VALUES)
    for n_obs in PEAK_OBS:
        path = folder / f"p{n_obs}.h5ad"
        write(path, n_obs, PEAK_GENES, PEAK_VALUES)
        code = PEAK.format(here=str(Path(__file__).parent))
        command = [sys.executable, "-c", code, str(path), str(folder / "compile.h5ad")]
        before, peak = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        taken.append(peak - before)
        print(
            f"\n{n_obs:,} rows: {before / 2**20:,.0f} MiB private once opened, at most {peak / 2**20:,.0f} MiB in an epoch"
        )
    kib = (taken[1] - taken[0]) / (PEAK_OBS[1] - PEAK_OBS[0]) / 1024
    print(f"{kib:.3f} KiB for each further row (registration, dataset, sampler, one epoch)")


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-obs", type=int, default=30_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--part", choices=["rows", "collection", "memory", "peak"], default=None)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.part in (None, "rows"):
            rows_part(folder, options.n_obs, options.repeats)
        if options.part in (None, "memory"):
            memory_part(folder, options.n_obs, options.repeats)
        if options.part in (None, "peak"):
            peak_part(folder)
        if options.part in (None, "collection"):
            collection_part(folder, options.n_obs, options.repeats)


if __name__ == "__main__":
    main()
