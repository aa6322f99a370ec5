"""A reference without one batch, and that batch as the query: OmicsMLM beside projected PCA, scVI and scANVI.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/query.py [--sets pbmc_3tech mixology kang] [--seeds 0 1 2] [--skip "OmicsMLM adapted" ...]
                               [--no-scib] [--out DIR] [--cache DIR]

Each batch is the query in turn; of Kang, each condition. "zero-shot": as load_query_data gives it, features that the query has
shifted counting less; "as the reference": without that. "centred": each batch of the query moved to the mean of the reference;
"aligned": moved by the shifts of joint clusters, as OmicsMLM's adaptation and Symphony do it. "features": standardised log counts.
``told``: balanced accuracy of a linear probe, in five random folds, that tells query from reference (.5: they cannot be told). ``linear`` and ``k-NN``: labels carried from the reference to the query. ``own labels``:
those that scANVI predicts itself. ``iLISI``: of two batches, reference and query, exact neighbours. ``Total``: scib-metrics
of reference and query together, by batch; types of fewer than 10 cells are left out; --no-scib leaves these out. ``CPU-s``: of everything that is
trained for a query. Mean over queries, then over seeds. With --cache the baselines are kept.
"""

import argparse
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from _cache import Kept
from _tables import Target, shown, verdict, verdicts
from anndata import AnnData
from scib_metrics import ilisi_knn
from scib_metrics.nearest_neighbors import NeighborsResults
from sklearn.neighbors import NearestNeighbors

from omicsmlm import OmicsMLM, OmicsMLMConfig, datasets, evaluation
from omicsmlm.evaluation import baselines
from omicsmlm.nn import QueryAlignment

ZERO_SHOT, ADAPTED, UNTRAINED = "OmicsMLM zero-shot", "OmicsMLM adapted", "OmicsMLM untrained"
AS_REFERENCE = "OmicsMLM as the reference"
SCVI, SCANVI = "scVI + scArches", "scANVI + scArches"
SHOWN = ["linear", "k-NN", "own labels", "told", "iLISI", "Total", "Bio conservation", "Batch correction", "CPU-s"]
N_NEIGHBORS = 90  # of iLISI, as in scib-metrics' own benchmark

Pair = tuple[np.ndarray, np.ndarray]  # embeddings of the reference and of the query


class Split(NamedTuple):
    """A set with one of its batches as the query."""

    data: AnnData
    is_query: np.ndarray
    reference: AnnData
    query: AnnData

    def joined(self, pair: Pair) -> np.ndarray:
        """The rows of reference and query in the order of the data."""
        whole = np.empty((self.data.n_obs, pair[0].shape[1]), dtype=np.float32)
        whole[~self.is_query], whole[self.is_query] = pair
        return whole


class Method(NamedTuple):
    """A baseline: what it makes of a split, by seed, and whether the seed matters."""

    make: Callable[[Split, int], dict[str, np.ndarray]]
    has_seed: bool


def projected_pca(n_comps: int, split: Split, seed: int) -> dict[str, np.ndarray]:
    return {"embedding": split.joined(baselines.projected_pca(split.reference, split.query, n_comps, seed=seed))}


def moved_pca(how: Callable[[np.ndarray, np.ndarray], np.ndarray], split: Split, seed: int) -> dict[str, np.ndarray]:
    """Projected components, with each batch of the query moved to the reference."""
    reference_nd, query_nd = baselines.projected_pca(split.reference, split.query, 50, seed=seed)
    batch_n = split.query.obs["batch"].astype(str).to_numpy()
    for batch in np.unique(batch_n):
        query_nd[batch_n == batch] = how(query_nd[batch_n == batch], reference_nd)
    return {"embedding": split.joined((reference_nd, query_nd))}


def centred(query_nd: np.ndarray, reference_nd: np.ndarray) -> np.ndarray:
    return query_nd - query_nd.mean(0) + reference_nd.mean(0)


def aligned(query_nd: np.ndarray, reference_nd: np.ndarray) -> np.ndarray:
    alignment, query = QueryAlignment(query_nd.shape[1], 1, 2), torch.from_numpy(query_nd)
    alignment.fit(1, query, torch.from_numpy(reference_nd))
    return alignment(query, torch.ones(len(query), dtype=torch.int64)).numpy()


def features(split: Split, seed: int) -> dict[str, np.ndarray]:
    del seed
    counts = [np.asarray(part.X.toarray(), dtype=np.float32) for part in (split.reference, split.query)]
    reference_ng, query_ng = (np.log1p(x_ng / np.maximum(x_ng.sum(1, keepdims=True), 1) * 1e4) for x_ng in counts)
    deviation_g = reference_ng.std(0)
    kept_g = deviation_g > 0
    scaled = [(part - reference_ng.mean(0))[:, kept_g] / deviation_g[kept_g] for part in (reference_ng, query_ng)]
    return {"embedding": split.joined((scaled[0], scaled[1].clip(-10, 10)))}


