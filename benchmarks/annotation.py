"""Labels for cells of a new batch, of unknown types, and from wrong labels: Classifier beside plain and published ones.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/annotation.py [--parts chemistry type noise modality] [--seeds 0] [--tunings frozen lora ia3 full]
                                    [--skip scANVI] [--scanvi-epochs N] [--cache DIR]

chemistry: pbmc_3tech, each chemistry in turn is the query of everything, encoder and classifier; "adapted": moved onto
      the reference first.
type: each type of at least 10 cells in turn is left out of everything; the test cells are those, and a random fifth of
      the others. AUROC of left out against others: novelty for Classifier, 1 - largest probability for the others.
noise: as chemistry, but 30 % of the labels are replaced by another one at random.
modality: TEA-seq, a random fifth as test cells, by both modalities and by one.

"LR on PCA" is the probe of omicsmlm.evaluation (50 components of the reference, standardised, balanced, C = 0.1), and
"LR on PCA, chosen C" takes C from 0.001 to 10 by the log loss of five folds, without weights. scANVI is adapted to the
test cells by scArches.
"""

import argparse
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _cache import Kept
from _tables import verdict
from mudata import MuData
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM, OmicsMLMConfig, datasets, evaluation
from omicsmlm.evaluation import baselines

OURS, LR, LR_CHOSEN, SCANVI = "Classifier", "LR on PCA", "LR on PCA, chosen C", "scANVI"
WRONG, MIN_CELLS, TEST_SHARE = 0.3, 10, 0.2


class Split(NamedTuple):
    """What is learned from, and what is labelled."""

    name: str
    reference: Any
    test: Any


class Answer(NamedTuple):
    """What a method says of the test cells."""

    probabilities: pd.DataFrame
    uncalibrated: pd.DataFrame | None
    novelty: np.ndarray
    rejected: np.ndarray | None


def chemistries() -> Iterator[Split]:
    data = datasets.pbmc_3tech()
    for batch in data.obs["batch"].cat.categories:
        is_query = (data.obs["batch"] == batch).to_numpy()
        yield Split(f"query {batch}", data[~is_query].copy(), data[is_query].copy())


def types(seed: int) -> Iterator[Split]:
    data = datasets.pbmc_3tech()
    counts = data.obs["cell_type"].value_counts()
    for label in counts.index[counts >= MIN_CELLS]:
        is_out = (data.obs["cell_type"] == label).to_numpy()
        train, _ = train_test_split(np.flatnonzero(~is_out), test_size=TEST_SHARE, random_state=seed)
        is_train = np.isin(np.arange(data.n_obs), train)
        yield Split(f"without {label}", data[is_train].copy(), data[~is_train].copy())


def with_wrong_labels(split: Split, seed: int) -> Split:
    """Replace some labels of the reference by another one, drawn uniformly."""
    rng = np.random.default_rng([seed, 30])
    reference = split.reference.copy()
    labels = reference.obs["cell_type"].astype(str).to_numpy()
    known = np.unique(labels)
    is_wrong = rng.random(len(labels)) < WRONG
    shift = rng.integers(1, len(known), len(labels))
    moved = known[(np.searchsorted(known, labels) + shift) % len(known)]
    reference.obs["cell_type"] = pd.Categorical(np.where(is_wrong, moved, labels))
    return Split(f"{split.name}, wrong labels", reference, split.test)


def encoder(split: Split, seed: int, cache: Path | None, batch_key: str | None = "batch") -> OmicsMLM:
    """Train the encoder of a split; labels play no part in it."""
    folder = None if cache is None else cache / "models" / f"{split.name.split(',')[0]}-{seed}".replace(" ", "_")
    if folder is not None and folder.exists():
        return OmicsMLM.load(folder, split.reference)
    model = OmicsMLM(split.reference, OmicsMLMConfig(seed=seed), batch_key=batch_key)
    model.train(key_added=None, progress_bar=False)
    if folder is not None:
        model.save(folder)
    return model


def fitted(split: Split, model: OmicsMLM, tuning: str, seed: int) -> Classifier:
    classifier = Classifier.from_model(model, "cell_type", config=ClassifierConfig(tuning=tuning, seed=seed))
    classifier.train(progress_bar=False)
    temperature, noise = float(classifier.module.head.temperature), classifier.label_noise
    print(f"  {split.name}, {tuning}: T {temperature:.2f}, label noise {noise:.3f}", flush=True)
    return classifier


