"""Which isoform of a gene is the commonest: grouped cross-validation over all isoforms.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/isoforms.py [--seeds 0 1 2] [--epochs N] [--baselines-only] [--experts] [--controls]
                                  [--cache DIR]

The test split holds 30 genes with several isoforms, which is too few to say anything; here each of 1,092 isoforms is predicted by a
model of the other four fifths of the genes. "within" is the Spearman correlation within a gene of the mean over the six samples,
averaged over the 234 genes with several isoforms, "within, per sample" the same sample by sample and then averaged; "pairs" the
fraction of pairs of isoforms of a gene in the right order; R2 and Spearman are over all isoforms. "above length" is the difference of
"within" from that of the protein's length, and its 95 % interval by a paired bootstrap over genes; the last lines are of the mean
of the seeds.

Length predicts by itself (the longer, the more). Ridges are fitted on the same folds: on the lengths of RNA and protein, on k-mers,
and on the eleven features of the transcript's architecture. With --epochs the network is cut short; the regressions beside it are not.
With --experts each expert of IsoFormer predicts by itself, too; with --controls the model also predicts isoforms as ones that are
alone in their gene, with the genes of the tested isoforms permuted, and without the column of genes.
"""

import argparse
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _cache import Kept
from _tables import shown, verdict

from omicsmlm import IsoFormer, IsoFormerConfig, datasets
from omicsmlm._types import Sequences
from omicsmlm.evaluation import sequence_baselines as baselines
from omicsmlm.nn import Composition

OURS, LENGTH = "IsoFormer", "length of the protein"
ALONE, SHUFFLED = "IsoFormer, each isoform as the only one", "IsoFormer, genes permuted"
UNKNOWN = "IsoFormer, no genes"
N_FOLDS, N_DRAWS = 5, 2000
MOST_RNA = 12_288
"""Residues of the end of an RNA that are read, as by IsoFormer."""
GOAL_WITHIN, GOAL_ALL = 0.30, 0.35
COLUMNS = ["R2", "Spearman", "within", "within, per sample", "pairs", "above length", "low", "high"]