def scvi(split: Split, seed: int) -> dict[str, np.ndarray]:
    return {"embedding": split.joined(baselines.scvi_query(split.reference, split.query, "batch", seed=seed))}


def scanvi(split: Split, seed: int) -> dict[str, np.ndarray]:
    found = baselines.scanvi_query(split.reference, split.query, "batch", "cell_type", seed=seed)
    labels = found.labels.to_numpy(dtype=str)
    return {"embedding": split.joined((found.reference_nd, found.query_nd)), "labels": labels}


METHODS = {
    "projected PCA (50)": Method(partial(projected_pca, 50), has_seed=False),
    "projected PCA (80)": Method(partial(projected_pca, 80), has_seed=False),
    "projected PCA, centred": Method(partial(moved_pca, centred), has_seed=False),
    "projected PCA, aligned": Method(partial(moved_pca, aligned), has_seed=False),
    "features": Method(features, has_seed=False),
    SCVI: Method(scvi, has_seed=True),
    SCANVI: Method(scanvi, has_seed=True),
}
SETS = {
    "pbmc_3tech": (datasets.pbmc_3tech, "batch"),
    "mixology": (datasets.mixology, "batch"),
    "kang": (lambda: datasets.load("sc/kang_ifnb_pbmc.h5ad"), "condition"),
}
"""How a set is loaded, and the column whose values are the query in turn."""
TARGETS = {
    "pbmc_3tech": [
        target
        for row in (ZERO_SHOT, ADAPTED)
        for target in (
            Target("linear", 0.934, row=row),
            Target("linear", beats=("projected PCA",), row=row),
            Target("k-NN", 0.92, row=row),
            Target("linear", beats=(SCANVI,), row=row),
            Target("k-NN", beats=(SCANVI,), row=row),
            Target("iLISI", 0.6, row=row),
            Target("Total", beats=(SCVI,), row=row),
        )
    ],
    "mixology": [],
    "kang": [
        Target(column, beats=("projected PCA",), slack=slack, row=row)
        for row, slack in ((ZERO_SHOT, 0.0), (ADAPTED, -0.02))
        for column in ("linear", "k-NN")
    ],
}


def splits(data: AnnData, key: str) -> dict[str, Split]:
    """Each batch, or each value of another column, in turn as the query."""
    batch_n = data.obs[key].astype(str).to_numpy()
    return {
        name: Split(data, batch_n == name, data[batch_n != name].copy(), data[batch_n == name].copy())
        for name in sorted(set(batch_n))
    }


def our_embeddings(split: Split, seed: int, skipped: list[str]) -> dict[str, tuple[np.ndarray, float]]:
    """The query by the untrained and the trained model, and by the model adapted to it, with CPU-seconds."""
    start = time.process_time()
    model = OmicsMLM(split.reference, OmicsMLMConfig(seed=seed), batch_key="batch")
    untrained = model.get_latent_representation(), model.get_latent_representation(split.query)
    made = {UNTRAINED: (split.joined(untrained), time.process_time() - start)}
    model.train(progress_bar=False, key_added=None)
    reference_nd = model.get_latent_representation()
    mapped = split.joined((reference_nd, model.get_latent_representation(split.query)))
    made[AS_REFERENCE] = (mapped, time.process_time() - start)
    adapted = OmicsMLM.load_query_data(split.query, model)
    mapped = split.joined((reference_nd, adapted.get_latent_representation()))
    made[ZERO_SHOT] = (mapped, time.process_time() - start)
    if ADAPTED not in skipped:
        adapted.train(progress_bar=False, key_added=None)
        again_nd = adapted.get_latent_representation(split.reference)
        mapped = split.joined((again_nd, adapted.get_latent_representation(split.query)))
        made[ADAPTED] = (mapped, time.process_time() - start)
        same = np.array_equal(again_nd, reference_nd)
        print(verdict(same, f"seed {seed}: reference rows unchanged to the last bit by the adaptation"), flush=True)
    return {name: found for name, found in made.items() if name not in skipped}


def ilisi(embedding: np.ndarray, is_query: np.ndarray) -> float:
    """How well reference and query mix, 0 to 1."""
    finder = NearestNeighbors(n_neighbors=N_NEIGHBORS, algorithm="brute").fit(embedding)
    distances, indices = finder.kneighbors(embedding)
    return float(ilisi_knn(NeighborsResults(indices=indices, distances=distances), np.where(is_query, "q", "r")))