def ours(classifier: Classifier, test: Any) -> Answer:
    after = classifier.predict(test, soft=True)
    novelty = classifier.novelty(test).to_numpy()
    raw = np.log(np.maximum(after.to_numpy(dtype=float), 1e-30)) * float(classifier.module.head.temperature)
    before = pd.DataFrame(np.exp(raw) / np.exp(raw).sum(1, keepdims=True), after.index, after.columns)
    return Answer(after, before, novelty, novelty > classifier.threshold)


def plain(probabilities: pd.DataFrame) -> Answer:
    """A method that knows no unknowns."""
    return Answer(probabilities, None, 1 - probabilities.max(axis=1).to_numpy(), None)


def regressions(split: Split) -> dict[str, Answer]:
    x_nd, q_nd = baselines.projected_pca(split.reference, split.test)
    labels = split.reference.obs["cell_type"].astype(str)
    chosen = LogisticRegressionCV(Cs=np.logspace(-3, 1, 9), cv=5, scoring="neg_log_loss", max_iter=500)
    fixed = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    answers = {}
    for name, regression in {LR: fixed, LR_CHOSEN: chosen}.items():
        fitted = make_pipeline(StandardScaler(), regression).fit(x_nd, labels)
        answers[name] = plain(pd.DataFrame(fitted.predict_proba(q_nd), split.test.obs_names, fitted.classes_))
    return answers


def scanvi(split: Split, seed: int, epochs: int | None, kept: Kept) -> Answer:
    limits = {} if epochs is None else {"max_epochs": epochs, "query_epochs": min(epochs, 20)}

    def made() -> dict[str, np.ndarray]:
        found = baselines.scanvi_query(split.reference, split.test, "batch", "cell_type", seed=seed, **limits)
        return {"p": found.probabilities.to_numpy(), "labels": found.probabilities.columns.to_numpy(dtype=str)}

    arrays, _ = kept.arrays(f"scanvi-{split.name}-{seed}-{epochs}", made)
    return plain(pd.DataFrame(arrays["p"], split.test.obs_names, arrays["labels"]))


def answers_of(split: Split, seed: int, arguments: argparse.Namespace, tunings: list[str]) -> dict[str, Answer]:
    model = encoder(split, seed, arguments.cache)
    answers = {}
    for tuning in tunings:
        name, classifier = OURS if tuning == "frozen" else f"{OURS}, {tuning}", fitted(split, model, tuning, seed)
        answers[name] = ours(classifier, split.test)
        if split.name.startswith("query"):
            adapted = Classifier.load_query_data(split.test, classifier)
            adapted.adapt()
            answers[f"{name}, adapted"] = ours(adapted, split.test)
    answers |= regressions(split)
    if SCANVI not in arguments.skip:
        answers[SCANVI] = scanvi(split, seed, arguments.scanvi_epochs, Kept(arguments.cache))
    return answers


def perfect_error(probabilities: pd.DataFrame, seed: int = 0, n_draws: int = 50) -> float:
    """The ECE that as many test cells would show if the probabilities were exact: their labels are drawn from these."""
    rng = np.random.default_rng(seed)
    up_to = probabilities.to_numpy().cumsum(1)
    drawn = [(rng.random((len(up_to), 1)) > up_to[:, :-1]).sum(1) for _ in range(n_draws)]
    labels = probabilities.columns.to_numpy()
    return float(np.mean([evaluation.reliability(probabilities, labels[codes]).attrs["ECE"] for codes in drawn]))


def evaluated(answer: Answer, truth: pd.Series) -> dict[str, float]:
    """Accuracy and calibration over test cells, types that the reference lacks among them."""
    called = answer.probabilities.columns.to_numpy()[answer.probabilities.to_numpy().argmax(1)]
    right = called == truth.to_numpy()
    scores = {
        "accuracy": accuracy_score(truth, called),
        "balanced": recall_score(truth, called, labels=np.unique(truth), average="macro", zero_division=0),
        "ECE": evaluation.reliability(answer.probabilities, truth).attrs["ECE"],
        "ECE if exact": perfect_error(answer.probabilities),
    }
    if answer.uncalibrated is not None:
        scores["ECE before"] = evaluation.reliability(answer.uncalibrated, truth).attrs["ECE"]
    if answer.rejected is not None:
        scores["rejected"] = answer.rejected.mean()
        scores["accuracy of kept"] = right[~answer.rejected].mean()
    return scores


def in_table(rows: list[dict[str, Any]], column: str) -> pd.DataFrame:
    """Methods by what was left out, and their mean."""
    table = pd.DataFrame(rows).pivot_table(index="method", columns="left out", values=column, sort=False)
    return table.assign(mean=table.mean(axis=1))


