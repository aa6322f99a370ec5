"""Embeddings that have seen some labels: OmicsMLM with labels beside scANVI, one batch or donor at a time without its labels.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/semi_supervised.py [--sets …] [--seeds 0 1] [--weights 3 10 30 100] [--methods …] [--cache DIR]

All observations are trained on; those of one group (chemistry, batch, donor) have "Unknown" for a label. Probes, fitted on the
labelled observations, are scored on that group: accuracy of 15 neighbours and of balanced logistic regression, each group in turn,
types of ten cells and more. Controls: OmicsMLM without labels, OmicsMLM with the labels shuffled over the labelled observations,
scVI, Harmony, PCA. scANVI and scVI read RNA alone.
With several weights of the labels, one is chosen for each set on all the others: by the largest regret over k-NN (scANVI's less
its own) and the linear probe (that without labels less its own), of equal ones by the mean.
"""

import argparse
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _cache import Kept

from omicsmlm import OmicsMLM, OmicsMLMConfig, datasets, evaluation
from omicsmlm.evaluation import baselines
from omicsmlm.models.omicsmlm import _model

UNKNOWN = "Unknown"
LABELLED, PLAIN, SCANVI = "OmicsMLM with labels", "OmicsMLM", "scANVI"
SETS: dict[str, tuple[Callable[[], Any], str]] = {
    "pbmc_3tech": (datasets.pbmc_3tech, "batch"),
    "cite": (lambda: datasets.load("sc/bmmc_cite_2donor.h5mu"), "batch"),
    "kang": (lambda: datasets.load("sc/kang_ifnb_pbmc.h5ad"), "donor"),
    "mixology": (datasets.mixology, "batch"),
}
"""How a set is loaded, and the column of the groups; the batch is in ``batch``."""


def partial_labels(data: Any, group_n: np.ndarray, group: str, *, shuffled: bool = False) -> np.ndarray:
    """The labels, unknown in one group."""
    label_n = data.obs["cell_type"].astype(str).to_numpy(dtype=object)
    known_n = group_n != group
    if shuffled:
        label_n[known_n] = np.random.default_rng(0).permutation(label_n[known_n])
    return np.where(known_n, label_n, UNKNOWN)


def ours(data: Any, labels_key: str | None, seed: int, weight: float = _model.LABEL_WEIGHT) -> np.ndarray:
    """The embedding of OmicsMLM, with labels or without."""
    with label_weight(weight):
        model = OmicsMLM(data.copy(), OmicsMLMConfig(seed=seed), batch_key="batch", labels_key=labels_key)
        model.train(key_added=None, progress_bar=False)
    return model.get_latent_representation()


@contextmanager
def label_weight(weight: float) -> Iterator[None]:
    """Give labels another weight, for as long as a model is made and trained."""
    before = _model.LABEL_WEIGHT
    _model.LABEL_WEIGHT = weight
    try:
        yield
    finally:
        _model.LABEL_WEIGHT = before


def with_labels(weight: float) -> Callable[[Any, list[str], int], dict[str, np.ndarray]]:
    return lambda data, columns, seed: {column: ours(data, column, seed, weight) for column in columns}


def labelled(weight: float) -> str:
    return f"{LABELLED}, weight {weight:g}"


def with_shuffled_labels(data: Any, columns: list[str], seed: int) -> dict[str, np.ndarray]:
    return {column: ours(data, f"shuffled {column}", seed) for column in columns}


def scanvi(data: Any, columns: list[str], seed: int) -> dict[str, np.ndarray]:
    return baselines.scanvi(data, columns, "batch", seed=seed)


METHODS: dict[str, Callable[[Any, list[str], int], dict[str, np.ndarray]]] = {
    LABELLED: with_labels(_model.LABEL_WEIGHT),
    PLAIN: lambda data, columns, seed: {"all": ours(data, None, seed)},
    "OmicsMLM, labels shuffled": with_shuffled_labels,
    SCANVI: scanvi,
    "scVI": lambda data, columns, seed: {"all": baselines.scvi(data, "batch", seed=seed)},
    "Harmony": lambda data, columns, seed: {"all": baselines.harmony(data, "batch")},
    "PCA": lambda data, columns, seed: {"all": baselines.pca(data, 50)},
}
"""How a method embeds: by the column of labels that it reads, or once for all."""


