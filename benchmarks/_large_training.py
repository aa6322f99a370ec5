"""Train OmicsMLM by default from one file, or fit PCA and Harmony to it, and say what it cost; ``scale.py`` calls this.

    python benchmarks/_large_training.py FILE OUT [--method omicsmlm | baselines] [--seed 0] [--in-memory]

OUT.npz: the embeddings of the rows marked ``obs["evaluated"]``, by name, and the names of these rows (``cells``). OUT.json: minutes and memory.
"""

import argparse
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import anndata as ad
import numpy as np

MIB = 2**20


def private() -> int:
    """Bytes of this process that are in memory and in no file (``RssAnon`` and ``RssShmem``)."""
    with open("/proc/self/status") as status:
        kib = {line.split(":")[0]: line.split()[1] for line in status if line.startswith(("RssAnon", "RssShmem"))}
    return 1024 * sum(map(int, kib.values()))


class Watch:
    """Minutes and the highest private memory of each phase of this process."""

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, float]] = {}
        self._highest = 0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self._highest = max(self._highest, private())
            time.sleep(0.05)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what follows."""
        self._highest, wall, cpu = private(), time.monotonic(), time.process_time()
        yield
        self.phases[name] = {
            "wall": (time.monotonic() - wall) / 60,
            "cpu": (time.process_time() - cpu) / 60,
            "peak": max(self._highest, private()) / MIB,
        }
        print(f"  {name}: {self.phases[name]}", flush=True)


def trained(file: Path, seed: int, in_memory: bool) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Construct, train, embed; each a phase."""
    watch = Watch()
    with watch.phase("import"):
        from omicsmlm import OmicsMLM, OmicsMLMConfig
    with watch.phase("open"):
        adata = ad.read_h5ad(file, backed=None if in_memory else "r")
        evaluated_n = np.flatnonzero(adata.obs["scored"])
    with watch.phase("construction"):
        model = OmicsMLM(adata, OmicsMLMConfig(seed=seed), batch_key="batch")
    with watch.phase("untrained start"):
        start_nd = model.get_latent_representation(indices=evaluated_n)
    with watch.phase("training"):
        model.train(key_added=None, progress_bar=False)
    with watch.phase("embedding"):
        embedding_nd = model.get_latent_representation()
    history = {name: frame[name].astype(float).tolist() for name, frame in model.history.items()}
    embeddings = {"start": start_nd, "trained": embedding_nd[evaluated_n], "cells": names(adata, evaluated_n)}
    return embeddings, {"phases": watch.phases, "history": history}


def names(adata: ad.AnnData, rows_n: np.ndarray) -> np.ndarray:
    """Give the names of some rows."""
    return adata.obs_names[rows_n].to_numpy(dtype=str)


def baselines(file: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """PCA and Harmony of all rows, in memory."""
    from omicsmlm.evaluation import baselines

    watch = Watch()
    with watch.phase("open"):
        adata = ad.read_h5ad(file)
        evaluated_n = np.flatnonzero(adata.obs["scored"])
    with watch.phase("PCA"):
        pca_nd = baselines.pca(adata, 50)
    with watch.phase("Harmony"):
        harmony_nd = baselines.harmony(adata, "batch")
    embeddings = {"PCA": pca_nd[evaluated_n], "Harmony": harmony_nd[evaluated_n], "cells": names(adata, evaluated_n)}
    return embeddings, {"phases": watch.phases}


def main() -> None:
    """Do it and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--method", choices=["omicsmlm", "baselines"], default="omicsmlm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--in-memory", action="store_true")
    arguments = parser.parse_args()
    if arguments.method == "omicsmlm":
        embeddings, report = trained(arguments.file, arguments.seed, arguments.in_memory)
    else:
        embeddings, report = baselines(arguments.file)
    np.savez(arguments.out.with_suffix(".npz"), **embeddings)
    arguments.out.with_suffix(".json").write_text(json.dumps(report))  # the last: its presence says that all is there


if __name__ == "__main__":
    main()
