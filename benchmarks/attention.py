"""Does latent attention pay? OmicsMLM with 0, 1 and 2 latent layers, on every set and on a simulation.

    OMICSMLM_DATA=../shared/data python benchmarks/attention.py [--sets pbmc_3tech …] [--layers 0 1 2] [--seeds 0]

Prints scib-metrics' total, bio and batch, the linear and the k-NN probe, and the CPU-seconds of each training.
"""

import argparse
import time

import numpy as np
import pandas as pd

import omicsmlm

SIMULATED = "simulated_50k"
SETS = ["pbmc_3tech", "mixology", "teaseq", "snareseq", SIMULATED]
N_SCORED = 10_000
"""Rows of the simulation that are scored; all are trained on."""


def load(name: str):
    """Load a set, or simulate 50,000 rows of 2,000 genes."""
    if name == SIMULATED:
        return omicsmlm.datasets.simulate_rna(50_000, 2000, density=0.08, n_types=12, n_batches=3)
    return omicsmlm.datasets.load(name)


def scores(data, z_nd: np.ndarray, batch_key: str | None) -> dict[str, float]:
    """Score an embedding on at most ``N_SCORED`` rows, without the miscellaneous type."""
    labels = data.obs["cell_type"].astype(str).to_numpy()
    kept = np.flatnonzero(labels != "Mis")
    kept = np.sort(np.random.default_rng(0).permutation(kept)[:N_SCORED])
    part = data[kept].copy()
    table = omicsmlm.evaluation.benchmark(part, {"ours": z_nd[kept]}, batch_key, "cell_type").loc["ours"]
    groups = None if batch_key is None else part.obs[batch_key].to_numpy()
    probe = omicsmlm.evaluation.probe(z_nd[kept], labels[kept], groups)
    return {
        "total": table["Total"],
        "bio": table["Bio conservation"],
        "batch": table.get("Batch correction", np.nan),
        "linear": probe.loc[("linear", "mean"), "accuracy"],
        "k-NN": probe.loc[("k-NN", "mean"), "accuracy"],
    }


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--layers", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    rows = []
    for name in arguments.sets:
        data = load(name)
        batch_key = "batch" if "batch" in data.obs else None
        for n_layers in arguments.layers:
            for seed in arguments.seeds:
                config = omicsmlm.OmicsMLMConfig(n_attention_layers=n_layers, seed=seed)
                model = omicsmlm.OmicsMLM(data, config, batch_key=batch_key)
                cpu = time.process_time()
                model.train(key_added=None, progress_bar=False)
                cpu = time.process_time() - cpu
                found = scores(data, model.get_latent_representation(), batch_key)
                rows.append({"set": name, "layers": n_layers, "seed": seed, **found, "CPU-s": cpu})
                print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False), flush=True)
    table = pd.DataFrame(rows).drop(columns="seed").groupby(["set", "layers"], sort=False)
    print("\nmean over seeds", arguments.seeds)
    print(table.mean().round(3).to_string())


if __name__ == "__main__":
    main()
