"""From 10,000 to 1,000,000 rows in a file: what default training costs, and how good the embedding of the same 10,000 is.

    OMP_NUM_THREADS=1 python benchmarks/scale.py [--sizes 10000 100000 1000000] [--seed 0] [--data DIR] [--resampled]
                                                 [--model-seeds 0] [--in-memory] [--baselines 10000 100000] [--no-scores] [--again]

For each size a file is written if it is not there (``_large_simulation.py``: 20,000 genes, 8 batches, 12 types, 3.4 % of the
counts not zero; with --resampled pbmc_3tech, its rows drawn anew with half of their molecules), and OmicsMLM is trained from
it by default in a process of its own (``anndata.read_h5ad(file, backed="r")``). The first table has the minutes of wall and
of CPU and the highest private memory (pages that are in no file) of each phase, and bytes for each row beyond 100,000 without
and with the embedding of all rows. The second has the scib scores on the 10,000 rows that every file has, beside PCA and
Harmony fitted to all rows of the sizes of --baselines, and beside the untrained start; a k-means of one start moves scib's
total by several hundredths between nearly equal embeddings, so the first column has the mean over ten. What is done is kept
in DIR and not done again; with --again the trainings are. A file of a million rows takes 5.4 GB.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from _large_simulation import BLOCK, N_SCORED, Rows, simulate, write
from _tables import shown, verdict

from omicsmlm import datasets, evaluation

PHASES = ["construction", "training", "embedding"]
STEADY, N_STEADY = "Total, steady k-means", 10
SCORES = [STEADY, "Total", "Bio conservation", "Batch correction"]
LIMIT_MIB, ROW_BYTES, ROW_BYTES_WITHOUT, SLACK = 4096, 1024, 307, 0.01
FROM = 100_000
"""Rows beyond which memory is counted by the row."""


def thinned(source: ad.AnnData, rows_n: np.ndarray, cells_n: np.ndarray, seed: int) -> Iterator[Rows]:
    """Draw half of the molecules of some rows, by the number of the cell, a block at a time."""
    for first in range(0, len(rows_n), BLOCK):
        block = source.X[rows_n[first : first + BLOCK]]
        counts_p = block.data.astype(np.int64)
        for i, cell in enumerate(cells_n[first : first + BLOCK].tolist()):
            of_obs = slice(*block.indptr[i : i + 2])
            block.data[of_obs] = np.random.default_rng([seed, 3, cell]).binomial(counts_p[of_obs], 0.5)
        block.eliminate_zeros()
        yield Rows(block.data, block.indices, np.diff(block.indptr))


def resample(file: Path, n_obs: int, seed: int) -> int:
    """Write rows of pbmc_3tech, drawn with repetition and thinned, by batch; give the number of stored values.

    As with the simulated cells, those of a smaller file are also in a larger one, and the first ones are scored.
    """
    source = datasets.pbmc_3tech()
    source.X.sort_indices()
    drawn_n = np.random.default_rng([seed, 1]).integers(source.n_obs, size=n_obs)
    shuffled_n = np.random.default_rng([seed, 2]).random(n_obs)
    order_n = np.lexsort((shuffled_n, source.obs["batch"].astype("category").cat.codes.to_numpy()[drawn_n]))
    obs = source.obs[["batch", "cell_type"]].iloc[drawn_n[order_n]]
    obs = obs.assign(evaluated=order_n < N_SCORED).set_axis([f"cell_{i}" for i in order_n])
    return write(file, obs, list(source.var_names), thinned(source, drawn_n[order_n], order_n, seed))


def made(folder: Path, n_obs: int, arguments: argparse.Namespace) -> Path:
    """Give the file of that size, written if it is not there."""
    file = folder / f"{n_obs}.h5ad"
    if not file.exists():
        start = time.monotonic()
        n_stored = (resample if arguments.resampled else simulate)(file, n_obs, arguments.seed)
        spent, size = time.monotonic() - start, file.stat().st_size / 1e9
        print(f"{file}: {n_stored / n_obs:.0f} values a row, {size:.2f} GB, written in {spent:.0f} s", flush=True)
    return file


def done(file: Path, out: Path, *options: str) -> bool:
    """Let a process of its own train or fit; tell whether it came to its end, now or before."""
    if not out.with_suffix(".json").exists():
        print(f"{out.name}:", flush=True)
        script = Path(__file__).with_name("_large_training.py")
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        found = subprocess.run([sys.executable, str(script), str(file), str(out), *options], env=environment)
        if found.returncode:
            print(f"{out.name}: failed with {found.returncode}", flush=True)
            return False
    return True


def costs(reports: dict[int, dict[str, Any]]) -> list[str]:
    """Give lines: minutes and memory by size, bytes a row, and what of the goals is reached."""
    lines = [f"{'rows':>10} " + "".join(f"{phase + ' min wall, CPU':>28}{'peak MiB':>10}" for phase in PHASES)]
    for n_obs, report in reports.items():
        phases = [report["phases"][name] for name in PHASES]
        lines.append(
            f"{n_obs:>10,} " + "".join(f"{p['wall']:>20.2f}{p['cpu']:>8.2f}{p['peak']:>10.0f}" for p in phases)
        )
    peaks = {n: [r["phases"][name]["peak"] for name in PHASES] for n, r in reports.items()}
    for n_obs in (n for n in reports if n > FROM and FROM in reports):
        for what, last, goal in (("without", 2, ROW_BYTES_WITHOUT), ("with", 3, ROW_BYTES)):
            by_row = (max(peaks[n_obs][:last]) - max(peaks[FROM][:last])) * 2**20 / (n_obs - FROM)
            lines.append(
                verdict(by_row <= goal, f"{by_row:.0f} bytes for each row beyond {FROM:,} {what} the embedding")
            )
        lines.append(
            verdict(max(peaks[n_obs]) < LIMIT_MIB, f"{max(peaks[n_obs]):.0f} MiB in all, wanted < {LIMIT_MIB}")
        )
    return lines


def evaluated(file: Path, embeddings: dict[str, list[np.ndarray]]) -> pd.DataFrame:
    """Score embeddings of the scored rows of a file, in its order, with scib-metrics; several of a name by their mean."""
    backed = ad.read_h5ad(file, backed="r")
    rows = backed[backed.obs["scored"].to_numpy()].to_memory()
    numbered = {f"{name}|{i}": part for name, parts in embeddings.items() for i, part in enumerate(parts)}
    table = evaluation.benchmark(rows, numbered, "batch", "cell_type").loc[list(numbered)]
    label_n, bio = rows.obs["cell_type"].astype(str).to_numpy(), table["Bio conservation"]
    found = pd.DataFrame({name: agreement(part_nd, label_n) for name, part_nd in numbered.items()}).T
    kinds = pd.Series(table.attrs["kinds"]).drop(table.attrs["undefined"])
    n_bio = (kinds == "Bio conservation").sum()
    steady = bio + (found - table[list(found)]).sum(axis=1) / n_bio
    table[STEADY] = 0.6 * steady + 0.4 * table["Batch correction"]
    return table.set_axis(table.index.str.split("|").str[0])


def agreement(embedding_nd: np.ndarray, label_n: np.ndarray) -> dict[str, float]:
    """Give the means of scib's two scores of k-means (as many clusters as types, one start) over ten starts."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    n_types, scores = len(np.unique(label_n)), []
    for start in range(N_STEADY):
        found_n = KMeans(n_types, n_init=1, random_state=start).fit_predict(embedding_nd)
        scores.append((normalized_mutual_info_score(label_n, found_n), adjusted_rand_score(label_n, found_n)))
    nmi, ari = np.mean(scores, axis=0)
    return {"KMeans NMI": nmi, "KMeans ARI": ari}


