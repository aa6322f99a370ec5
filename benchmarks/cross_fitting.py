"""SNARE-seq: what a model says of the cells that it was initialised with, and of others, with and without cross-fitting.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/cross_fitting.py [--families ScMBERT OmicsMLM] [--maps "one map" folds] [--links none table ...] [--seeds 0 1]
                                       [--cells 2000] [--untrained] [--shrunken] [--out DIR]

The model is made, and trained, of some cells of the training libraries (drawn by the seed). ``agreement``: correlation, the
mean over dimensions, of the embedding by ATAC alone with the embedding by both, in the model's own cells and in as many
others of the same libraries. ``own`` and ``other`` accuracy and macro F1: k-NN (15) and logistic regression (C = 0.1,
standardised) with labels from the model's own cells, or from those others, to the cells of the test libraries by the same
view; ``from both`` k-NN with labels from cells with both modalities. "one map" is the same model with its folds taken away
before training: each observation is then estimated by the map that saw it. Links: none; "table", the authors' genes and
peaks; "shuffled", the same with their genes shuffled (a control). --shrunken: ScMBERT with shrunken_estimates=True.
"""

import argparse
import logging
import os
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omicsmlm import OmicsMLM, OmicsMLMConfig, ScMBERT, ScMBERTConfig, datasets

FAMILIES: dict[str, tuple[Any, Any]] = {"ScMBERT": (ScMBERT, ScMBERTConfig), "OmicsMLM": (OmicsMLM, OmicsMLMConfig)}
MAPS = ["one map", "folds"]
LINKS = ["none", "table", "shuffled"]
VIEWS = {"ATAC": ["atac"], "RNA": ["rna"], "both": ["rna", "atac"]}
EPOCHS = {"ScMBERT": 6, "OmicsMLM": None}  # as in benchmarks/scmbert.py


def agreement(one_nd: np.ndarray, other_nd: np.ndarray) -> float:
    """Mean over dimensions of the correlation of two embeddings of the same cells; dimensions without variance are left out."""
    varies_d = (one_nd.std(0) > 1e-6) & (other_nd.std(0) > 1e-6)
    pairs = zip(one_nd.T[varies_d], other_nd.T[varies_d], strict=True)
    return float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs]))


def read_outs(train_nd: np.ndarray, labels: np.ndarray, test_nd: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Accuracy and macro F1 of labels from training to test cells."""
    probes = {
        "k-NN": KNeighborsClassifier(15),
        "LR": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
    }
    found = {}
    for name, probe in probes.items():
        answer = probe.fit(train_nd, labels).predict(test_nd)
        found[name] = accuracy_score(truth, answer)
        found[f"{name} F1"] = f1_score(truth, answer, average="macro")
    return found


def row(model: OmicsMLM | ScMBERT, cells: dict[str, MuData]) -> dict[tuple[str, str, str], float]:
    """A model's figures: (view, which cells, figure)."""
    embedded = {
        view: {
            part: model.get_latent_representation(MuData({m: data[m].copy() for m in modalities}))
            for part, data in cells.items()
        }
        for view, modalities in VIEWS.items()
    }
    labels = {part: data.obs["cell_type"].astype(str).to_numpy() for part, data in cells.items()}
    found = {}
    for view, parts in embedded.items():
        for part in ("own", "other"):
            if view != "both":
                found[view, part, "agreement"] = agreement(parts[part], embedded["both"][part])
                nearest = KNeighborsClassifier(15).fit(embedded["both"][part], labels[part])
                found[view, part, "from both"] = nearest.score(parts["test"], labels["test"])
            for name, value in read_outs(parts[part], labels[part], parts["test"], labels["test"]).items():
                found[view, part, name] = value
    return found


def cells_of(seed: int, n: int) -> dict[str, MuData]:
    """The model's own cells, others of the same libraries, and those of the test libraries; none of type "Mis"."""
    whole = datasets.snareseq()
    whole = whole[(whole.obs["cell_type"] != "Mis").to_numpy()].copy()
    is_test = (whole.obs["split"] == "test").to_numpy()
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~is_test))
    chosen = {"own": np.sort(order[:n]), "other": np.sort(order[n : 2 * n]), "test": np.flatnonzero(is_test)}
    return {part: whole[places].copy() for part, places in chosen.items()}


def links_of(which: str, seed: int) -> pd.DataFrame | None:
    """Genes and the peaks near them, or None."""
    if which == "none":
        return None
    table = pd.read_csv(Path(os.environ["OMICSMLM_DATA"]) / "sc" / "snareseq_gene_peak_links.csv.gz")
    return table if which == "table" else table.assign(gene=np.random.default_rng(seed).permutation(table["gene"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--maps", nargs="+", choices=MAPS, default=MAPS)
    parser.add_argument("--links", nargs="+", choices=LINKS, default=["none"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--shrunken", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for seed in arguments.seeds:
        cells = cells_of(seed, arguments.cells)
        for family in arguments.families:
            kind, config_class = FAMILIES[family]
            changes = {"shrunken_estimates": True} if arguments.shrunken and family == "ScMBERT" else {}
            for maps, which in product(arguments.maps, arguments.links):
                model = kind(
                    cells["own"].copy(),
                    config_class(seed=seed, **changes),
                    batch_key="batch",
                    links=links_of(which, seed),
                )
                if maps == MAPS[0]:
                    model.module.cross_fitting = None
                name = maps + f", links: {which}" * (which != "none") + ", shrunken" * bool(changes)
                rows[family, name, "untrained", seed] = row(model, cells)
                if not arguments.untrained:
                    start = time.process_time()
                    model.train(EPOCHS[family], key_added=None, progress_bar=False)
                    print(f"  {family}, {name}, seed {seed}: {time.process_time() - start:.0f} CPU-s", flush=True)
                    rows[family, name, "trained", seed] = row(model, cells)
                table = pd.DataFrame(rows).T
                table.to_csv(arguments.out / "cross_fitting.csv")  # a killed run leaves what it has
    means = table.groupby(level=[0, 1, 2], sort=False).mean()
    for view in VIEWS:
        print(f"\n== {view}\n{means[view].round(3).to_string()}")


if __name__ == "__main__":
    main()
