"""SNARE-seq: ScMBERT pre-trained on the training libraries and fine-tuned there, judged on the test libraries.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/scmbert.py [--seeds 0 1 2] [--parts annotation thinned cell bins modality small] [--models multiome RNA OmicsMLM shuffled]
                                 [--cells 0] [--skip scANVI MultiVI averages] [--out DIR] [--cache DIR]

annotation: accuracy and macro F1 of the labels, AvgBIO and AvgBATCH of the embedding before it saw labels, all of the
      test cells alone. ScMBERT and OmicsMLM are pre-trained on the training and validation libraries; "fine-tuned" is
      Classifier with TUNED below (full, the features' own weights frozen, cross-entropy), "frozen" the exact head on the
      embedding, "mean of these" the mean of the probabilities of both. Its settings were chosen by accuracy on held-out cells of the training libraries, out of four.
      Controls: the untrained start, and multiome with the peaks shuffled over cells. The baselines are logistic
      regression (C = 0.1; plain, and balanced) and 15 nearest neighbours on PCA and PCA+LSI of all cells (test cells
      among them: an advantage), scANVI with scArches, and logistic regression on MultiVI of all cells.
      With the first seed it also prints masked value prediction and modality prediction on the test cells, beside the
      majority and what a region's popularity tells.
thinned: the same with a fifth of the RNA counts of all cells, drawn at random: both modalities against RNA alone.
cell: k-NN (15) on the embedding, AvgBIO and AvgBATCH, with the reconstruction of the cell and without (cell_weight=0: tokens
      alone), beside the untrained start.
bins: k-NN (15) and fine-tuned, and masked value prediction, with bins of the training set and with bins of each cell.
modality: modality prediction where of the tokens in question the feature, the value, or nothing is visible.
small: 500 cells and train() as it is: CPU-seconds, and k-NN (15) on the embedding before and after.

With --cells, so many training cells, drawn by the seed; --skip averages: AvgBIO and AvgBATCH, which take long. --models: which
of annotation and thinned; "linked" is multiome with the authors' links of genes and peaks.
Every type of at least 10 cells is scored; the miscellaneous "Mis" is neither learned nor scored.
"""

import argparse
import logging
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _cache import Kept
from _tables import Target, shown, verdicts
from mudata import MuData
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omicsmlm import (
    Classifier,
    ClassifierConfig,
    OmicsMLM,
    OmicsMLMConfig,
    ScMBERT,
    ScMBERTConfig,
    datasets,
    evaluation,
)
from omicsmlm.evaluation import baselines

DROPPED = "Mis"
THINNED = 0.2  # fraction of its counts that a cell keeps
LINKS = "sc/snareseq_gene_peak_links.csv.gz"
TUNED = ClassifierConfig.scmbert_paper()
EPOCHS, TUNING_EPOCHS = 6, 12  # of pre-training (train() alone would take 11, for nothing here) and of fine-tuning
FROZEN = ClassifierConfig(balance=0.0)
HEADS = {"frozen": FROZEN, "fine-tuned": TUNED}
N_LATENT = 80
MULTIVI_EPOCHS, SCANVI_EPOCHS = 40, 100  # at most: caps beside early stopping, for the sake of CPU time
PARTS = ["annotation", "thinned", "cell", "bins", "modality", "small"]
MODELS = ["multiome", "linked", "RNA", "OmicsMLM", "shuffled"]
COLUMNS = ["accuracy", "macro F1", "AvgBIO", "AvgBATCH", "CPU-s"]
BASELINES = (
    "projected PCA, LR",
    "projected PCA, k-NN",
    "PCA (80), LR",
    "PCA+LSI (80), LR",
    "PCA, LR",
    "PCA, k-NN",
    "PCA+LSI (80), k-NN",
    "scANVI",
    "MultiVI, LR",
)
TARGETS = (
    Target("accuracy", beats=("ScMBERT RNA, fine-tuned",), row="ScMBERT multiome, fine-tuned"),
    Target("macro F1", beats=("ScMBERT RNA, fine-tuned",), row="ScMBERT multiome, fine-tuned"),
    Target("accuracy", beats=BASELINES, row="ScMBERT multiome, fine-tuned"),
    Target("macro F1", beats=BASELINES, row="ScMBERT multiome, fine-tuned"),
)
THINNED_TARGETS = tuple(
    Target("accuracy", beats=("ScMBERT RNA, fine-tuned",), slack=-0.05, row=row)
    for row in ("ScMBERT multiome, fine-tuned", "ScMBERT multiome, links, fine-tuned")
)