def collected(outs: dict[str, tuple[int, Path]]) -> dict[str, list[np.ndarray]]:
    """Read the embeddings of all runs, by the name that they have in the table; all are of the same cells in one order."""
    found: dict[str, list[np.ndarray]] = {}
    order = None
    for n_obs, out in outs.values():
        parts = dict(np.load(out.with_suffix(".npz")))
        cells_n = parts.pop("cells")
        assert order is None or np.array_equal(order, cells_n), f"{out}: other cells are scored"
        order = cells_n
        for name, part_nd in parts.items():
            shown_as = {"trained": "OmicsMLM", "start": "OmicsMLM untrained"}.get(name, name)
            found.setdefault(f"{shown_as}, {n_obs:,} rows", []).append(part_nd)
    return found


def main() -> None:
    """Write, train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--baselines", type=int, nargs="*", default=[10_000, 100_000], help="sizes for PCA and Harmony")
    parser.add_argument("--seed", type=int, default=0, help="of the files")
    parser.add_argument("--model-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", type=Path, default=Path("/tmp/omicsmlm-scale"))
    parser.add_argument("--resampled", action="store_true")
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--no-scores", action="store_true")
    parser.add_argument("--again", action="store_true", help="train anew (after a change of the model)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    folder = arguments.data / f"{'pbmc_3tech' if arguments.resampled else 'simulated'}-{arguments.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    outs, memory = {}, ["--in-memory"] if arguments.in_memory else []
    for n_obs in sorted({*arguments.sizes, *arguments.baselines}):
        file = made(folder, n_obs, arguments)
        for seed in arguments.model_seeds if n_obs in arguments.sizes else []:
            out = folder / f"{n_obs}-omicsmlm-{seed}{'-in-memory' * arguments.in_memory}"
            if arguments.again:
                out.with_suffix(".json").unlink(missing_ok=True)
            if done(file, out, "--seed", str(seed), *memory):
                outs[out.name] = n_obs, out
        out = folder / f"{n_obs}-baselines"
        if n_obs in arguments.baselines and done(file, out, "--method", "baselines"):
            outs[out.name] = n_obs, out
    ours = {
        n: json.loads(out.with_suffix(".json").read_text()) for name, (n, out) in outs.items() if "omicsmlm" in name
    }
    print("\n" + "\n".join(costs(ours)), flush=True)
    if arguments.no_scores:
        return
    table = evaluated(folder / f"{min(n for n, _ in outs.values())}.h5ad", collected(outs))
    table.to_csv(folder / "scores.csv")
    print("\n" + shown(table, SCORES, STEADY).to_string())
    total = table.groupby(level=0)[STEADY].mean()
    rivals = {n: total.get(f"OmicsMLM, {n:,} rows") for n in (FROM, max(arguments.sizes))}
    if max(rivals) > FROM and None not in rivals.values():
        least, last = rivals[FROM] - SLACK, rivals[max(rivals)]
        print(verdict(last >= least, f"{max(rivals):,} rows: total {last:.3f}, wanted >= {least:.3f}"))


if __name__ == "__main__":
    main()