def folds(gene_n: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each isoform, (n,): those of a gene are in one."""
    genes, number_n = np.unique(gene_n, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(genes))[number_n] * N_FOLDS // len(genes)


def architectures(rna: list[str]) -> np.ndarray:
    """Return the architecture of transcripts, (n, 11)."""
    composition, found = Composition("nucleotide", with_architecture=True), []
    for text in rna:
        residues = torch.from_numpy(np.frombuffer(text[-MOST_RNA:].encode(), np.uint8).copy())
        nothing = torch.zeros(1, 2, dtype=torch.int64)
        one = Sequences(residues, torch.tensor([0, len(residues)]), torch.tensor([0]), nothing)
        found.append(composition.architecture(one)[0].numpy())
    return np.stack(found)


def within(truth_n: np.ndarray, predicted_n: np.ndarray, gene_n: np.ndarray) -> pd.Series:
    """Return the Spearman correlation within each gene in which the truth varies."""
    found = {}
    for gene, rows in pd.Series(range(len(gene_n))).groupby(gene_n).indices.items():
        parts = truth_n[rows, None], predicted_n[rows, None]
        found[gene] = baselines.sequence_scores(*parts)["Spearman"] if len(rows) > 1 else np.nan
    return pd.Series(found).dropna()


def scores(y_nt: np.ndarray, predicted_nt: np.ndarray, gene_n: np.ndarray, length_g: pd.Series) -> dict[str, float]:
    """Return all figures of a prediction; ``length_g`` are those of the protein's length within each gene."""
    overall = baselines.sequence_scores(y_nt, predicted_nt, gene_n)
    own_g = within(y_nt.mean(1), predicted_nt.mean(1), gene_n)
    return {
        "R2": overall["R2"],
        "Spearman": overall["Spearman"],
        "within": own_g.mean(),
        "within, per sample": overall["Spearman within"],
        "pairs": overall["pairs within"],
        **above_length(own_g, length_g),
    }


def above_length(own_g: pd.Series, length_g: pd.Series) -> dict[str, float]:
    """Return the mean difference of correlations within genes, and its interval by a paired bootstrap over genes."""
    above_g = (own_g - length_g).to_numpy()
    draws = np.random.default_rng(0).integers(0, len(above_g), (N_DRAWS, len(above_g)))
    low, high = np.quantile(above_g[draws].mean(1), [0.025, 0.975])
    return {"above length": above_g.mean(), "low": low, "high": high}


def crossed(
    y_nt: np.ndarray, fold_n: np.ndarray, predict: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return predictions of each fold from the others; ``predict`` is given which are trained on, and which to predict."""
    predicted_nt = np.empty(y_nt.shape)
    for fold in range(N_FOLDS):
        tested_n = fold_n == fold
        predicted_nt[tested_n] = predict(~tested_n, tested_n)
    return predicted_nt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--baselines-only", action="store_true")
    parser.add_argument("--experts", action="store_true")
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore")
    kept, adata = Kept(arguments.cache), datasets.isoforms()
    y_nt, gene_n = np.asarray(adata.X, dtype=np.float64), adata.obs["gene_id"].astype(str).to_numpy()
    rna, protein = adata.obs["rna"].tolist(), [p if isinstance(p, str) else "" for p in adata.obs["protein"]]
    features = {
        "ridge on the lengths of both": baselines.length_features({"rna": rna, "protein": protein}),
        "ridge on 3- and 4-mers of the RNA": np.hstack([baselines.kmer_frequencies(rna, k) for k in (3, 4)]),
        "ridge on the architecture": architectures(rna),
    }
    length_nt = np.repeat([[np.log1p(len(p))] for p in protein], y_nt.shape[1], axis=1)
    length_g = within(y_nt.mean(1), length_nt.mean(1), gene_n)

    def fold(trained_n: np.ndarray, tested_n: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Return predictions by IsoFormer, and those of its experts."""
        own, tested = adata[trained_n].copy(), adata[tested_n].copy()
        IsoFormer.setup_anndata(own, rna_key="rna", protein_key="protein", group_key="gene_id")
        model = IsoFormer(own, IsoFormerConfig(seed=seed))
        model.train(arguments.epochs, progress_bar=False, key_added=None)
        level_se, names = model.module.level_se, model.module.experts
        print("   level ", dict(zip(names, level_se[-1].numpy().round(2).tolist(), strict=True)), flush=True)
        print(
            "   within", dict(zip(names, model.module.within_se[-1].numpy().round(2).tolist(), strict=True)), flush=True
        )
        found = {OURS: model.predict(tested).to_numpy()}
        if arguments.controls:
            genes = tested.obs["gene_id"].to_numpy()
            permuted = np.random.default_rng(seed).permutation(genes)
            changed = {ALONE: {"gene_id": None}, SHUFFLED: {"gene_id": permuted}, UNKNOWN: {}}
            for control, columns in changed.items():
                other = tested.copy()
                other.obs = other.obs.drop(columns="gene_id").assign(**columns)
                found[control] = model.predict(other).to_numpy()
        for place, name in enumerate(names if arguments.experts else []):
            level_se[:] = model.module.within_se[:] = torch.eye(len(names))[place]
            found[f"of that: {name}"] = model.predict(tested).to_numpy()
        return found

    def ours(seed: int) -> dict[str, np.ndarray]:
        """Return the predictions of all folds; these are kept one by one."""
        fold_n, predicted = folds(gene_n, seed), dict[str, np.ndarray]()
        suffix = " experts" * arguments.experts + " controls" * arguments.controls
        for number in range(N_FOLDS):
            tested_n = fold_n == number
            told = f"isoforms {OURS} {arguments.epochs or ''} {seed} {number}{suffix}"
            found, _ = kept.arrays(told, lambda t=tested_n: fold(~t, t, seed))
            for name, predicted_mt in found.items():
                predicted.setdefault(name, np.empty(y_nt.shape))[tested_n] = predicted_mt
        return predicted

    rows = [{"method": LENGTH, **scores(y_nt, length_nt, gene_n, length_g)}]
    seeds_g: list[pd.Series] = []
    for seed in arguments.seeds:
        fold_n = folds(gene_n, seed)
        made: dict[str, Callable[[], np.ndarray]] = {
            name: lambda x=x, f=fold_n: crossed(
                y_nt, f, lambda trained_n, tested_n: baselines.ridge(x, y_nt, trained_n, groups=gene_n)[tested_n]
            )
            for name, x in features.items()
        }
        for name, make in made.items():
            told = f"isoforms {name} {arguments.epochs or ''} {seed}"
            predicted_nt, _ = kept(told, make)
            rows.append({"method": name, **scores(y_nt, predicted_nt, gene_n, length_g)})
        if not arguments.baselines_only:
            for name, predicted_nt in ours(seed).items():
                rows.append({"method": name, **scores(y_nt, predicted_nt, gene_n, length_g)})
                if name == OURS:
                    seeds_g.append(within(y_nt.mean(1), predicted_nt.mean(1), gene_n))
        print(shown(pd.DataFrame(rows).set_index("method"), COLUMNS, "within").to_string(), flush=True)
    means = pd.DataFrame(rows).groupby("method").mean()
    if seeds_g:
        own = means.loc[OURS].to_dict() | above_length(pd.concat(seeds_g, axis=1).mean(axis=1), length_g)
        told = f"above length by {own['above length']:.3f}, from {own['low']:.3f} to {own['high']:.3f} over genes, mean of seeds"
        print(verdict(own["low"] > 0, f"{OURS}: {told}"))
        print(verdict(own["within"] >= GOAL_WITHIN, f"{OURS}: within {own['within']:.3f}, wanted {GOAL_WITHIN}"))
        print(verdict(own["Spearman"] >= GOAL_ALL, f"{OURS}: over all {own['Spearman']:.3f}, wanted {GOAL_ALL}"))


if __name__ == "__main__":
    main()