def told(embedding: np.ndarray, is_query: np.ndarray) -> float:
    """How well a linear probe tells query from reference."""
    probe = evaluation.probe(embedding, np.where(is_query, "query", "reference"))
    return float(probe.loc[("linear", "mean"), "balanced accuracy"])


def totals(split: Split, values: dict[str, np.ndarray]) -> pd.DataFrame:
    """Scores of scib-metrics, one row per embedding."""
    twins = {  # an adaptation that moves nothing: scib-metrics is asked once
        name: first
        for first in values
        for name in values
        if name > first and np.array_equal(values[name], values[first])
    }
    evaluated = {name: embedding for name, embedding in values.items() if name not in twins}
    table = evaluation.benchmark(split.data, evaluated, "batch", "cell_type")
    rows = [table.loc[twins.get(name, name), ["Total", "Bio conservation", "Batch correction"]] for name in values]
    return pd.DataFrame(rows, index=pd.Index(list(values), name="embedding")).astype(float)


def evaluated(split: Split, embeddings: dict[str, tuple[np.ndarray, float]], has_scib: bool) -> pd.DataFrame:
    """One row per embedding."""
    values = {name: embedding for name, (embedding, _) in embeddings.items()}
    table = totals(split, values) if has_scib else pd.DataFrame(index=pd.Index(list(values), name="embedding"))
    for name, embedding in values.items():
        fold = (~split.is_query, split.is_query)
        probe = evaluation.probe(embedding, split.data.obs["cell_type"], split=fold)
        accuracy = probe.xs("mean", level="held_out")["accuracy"]
        table.loc[name, ["linear", "k-NN"]] = accuracy["linear"], accuracy["k-NN"]
        table.loc[name, "told"] = told(embedding, split.is_query)
        table.loc[name, "iLISI"] = ilisi(embedding, split.is_query)
        table.loc[name, "CPU-s"] = embeddings[name][1]
    return table


def own_labels(split: Split, labels: np.ndarray) -> float:
    """Accuracy of predicted labels, on the rows that the probe scores too."""
    truth = split.query.obs["cell_type"].astype(str)
    counts = split.data.obs["cell_type"].astype(str).value_counts()
    known = set(split.reference.obs["cell_type"].astype(str))
    kept = (truth.map(counts).astype(int) >= 10) & truth.isin(known)
    return float((labels == truth)[kept].mean())


def of_split(name: str, split: Split, seed: int, arguments: argparse.Namespace, kept: Kept) -> pd.DataFrame:
    """The table of one query and one seed."""
    skipped, own = arguments.skip, {AS_REFERENCE, ZERO_SHOT, ADAPTED, UNTRAINED}
    embeddings = {} if own <= set(skipped) else our_embeddings(split, seed, skipped)
    labels = {}
    for method, how in METHODS.items():
        if method in skipped:
            continue
        chosen = seed if how.has_seed else 0
        arrays, spent = kept.arrays(f"{name}-{method}-{chosen}", partial(how.make, split, chosen))
        embeddings[method] = (arrays["embedding"], spent)
        if "labels" in arrays:
            labels[method] = arrays["labels"]
    table = evaluated(split, embeddings, not arguments.no_scib)
    for method, predicted in labels.items():
        table.loc[method, "own labels"] = own_labels(split, predicted)
    return table


def run(name: str, arguments: argparse.Namespace, kept: Kept) -> None:
    load, key = SETS[name]
    data = load()
    print(f"\n== {name}: {data.n_obs} cells", flush=True)
    tables = []
    for seed in arguments.seeds:
        for batch, split in splits(data, key).items():
            table = of_split(f"{name}-{batch}", split, seed, arguments, kept)
            tables.append(table.assign(query=batch, seed=seed))
            pd.concat(tables).to_csv(arguments.out / f"query-{name}.csv")  # a killed run leaves what it has
    whole = pd.concat(tables)
    print(whole.pivot_table(index="embedding", columns="query", values=["linear", "k-NN", "told"], sort=False).round(3))
    by_seed = whole.drop(columns="query").groupby(["embedding", "seed"], sort=False).mean().reset_index("seed")
    print(shown(by_seed, SHOWN, "linear").to_string())
    means = by_seed.drop(columns="seed").groupby(level="embedding", sort=False).mean()
    for line in verdicts(TARGETS[name], means):
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--skip", nargs="+", default=[], help=f'rows to leave out, such as "{ADAPTED}"')
    parser.add_argument(
        "--no-scib", action="store_true", help="without the scores of scib-metrics, which take a minute each"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets:
        run(name, arguments, Kept(arguments.cache))


if __name__ == "__main__":
    main()