class Cells:
    """The set, or so many of its training cells, and how answers on its test cells are scored."""

    def __init__(self, arguments: argparse.Namespace, seed: int, *, n: int = 0, thinned: bool = False) -> None:
        n, self.has_averages = n or arguments.cells, "averages" not in arguments.skip
        self.data = datasets.snareseq()
        if n:
            is_test = (self.data.obs["split"] == "test").to_numpy()
            drawn = np.random.default_rng(seed).permutation(np.flatnonzero(~is_test))[:n]
            self.data = self.data[np.sort(np.concatenate([drawn, np.flatnonzero(is_test)]))].copy()
        if thinned:
            counts = sparse.csr_matrix(self.data["rna"].X)
            kept = np.random.default_rng(seed).binomial(counts.data.astype(np.int64), THINNED).astype(np.float32)
            thin = sparse.csr_matrix((kept, counts.indices, counts.indptr), counts.shape)
            thin.eliminate_zeros()
            self.data["rna"].X = thin
        self.labels = self.data.obs["cell_type"].astype(str).to_numpy()
        self.is_test = (self.data.obs["split"] == "test").to_numpy()
        counts = pd.Series(self.labels[self.is_test]).value_counts()
        self.evaluated = self.is_test & np.isin(self.labels, counts.index[counts >= 10].drop(DROPPED))
        self.learned = ~self.is_test & (self.labels != DROPPED)
        self.reference, self.test = self.data[~self.is_test].copy(), self.data[self.evaluated].copy()

    def only(self, data: MuData, modality: str) -> MuData:
        part = MuData({modality: data[modality].copy()})
        part.obs = data.obs.loc[part.obs_names].copy()
        return part

    def answered(self, called: Any) -> dict[str, float]:
        truth = self.labels[self.evaluated]
        return {
            "accuracy": accuracy_score(truth, called),
            "macro F1": f1_score(truth, called, average="macro", labels=np.unique(truth), zero_division=0),
        }

    def averaged(self, embedding: np.ndarray) -> dict[str, float]:
        if not self.has_averages:
            return {}
        batches = self.data.obs["batch"].astype(str).to_numpy()[self.evaluated]
        table = evaluation.avg_bio_batch(embedding, self.labels[self.evaluated], batches)
        return table.iloc[0][["AvgBIO", "AvgBATCH"]].to_dict()

    def probed(self, embedding: np.ndarray, classifier: Any) -> dict[str, float]:
        fitted = classifier.fit(embedding[self.learned], self.labels[self.learned])
        return self.answered(fitted.predict(embedding[self.evaluated])) | self.averaged(embedding[self.evaluated])


def linear(**options: Any) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, **options))


def plain_rows(cells: Cells, arguments: argparse.Namespace, seed: int, *, thinned: bool) -> dict[str, dict[str, float]]:
    kept, rows = Kept(arguments.cache), {}
    of = f"-{arguments.cells}-{seed}" * bool(arguments.cells) + f"-thinned-{seed}" * thinned
    embeddings = {
        "PCA": (lambda: baselines.pca(cells.data, 50)),
        f"PCA ({N_LATENT})": (lambda: baselines.pca(cells.data, N_LATENT)),
        f"PCA+LSI ({N_LATENT})": (lambda: baselines.pca_lsi(cells.data, N_LATENT)),
    }
    if "MultiVI" not in arguments.skip:
        embeddings["MultiVI"] = lambda: baselines.multivi(cells.data, "batch", max_epochs=MULTIVI_EPOCHS)
    for name, make in embeddings.items():
        embedding, spent = kept(f"snareseq-{name}{of}", make)
        answers = {"LR": linear(), "LR balanced": linear(class_weight="balanced"), "k-NN": KNeighborsClassifier(15)}
        for how, classifier in answers.items():
            rows[f"{name}, {how}"] = cells.probed(embedding, classifier) | {"CPU-s": spent}
    known_nd, asked_nd = baselines.projected_pca(cells.reference, cells.test)
    is_known = cells.learned[~cells.is_test]
    for how, classifier in {"LR": linear(), "k-NN": KNeighborsClassifier(15)}.items():
        fitted = classifier.fit(known_nd[is_known], cells.labels[cells.learned])
        rows[f"projected PCA, {how}"] = cells.answered(fitted.predict(asked_nd)) | cells.averaged(asked_nd)
    if "scANVI" not in arguments.skip:
        labelled = cells.data[cells.learned].copy()

        def transferred() -> dict[str, np.ndarray]:
            found = baselines.scanvi_query(
                labelled, cells.test, "batch", "cell_type", max_epochs=SCANVI_EPOCHS, query_epochs=50
            )
            return {"labels": found.labels.to_numpy(dtype=str), "z": found.query_nd}

        found, spent = kept.arrays(f"snareseq-scanvi{of}", transferred)
        rows["scANVI"] = cells.answered(found["labels"]) | cells.averaged(found["z"]) | {"CPU-s": spent}
    return rows