def chemistry_and_noise(arguments: argparse.Namespace) -> None:
    rows: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for split in chemistries():
            truth = split.test.obs["cell_type"].astype(str)
            if "chemistry" in arguments.parts or "noise" in arguments.parts:
                for name, answer in answers_of(split, seed, arguments, arguments.tunings).items():
                    rows.append({"labels": "right", "method": name, "left out": split.name, **evaluated(answer, truth)})
            if "noise" in arguments.parts:
                wrong = with_wrong_labels(split, seed)
                for name, answer in answers_of(wrong, seed, arguments, ["frozen"]).items():
                    rows.append({"labels": "wrong", "method": name, "left out": split.name, **evaluated(answer, truth)})
    right = [row for row in rows if row["labels"] == "right"]
    print("\n== chemistry: mean over queries")
    means = pd.DataFrame(right).drop(columns=["labels", "left out"]).groupby("method", sort=False).mean()
    print(means.round(3).to_string(na_rep=""))
    for column in ("accuracy", "ECE", "ECE before"):
        print(f"\n{column}\n{in_table(right, column).round(3).to_string()}")
    print(verdict(means.loc[OURS, "ECE"] <= 0.03, f"{OURS}: ECE {means.loc[OURS, 'ECE']:.3f}, wanted <= 0.03"))
    if "noise" in arguments.parts:
        wrong_means = in_table([row for row in rows if row["labels"] == "wrong"], "accuracy")["mean"]
        drops = pd.DataFrame({"right": means["accuracy"], "30 % wrong": wrong_means}).dropna()
        drops["drop"] = drops["right"] - drops["30 % wrong"]
        print(f"\n== noise: accuracy, mean over queries\n{drops.round(3).to_string()}")
        got, bar = drops.loc[OURS, "drop"], drops.loc[LR, "drop"]
        print(verdict(got < bar, f"{OURS}: drop {got:.3f}, wanted < {bar:.3f} ({LR})"))


def left_out_types(arguments: argparse.Namespace) -> None:
    rows: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for split in types(seed):
            is_new = (~split.test.obs["cell_type"].isin(split.reference.obs["cell_type"].unique())).to_numpy()
            for name, answer in answers_of(split, seed, arguments, ["frozen"]).items():
                row = {"method": name, "left out": split.name, "AUROC": roc_auc_score(is_new, answer.novelty)}
                if answer.rejected is not None:
                    row["rejected, new"] = answer.rejected[is_new].mean()
                    row["rejected, known"] = answer.rejected[~is_new].mean()
                rows.append(row)
    table = in_table(rows, "AUROC")
    print(f"\n== type: AUROC of new against known\n{table.round(3).to_string()}")
    for column in ("rejected, new", "rejected, known"):
        print(f"\n{column}\n{in_table(rows, column).round(3).to_string()}")
    for rival in (name for name in (SCANVI, LR) if name in table.index):
        got, bar = table.loc[OURS, "mean"], table.loc[rival, "mean"]
        print(verdict(got > bar, f"{OURS}: AUROC {got:.3f}, wanted > {bar:.3f} ({rival})"))


def lacking_modalities(arguments: argparse.Namespace) -> None:
    data = datasets.teaseq()
    rows = []
    for seed in arguments.seeds:
        is_test = np.random.default_rng(seed).random(data.n_obs) < TEST_SHARE
        split = Split("teaseq", data[~is_test].copy(), data[is_test].copy())
        model = encoder(split, seed, arguments.cache, None)
        classifier = Classifier.from_model(model, "cell_type", config=ClassifierConfig(seed=seed))
        classifier.train()
        alone = {f"{m} only": MuData({m: split.test[m].copy()}) for m in split.test.mod}
        for part in alone.values():
            part.obs = split.test.obs.loc[part.obs_names].copy()
        for shown, part in {"both": split.test, **alone}.items():
            rows.append({"shown": shown, **classifier.evaluate(part, "cell_type")})
    print(f"\n== modality: TEA-seq\n{pd.DataFrame(rows).groupby('shown', sort=False).mean().round(3).to_string()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["chemistry", "type", "noise", "modality"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--tunings", nargs="+", choices=["frozen", "lora", "ia3", "full"], default=["frozen"])
    parser.add_argument("--skip", nargs="+", choices=[SCANVI], default=[])
    parser.add_argument("--scanvi-epochs", type=int, default=None, help="at most; to convergence if not given")
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore", module="sklearn")
    if {"chemistry", "noise"} & set(arguments.parts):
        chemistry_and_noise(arguments)
    if "type" in arguments.parts:
        left_out_types(arguments)
    if "modality" in arguments.parts:
        lacking_modalities(arguments)


if __name__ == "__main__":
    main()