def chosen_weights(whole: pd.DataFrame, weights: list[float]) -> pd.DataFrame:
    """The weight that all sets but one choose, and its regret on that one, beside the weight that all choose.

    Parameters
    ----------
    whole
        Means of seeds: a row per method, columns (set, score).
    weights
        Those that are compared.
    """
    names = [labelled(weight) for weight in weights]
    sets = list(dict.fromkeys(whole.columns.get_level_values(0)))
    regret = pd.concat(
        {
            "k-NN": pd.DataFrame({s: whole.loc[SCANVI, (s, "k-NN")] - whole.loc[names, (s, "k-NN")] for s in sets}),
            "linear": pd.DataFrame(
                {s: whole.loc[PLAIN, (s, "linear")] - whole.loc[names, (s, "linear")] for s in sets}
            ),
        },
        axis=1,
    )
    print(
        f"\nRegret: k-NN of scANVI, linear probe without labels, less those with labels\n{regret.round(3).to_string()}"
    )
    rows = {}
    for left_out in [*sets, None]:
        others = regret.drop(columns=[left_out], level=1) if left_out is not None else regret
        order = pd.DataFrame({"largest": others.max(axis=1), "mean": others.mean(axis=1)}).round(6)
        chosen = order.sort_values(["largest", "mean"]).index[0]
        own = (
            regret.xs(left_out, level=1, axis=1).loc[chosen]
            if left_out is not None
            else others.loc[chosen].groupby(level=0).mean()
        )
        rows["all" if left_out is None else f"without {left_out}"] = {"chosen": chosen, **own.to_dict()}
    return pd.DataFrame(rows).T


def table_of(name: str, methods: list[str], seeds: list[int], keep: Kept) -> pd.DataFrame:
    """Scores of one set: a row per method, seed and group."""
    load, key = SETS[name]
    data = load()
    group_n = data.obs[key].astype(str).to_numpy()
    groups = sorted(set(group_n))
    for group in groups:
        data.obs[group] = partial_labels(data, group_n, group)
        data.obs[f"shuffled {group}"] = partial_labels(data, group_n, group, shuffled=True)
    type_n = data.obs["cell_type"].astype(object)
    type_n = type_n.where(type_n.map(type_n.value_counts()) >= 10, None)
    rows = []
    for method in methods:
        for seed in seeds:
            embed = METHODS[method]
            found, _ = keep.arrays(f"{name}-{method}-{seed}", lambda embed=embed, seed=seed: embed(data, groups, seed))
            for group in groups:
                x_nd = found[group if group in found else "all"]
                probes = evaluation.probe(x_nd, type_n, split=(group_n != group, group_n == group))
                scores = probes.xs("test", level="held_out")["accuracy"]
                rows.append({"method": method, "seed": seed, "group": group, **scores.to_dict()})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--weights", nargs="+", type=float, default=[], help="of the labels, beside the default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore", module="sklearn")
    keep, means = Kept(arguments.cache), {}
    METHODS.update({labelled(weight): with_labels(weight) for weight in arguments.weights})
    methods = [*arguments.methods, *map(labelled, arguments.weights)]
    if arguments.weights and not {PLAIN, SCANVI} <= set(methods):
        parser.error(f"--weights are compared with {PLAIN} and {SCANVI}: add both to --methods")
    for name in arguments.sets:
        found = table_of(name, methods, arguments.seeds, keep)
        means[name] = found.groupby("method", sort=False)[["k-NN", "linear"]].mean()
        by_seed = found.groupby(["method", "seed"], sort=False)[["k-NN", "linear"]].mean()
        spread = by_seed.groupby(level=0, sort=False).std().add_prefix("± ")
        print(
            f"\n== {name}: means over {sorted(set(found['group']))}, each without its labels; seeds {arguments.seeds}"
        )
        print(means[name].join(spread).round(3).to_string(), flush=True)
    whole = pd.concat(means, axis=1)
    for score in ("k-NN", "linear"):
        table = whole.xs(score, level=1, axis=1)
        print(f"\n{score}, means of seeds\n{table.assign(mean=table.mean(axis=1)).round(3).to_string()}")
    if arguments.weights and len(arguments.sets) > 1:
        print(
            f"\nWeight chosen without a set, and its regret there\n{chosen_weights(whole, arguments.weights).to_string()}"
        )


if __name__ == "__main__":
    main()
