"""Models pre-trained on several bulk sets beside models pre-trained on the set itself: frozen embeddings, and labels from them.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/bulk_union.py [--sets ccle pam50] [--seeds 0] [--families MOJO OmicsMLM] [--cache DIR]

Seed s is tested on fold s, as in benchmarks/bulk.py. "own": the set without its test rows. "union": with it CCLE, BRCA and the 13
cohorts of TCGA (RNA alone), as omicsmlm.datasets.pool puts them together, each by its own ranks; no patient of the test rows is
in any of them. "union, then own": MOJO trained on with the set itself (a query of OmicsMLM trains nothing where its batches are
known). Test rows are placed among the ranks of their set's training rows. "start": untrained. k-NN, ARI and NMI as in
benchmarks/bulk.py; LR: accuracy of a logistic regression of the embedding.
"""

import argparse
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _cache import Kept
from _tables import shown
from bulk import VIEWS, Bulk, clustering, components, fitted_labels, loaded, rows
from mudata import MuData
from sklearn.metrics import accuracy_score

from omicsmlm import MOJO, MOJOConfig, OmicsMLM, OmicsMLMConfig, datasets, pp

QUIET = {"key_added": None, "progress_bar": False, "accelerator": "cpu"}
OTHERS = ("ccle", "pam50")
FAMILIES: dict[str, tuple[Any, Any]] = {"MOJO": (MOJO, MOJOConfig), "OmicsMLM": (OmicsMLM, OmicsMLMConfig)}
FURTHER_TRAINED = {"MOJO"}
"""Families whose weights a query of known batches goes on training."""


def pools(of: Bulk, seed: int) -> dict[str, MuData]:
    """Training rows of the set, and of all sets; no test row, by name, is in any of them."""
    own = rows(of.by_gene, ~of.held_n, VIEWS["both"])
    held = set(of.by_gene.obs_names[of.held_n])
    sets = {of.name: own}
    for name in OTHERS:
        if name != of.name:
            other = loaded(name, seed).by_gene
            sets[name] = rows(other, ~other.obs_names.isin(held), VIEWS["both"])
    cohorts = datasets.load("bulk/tcga_pancan13_rna_survival.h5mu")
    sets["cohorts"] = rows(cohorts, ~cohorts.obs_names.isin(held), ["rna"])
    return {"own": datasets.pool({of.name: own}, scaling="ranks"), "union": datasets.pool(sets, scaling="ranks")}


def ranked(of: Bulk, chosen_n: np.ndarray) -> MuData:
    """Rows of a set among the ranks of its training rows."""
    part, reference = (rows(of.by_gene, which_n, VIEWS["both"]) for which_n in (chosen_n, ~of.held_n))
    return MuData({name: pp.normal_scores(part[name], reference[name]) for name in VIEWS["both"]})


def embeddings(of: Bulk, seed: int, families: list[str], evaluated_n: np.ndarray, kept: Kept) -> dict[str, np.ndarray]:
    """(n, 64) of the evaluated rows, by how the model was made."""
    pooled, data = pools(of, seed), ranked(of, evaluated_n)
    names = of.by_gene.obs_names[evaluated_n]

    def embedded(model: Any) -> np.ndarray:
        return pd.DataFrame(model.get_latent_representation(data), index=data.obs_names).loc[names].to_numpy()

    def of_pool(family: str, name: str) -> dict[str, np.ndarray]:
        kind, config = FAMILIES[family]
        model = kind(pooled[name], config(seed=seed))
        found = {f"{family}, {name}, start": embedded(model)}
        model.train(**QUIET)
        found[f"{family}, {name}"] = embedded(model)
        if name == "union" and family in FURTHER_TRAINED:
            is_own = (pooled[name].obs["dataset"] == of.name).to_numpy()
            tuned = kind.load_query_data(pooled[name][is_own].copy(), model)
            tuned.train(**QUIET)
            found[f"{family}, union, then own"] = embedded(tuned)
        return found

    found: dict[str, np.ndarray] = {}
    for family in families:
        for name in pooled:
            key = f"bulk-union-{of.name}-{'' if family == 'MOJO' else f'{family}-'}{name}-{seed}"
            found |= kept.arrays(key, lambda family=family, name=name: of_pool(family, name))[0]
    for whitened in (True, False):
        name = f"{'PPCA, whitened' if whitened else 'PCA'} (64), own, not ranked"
        found[name] = components(of, of.learned_n("both"), whitened=whitened)[evaluated_n]
    return found


def table(of: Bulk, seed: int, families: list[str], kept: Kept) -> pd.DataFrame:
    learned_n = of.learned_n("both")
    evaluated_n = learned_n | of.test_n
    scores = {}
    for name, z_nd in embeddings(of, seed, families, evaluated_n, kept).items():
        whole_nd = np.full((of.by_gene.n_obs, z_nd.shape[1]), np.nan)
        whole_nd[evaluated_n] = z_nd
        answers = fitted_labels(of, whole_nd, learned_n, seed)
        scores[name] = clustering(z_nd, of.label_n[evaluated_n], of.test_n[evaluated_n], seed)
        scores[name]["LR"] = accuracy_score(of.label_n[of.test_n], answers)
    return pd.DataFrame.from_dict(scores, orient="index")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=OTHERS, default=list(OTHERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("omicsmlm").addHandler(logging.NullHandler())
    for name in arguments.sets:
        found = pd.concat(
            [table(loaded(name, seed), seed, arguments.families, Kept(arguments.cache)) for seed in arguments.seeds]
        )
        print(f"\n== {name}, seeds {arguments.seeds}")
        print(shown(found, list(found.columns), "k-NN").to_string(), flush=True)


if __name__ == "__main__":
    main()