def tuned(model: Any, test: MuData, config: ClassifierConfig) -> tuple[pd.DataFrame, float]:
    start = time.process_time()
    classifier = Classifier.from_model(model, "cell_type", DROPPED, config)
    classifier.train(TUNING_EPOCHS, progress_bar=False)
    return classifier.predict(test, soft=True), time.process_time() - start


def called(table: pd.DataFrame) -> np.ndarray:
    return table.columns.to_numpy()[table.to_numpy().argmax(1)]


def our_rows(
    cells: Cells, name: str, model: Any, test: MuData, heads: tuple[str, ...], untrained: bool = False
) -> dict[str, dict[str, float]]:
    """A model, pre-trained here: its untrained start, and ways to read labels off it."""
    rows = {}
    if untrained:
        table, _ = tuned(model, test, FROZEN)
        rows[f"{name} untrained, frozen"] = cells.answered(called(table)) | cells.averaged(
            model.get_latent_representation(test)
        )
    start = time.process_time()
    model.train(None if isinstance(model, OmicsMLM) else EPOCHS, key_added=None, progress_bar=False)
    spent = time.process_time() - start
    averages, tables = cells.averaged(model.get_latent_representation(test)), []
    for how in heads:
        table, more = tuned(model, test, replace(HEADS[how], seed=model.config.seed))
        tables.append(table)
        rows[f"{name}, {how}"] = cells.answered(called(table)) | averages | {"CPU-s": spent + more}
        print(f"  {name}, {how}, seed {model.config.seed}: {rows[f'{name}, {how}']}", flush=True)
    if len(tables) > 1:
        mean = pd.DataFrame(
            np.mean([table[tables[0].columns].to_numpy() for table in tables], 0), columns=tables[0].columns
        )
        rows[f"{name}, mean of these"] = cells.answered(called(mean)) | averages
    return rows


def family_rows(cells: Cells, model: str, seed: int, first: bool) -> dict[str, dict[str, float]]:
    """Rows of one of MODELS; with the first seed also of what is said of its tokens and of its untrained start."""
    config, whole = ScMBERTConfig(seed=seed), (cells.reference, cells.test)
    if model == "multiome":
        multiome = ScMBERT(cells.reference, config, batch_key="batch")
        rows = our_rows(cells, "ScMBERT multiome", multiome, cells.test, ("frozen", "fine-tuned"), untrained=first)
        if first:
            table = multiome.evaluate_tokens(cells.test).round(3)
            print(f"\n== hidden tokens of the test cells\n{table.to_string(na_rep='')}", flush=True)
        return rows
    if model == "linked":
        links = pd.read_csv(Path(os.environ["OMICSMLM_DATA"]) / LINKS)
        linked = ScMBERT(cells.reference, config, batch_key="batch", links=links)
        return our_rows(cells, "ScMBERT multiome, links", linked, cells.test, ("fine-tuned",))
    if model == "RNA":
        reference, test = (cells.only(data, "rna") for data in whole)
        return our_rows(cells, "ScMBERT RNA", ScMBERT(reference, config, batch_key="batch"), test, ("fine-tuned",))
    if model == "OmicsMLM":
        omics = OmicsMLM(cells.reference, OmicsMLMConfig(seed=seed), batch_key="batch")
        return our_rows(cells, "OmicsMLM multiome", omics, cells.test, ("frozen", "fine-tuned"))
    reference, test = (evaluation.shuffle_modality(data, "atac", seed) for data in whole)
    shuffled = ScMBERT(reference, config, batch_key="batch")
    return our_rows(cells, "ScMBERT, peaks shuffled", shuffled, test, ("fine-tuned",))


def annotation(arguments: argparse.Namespace, *, thinned: bool = False) -> None:
    tables = []
    for seed in arguments.seeds:
        first = seed == arguments.seeds[0]
        cells = Cells(arguments, seed, thinned=thinned)
        has_new_cells = first or thinned or arguments.cells
        rows = plain_rows(cells, arguments, seed, thinned=thinned) if has_new_cells else {}
        for model in arguments.models:
            if model != "shuffled" or first:
                rows |= family_rows(cells, model, seed, first)
        tables.append(pd.DataFrame(rows).T)
        pd.concat(tables).to_csv(arguments.out / ("scmbert-thinned.csv" if thinned else "scmbert.csv"))
    whole = pd.concat(tables)
    print(f"\n== SNARE-seq{', RNA thinned' * thinned}, {int(cells.evaluated.sum())} cells of the test libraries")
    print(shown(whole, COLUMNS, "accuracy").to_string())
    means = whole.groupby(level=0, sort=False).mean()
    print("\n".join(verdicts(THINNED_TARGETS if thinned else TARGETS, means)))


