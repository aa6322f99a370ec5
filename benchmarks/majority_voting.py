"""What majority voting changes: labels of cells of a new chemistry, before and after, and by clusters made at random.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/majority_voting.py [--seeds 0] [--cache DIR]

pbmc_3tech: each chemistry in turn is the query of everything. Accuracy and balanced accuracy count "Unknown" as wrong.
"random clusters" are those of the embedding with their cells exchanged at random, as many and as large; "most probable"
rejects nothing, and "LR on PCA" is the probe of omicsmlm.evaluation on 50 components of the reference, before and after
voting by Leiden on those components.
"""

import argparse
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from annotation import LR, Split, chemistries, encoder, fitted, regressions
from sklearn.metrics import accuracy_score, recall_score

from omicsmlm.evaluation import baselines
from omicsmlm.models.classifier._voting import majority_labels, over_clusters


def labels_of(split: Split, seed: int, cache: Path | None) -> dict[str, pd.Series]:
    """Return the labels that each method gives the query."""
    classifier = fitted(split, encoder(split, seed, cache), "frozen", seed)
    cluster_n = over_clusters(classifier.model.get_latent_representation(split.test), seed)
    random_n = pd.Series(np.random.default_rng(seed).permutation(cluster_n))
    labels, best = classifier.predict(split.test), classifier.predict(split.test, soft=True).idxmax(axis=1)
    plain = regressions(split)[LR].probabilities.idxmax(axis=1)
    _, components_nd = baselines.projected_pca(split.reference, split.test)
    return {
        "Classifier": labels,
        "Classifier, voted": classifier.predict(split.test, majority_voting=True),
        "Classifier, voted, min_prop 0.6": classifier.predict(split.test, majority_voting=True, min_prop=0.6),
        "Classifier, voted by random clusters": majority_labels(labels, random_n),
        "most probable": best,
        "most probable, voted": majority_labels(best, cluster_n),
        LR: plain,
        f"{LR}, voted": majority_labels(plain, over_clusters(components_nd.astype(np.float32), seed)),
    }


def evaluated(labels: pd.Series, truth: pd.Series) -> dict[str, float]:
    return {
        "accuracy": accuracy_score(truth, labels),
        "balanced": recall_score(truth, labels, labels=np.unique(truth), average="macro", zero_division=0),
        "Unknown": (labels == "Unknown").mean(),
        "Heterogeneous": (labels == "Heterogeneous").mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore", module="sklearn")
    rows = []
    for seed in arguments.seeds:
        for split in chemistries():
            truth = split.test.obs["cell_type"].astype(str)
            for name, labels in labels_of(split, seed, arguments.cache).items():
                rows.append({"method": name, "query": split.name, **evaluated(labels.astype(str), truth)})
    table = pd.DataFrame(rows)
    print(table.drop(columns="query").groupby("method", sort=False).mean().round(3).to_string())
    print(table.pivot_table(index="method", columns="query", values="accuracy", sort=False).round(3).to_string())


if __name__ == "__main__":
    main()