def cell(cells: Cells, seed: int) -> None:
    rows = {}
    for name, config in {
        "with the cell": ScMBERTConfig(seed=seed),
        "tokens alone": ScMBERTConfig(seed=seed, cell_weight=0.0),
    }.items():
        model = ScMBERT(cells.reference, config, batch_key="batch")
        if "untrained" not in rows:
            rows["untrained"] = cells.probed(model.get_latent_representation(cells.data), KNeighborsClassifier(15))
        model.train(EPOCHS, key_added=None, progress_bar=False)
        rows[name] = cells.probed(model.get_latent_representation(cells.data), KNeighborsClassifier(15))
    print(f"\n== the reconstruction of the cell; k-NN\n{pd.DataFrame(rows).T.round(3).to_string()}", flush=True)


def bins(arguments: argparse.Namespace) -> None:
    tables = []
    for seed in arguments.seeds:
        cells, rows = Cells(arguments, seed), {}
        for name, per_cell in {"of the training set": False, "of each cell": True}.items():
            model = ScMBERT(cells.reference, ScMBERTConfig(seed=seed, bins_per_cell=per_cell), batch_key="batch")
            knn = KNeighborsClassifier(15)
            rows[f"{name}, untrained, k-NN"] = cells.probed(model.get_latent_representation(cells.data), knn)
            rows |= our_rows(cells, f"{name}", model, cells.test, ("fine-tuned",))
            rows[f"{name}, k-NN"] = cells.probed(model.get_latent_representation(cells.data), knn)
            table = model.evaluate_tokens(cells.test).round(3)
            print(f"\n== bins {name}, seed {seed}\n{table.to_string(na_rep='')}", flush=True)
        tables.append(pd.DataFrame(rows).T)
    print(f"\n== bins\n{shown(pd.concat(tables), COLUMNS, 'accuracy').to_string()}", flush=True)


def modality(arguments: argparse.Namespace) -> None:
    seed = arguments.seeds[0]
    cells, rows = Cells(arguments, seed), {}
    for visible, changes in {
        "feature and value": {"identity_visible": True},
        "value": {},
        "nothing": {"identity_value_visible": False},
    }.items():
        model = ScMBERT(cells.reference, ScMBERTConfig(seed=seed, **changes), batch_key="batch")
        model.train(EPOCHS, key_added=None, progress_bar=False)
        probed = cells.probed(model.get_latent_representation(cells.data), KNeighborsClassifier(15))
        rows[visible] = model.evaluate_tokens(cells.test).loc["modality"].to_dict() | {"k-NN": probed["accuracy"]}
        print(f"\n== modality prediction by what is visible\n{pd.DataFrame(rows).T.round(3).to_string()}", flush=True)


def small(arguments: argparse.Namespace) -> None:
    tables = []
    for seed in arguments.seeds:
        cells, rows, start = Cells(arguments, seed, n=500), {}, time.process_time()
        model = ScMBERT(cells.reference, ScMBERTConfig(seed=seed), batch_key="batch")
        spent, knn = time.process_time() - start, KNeighborsClassifier(15)
        untrained = cells.probed(model.get_latent_representation(cells.data), knn)
        rows["untrained, k-NN"] = untrained | {"CPU-s": spent}
        start = time.process_time()
        model.train(key_added=None, progress_bar=False)
        spent += time.process_time() - start
        print(f"  seed {seed}: {len(model.history['train_loss'])} epochs, {spent:.0f} CPU-s in all", flush=True)
        rows["trained, k-NN"] = cells.probed(model.get_latent_representation(cells.data), knn) | {"CPU-s": spent}
        tables.append(pd.DataFrame(rows).T)
    print(f"\n== 500 cells\n{shown(pd.concat(tables), COLUMNS, 'accuracy').to_string()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[m for m in MODELS if m != "linked"])
    parser.add_argument("--cells", type=int, default=0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--skip", nargs="+", choices=["scANVI", "MultiVI", "averages"], default=[])
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore", module="sklearn")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if "annotation" in arguments.parts:
        annotation(arguments)
    if "thinned" in arguments.parts:
        annotation(arguments, thinned=True)
    if "cell" in arguments.parts:
        cell(Cells(arguments, arguments.seeds[0]), arguments.seeds[0])
    if "bins" in arguments.parts:
        bins(arguments)
    if "modality" in arguments.parts:
        modality(arguments)
    if "small" in arguments.parts:
        small(arguments)


if __name__ == "__main__":
    main()
