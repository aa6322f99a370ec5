"""Labels of another donor, chemistry or fold: Classifier and each of its candidates beside plain logistic regressions.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/label_candidates.py [--sets cite pbmc_3tech kang pam50 ccle] [--seeds 0] [--cache DIR] [--untrained] [--divided]
                                          [--skip "LR features, C chosen" …]

Each donor (BMMC CITE, Kang), chemistry (pbmc_3tech) or fold of the data (PAM50, CCLE: samples with both modalities) in turn is
left out of everything, the encoder included. Accuracy and macro F1 are of the pooled observations left out, those whose
label the rest lacks not counted; ECE is the mean of those left out in turn. "LR": standardised logistic regressions, C = 0.1, balanced or not, of 50 principal components
of RNA of the reference; with proteins, 30 components of their centred log ratios, or all of these, beside them; of bulk values
50 components of both modalities. "C chosen": by log loss, 5 inner folds, not balanced. "LR features": of all standardised
features, C = 0.001, or C chosen in the same way. The error of a regret is that of its paired bootstrap over observations.
"ECE if exact": what as many observations would show if the probabilities of the method were right, the mean of 100 draws of labels.
With --cache encoders and predictions are kept; --untrained adds Classifier on the encoder as it begins.
--divided has Classifier divide by no frequency of labels, adds its probabilities divided by each power of these, and chooses
the power for each set on all the others: by the largest regret over accuracy and macro F1, of equal ones by the mean. For bulk
values, which Classifier does not divide, that is an experiment of its own.
"""

import argparse
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from labels_bulk import VIEWS, made
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omicsmlm import Classifier, ClassifierConfig, OmicsMLM, OmicsMLMConfig, datasets
from omicsmlm.evaluation import baselines

OURS = "Classifier"
POWERS = (0.0, 0.25, 0.5)
"""Of the frequencies of labels."""
N_VARIABLE, C, C_OF_FEATURES, N_RESAMPLES, N_BINS, N_DRAWS = 2000, 0.1, 0.001, 200, 15, 100
CELLS = {
    "cite": (lambda: datasets.load("sc/bmmc_cite_2donor.h5mu"), "batch"),
    "pbmc_3tech": (datasets.pbmc_3tech, "batch"),
    "kang": (lambda: datasets.load("sc/kang_ifnb_pbmc.h5ad"), "donor"),
}
"""How a set of cells is loaded, and the column of what is left out."""
SETS = (*CELLS, "pam50", "ccle")


class Split(NamedTuple):
    """What is learned from and what is labelled, with the label of each observation."""

    name: str
    reference: Any
    test: Any
    labels_key: str


def splits(name: str) -> Iterator[Split]:
    if name in CELLS:
        load, key = CELLS[name]
        data = load()
        groups = data.obs[key].astype(str).to_numpy()
        for group in sorted(set(groups)):
            yield Split(f"{name}-{group}", data[groups != group].copy(), data[groups == group].copy(), "cell_type")
        return
    of = made(name)
    for fold in of.tests:
        reference, test = (of.shown(rows, VIEWS["both"]) for rows in (of.fold_n != fold, of.fold_n == fold))
        reference.obs["label"] = reference.obs["label"].astype(object).where(reference.obs["label"].notna(), "Unknown")
        yield Split(f"{name}-{fold}", reference, test, "label")


def dense(part: Any) -> np.ndarray:
    return np.asarray(part.X.toarray() if hasattr(part.X, "toarray") else part.X, dtype=np.float64)


def plain_features(split: Split) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """What plain regressions are of: name, features and labels to learn from, features of the test observations."""
    reference, test = split.reference, split.test
    label_n = reference.obs[split.labels_key].astype(str).to_numpy()
    if "methylation" in getattr(reference, "mod", {}):
        names = [name for name in reference["rna"].obs_names if name in set(reference["methylation"].obs_names)]
        label_n = reference.obs[split.labels_key].astype(str)[names].to_numpy()
        known_n = label_n != "Unknown"
        x_ng = np.hstack([dense(reference[m][names]) for m in VIEWS["both"]])[known_n]
        q_ng = np.hstack([dense(test[m][test.obs_names]) for m in VIEWS["both"]])
        scaler = StandardScaler().fit(x_ng)
        x_ng, q_ng = scaler.transform(x_ng), scaler.transform(q_ng)
        fitted = PCA(50, random_state=0).fit(x_ng)
        yield "LR PCA", fitted.transform(x_ng), label_n[known_n], fitted.transform(q_ng)
        yield "LR features", x_ng, label_n[known_n], q_ng
        return
    rna = [log_ratios(data["rna"] if hasattr(data, "mod") else data) for data in (reference, test)]
    yield "LR features", rna[0], label_n, rna[1]
    if "adt" not in getattr(reference, "mod", {}):
        x_nd, q_nd = baselines.projected_pca(reference, test)
        yield "LR PCA", x_nd, label_n, q_nd
        return
    protein = []
    for data in (reference, test):
        y_ng = np.log1p(dense(data["adt"]))
        protein.append(y_ng - y_ng.mean(1, keepdims=True))
    variable = np.argsort(-rna[0].var(0))[:N_VARIABLE]
    of_rna, of_protein = PCA(50, random_state=0).fit(rna[0][:, variable]), PCA(30, random_state=0).fit(protein[0])
    x_nd, q_nd = (of_rna.transform(part[:, variable]) for part in rna)
    y_nd, p_nd = (of_protein.transform(part) for part in protein)
    yield "LR PCA + CLR (80)", np.hstack([x_nd, y_nd]), label_n, np.hstack([q_nd, p_nd])
    yield "LR PCA + all CLR", np.hstack([x_nd, protein[0]]), label_n, np.hstack([q_nd, protein[1]])


def log_ratios(part: Any) -> np.ndarray:
    x_ng = dense(part)
    return np.log1p(x_ng / np.maximum(x_ng.sum(1, keepdims=True), 1) * 1e4)


def plain(split: Split, skipped: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, x_nd, label_n, q_nd in plain_features(split):
        inverse = C_OF_FEATURES if name == "LR features" else C
        ways = {
            f"{name}, balanced": LogisticRegression(C=inverse, class_weight="balanced", max_iter=2000),
            f"{name}, unbalanced": LogisticRegression(C=inverse, max_iter=2000),
        }
        if "CLR" not in name:
            grid = np.logspace(-4, 0, 5)
            ways[f"{name}, C chosen"] = LogisticRegressionCV(Cs=grid, cv=5, scoring="neg_log_loss", max_iter=300)
        for method, regression in ways.items():
            if method in skipped:
                continue
            fitted = make_pipeline(StandardScaler(), regression).fit(x_nd, label_n)
            yield method, pd.DataFrame(fitted.predict_proba(q_nd), split.test.obs_names, fitted.classes_)


def encoder(split: Split, seed: int, cache: Path | None, *, trained: bool = True) -> OmicsMLM:
    """Train the encoder of a split, or take it from the cache; labels play no part in it."""
    folder = None if cache is None or not trained else cache / "models" / f"{split.name}-{seed}"
    if folder is not None and folder.exists():
        return OmicsMLM.load(folder, split.reference)
    batch_key = "batch" if "batch" in split.reference.obs else None
    model = OmicsMLM(split.reference, OmicsMLMConfig(seed=seed), batch_key=batch_key)
    if trained:
        model.train(key_added=None, progress_bar=False)
    if folder is not None:
        model.save(folder)
    return model


def ours(split: Split, seed: int, arguments: argparse.Namespace) -> Iterator[tuple[str, pd.DataFrame]]:
    config = ClassifierConfig(seed=seed)
    if arguments.divided:  # by what is to be chosen, not by the default
        config = replace(config, frequency_power=0.0)
    model = encoder(split, seed, arguments.cache)
    classifier = Classifier.from_model(model, split.labels_key, config=config)
    classifier.train(progress_bar=False)
    print(f"{split.name}, seed {seed}\n{classifier.candidates.round(3).to_string()}", flush=True)
    yield OURS, classifier.predict(split.test, soft=True)
    for name, table in classifier.predict_candidates(split.test).items():
        yield f"  {name}", table
    if arguments.untrained:
        start = encoder(split, seed, None, trained=False)
        untrained = Classifier.from_model(start, split.labels_key, config=config)
        untrained.train(progress_bar=False)
        yield f"{OURS}, untrained", untrained.predict(split.test, soft=True)


def divided_name(power: float) -> str:
    return f"  divided by frequency^{power:g}"


def divided(table: pd.DataFrame, label_n: pd.Series, power: float) -> pd.DataFrame:
    """Divide probabilities by the frequencies of the labels that were learned from to a power, and normalise them."""
    weighted = table / label_n.value_counts()[table.columns].to_numpy() ** power
    return weighted.div(weighted.sum(1), axis=0)


def kept(methods: Iterator[tuple[str, pd.DataFrame]], name: str, cache: Path | None) -> dict[str, pd.DataFrame]:
    """What methods predict, from the cache if it is there."""
    path = None if cache is None else cache / "predictions" / f"{name}.pkl"
    if path is not None and path.exists():
        return pd.read_pickle(path)
    tables = dict(methods)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.to_pickle(tables, path)
    return tables


class Pooled(NamedTuple):
    """What a method says of all observations that were left out, in turn."""

    truth_n: np.ndarray
    called_n: np.ndarray
    sure_n: np.ndarray
    part_n: np.ndarray
    """Which of those that were left out in turn an observation belongs to: calibration is that of each by itself."""

    def scores(self, at_n: np.ndarray | slice = slice(None)) -> tuple[float, float]:
        truth_n, called_n = self.truth_n[at_n], self.called_n[at_n]
        return accuracy_score(truth_n, called_n), f1_score(truth_n, called_n, average="macro", zero_division=0)

    def calibration_error(self) -> float:
        return self._error(self.called_n == self.truth_n)

    def error_if_exact(self) -> float:
        """The error if each label that is called were right as often as its probability says."""
        rng = np.random.default_rng(0)
        return float(np.mean([self._error(rng.random(len(self.sure_n)) < self.sure_n) for _ in range(N_DRAWS)]))

    def _error(self, is_right_n: np.ndarray) -> float:
        gap_n = is_right_n - self.sure_n
        bin_n = np.minimum((self.sure_n * N_BINS).astype(int), N_BINS - 1) + N_BINS * self.part_n
        return float(np.abs(np.bincount(bin_n, gap_n)).sum() / len(gap_n))


def pooled(tables: list[tuple[pd.Series, pd.DataFrame]]) -> Pooled:
    parts = []
    for part, (truth, table) in enumerate(tables):
        p_nc = table.loc[truth.index].to_numpy()
        called_n = table.columns.to_numpy(dtype=str)[p_nc.argmax(1)]
        parts.append((truth.to_numpy(), called_n, p_nc.max(1), np.full(len(truth), part)))
    return Pooled(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def measured(name: str, seed: int, arguments: argparse.Namespace) -> dict[str, Pooled]:
    """All methods on all observations of a set."""
    found: dict[str, list[tuple[pd.Series, pd.DataFrame]]] = {}
    for split in splits(name):
        truth = split.test.obs[split.labels_key].astype(str)
        truth = truth[truth.isin(set(split.reference.obs[split.labels_key].astype(str)))]
        options = "-untrained" * arguments.untrained + "-divided" * arguments.divided
        tables = kept(ours(split, seed, arguments), f"ours-{split.name}-{seed}{options}", arguments.cache)
        if arguments.divided:
            label_n = split.reference.obs[split.labels_key].astype(str)
            tables |= {divided_name(power): divided(tables[OURS], label_n, power) for power in POWERS}
        skipped = "".join(f"-no {method}" for method in sorted(arguments.skip))
        tables |= kept(plain(split, arguments.skip), f"plain-{split.name}{skipped}", arguments.cache)
        for method, table in tables.items():
            found.setdefault(method, []).append((truth, table))
    return {method: pooled(tables) for method, tables in found.items()}


def regrets(found: dict[str, Pooled], method: str = OURS) -> pd.DataFrame:
    """The best plain one (after the fact) less Classifier, by accuracy and by macro F1, with the error of the difference."""
    own, rng = found[method], np.random.default_rng(0)
    sample_rn = rng.integers(0, len(own.truth_n), (N_RESAMPLES, len(own.truth_n)))
    rows = {}
    for k, score in enumerate(("accuracy", "macro F1")):
        best = max((m for m in found if m.startswith("LR")), key=lambda m: found[m].scores()[k])
        drawn_r = [found[best].scores(at_n)[k] - own.scores(at_n)[k] for at_n in sample_rn]
        regret = found[best].scores()[k] - own.scores()[k]
        rows[score] = {
            "best": best,
            "regret": regret,
            "error": np.std(drawn_r),
            "its ECE": found[best].calibration_error(),
        }
    return pd.DataFrame(rows).T


def chosen_power(regret: pd.DataFrame) -> float:
    """Return the power of the lowest largest regret over sets, seeds and scores; then of the lowest mean; then the lowest.

    Examples
    --------
    >>> chosen_power(pd.DataFrame({"power": [0.0, 0.0, 0.5, 0.5], "regret": [0.02, 0.0, 0.02, -0.01]}))
    0.5
    """
    of_power = regret.groupby("power")["regret"].agg(["max", "mean"]).round(6).reset_index()
    return float(of_power.sort_values(["max", "mean", "power"])["power"].iloc[0])


def shrinkage(regret: pd.DataFrame) -> pd.DataFrame:
    """What the power chosen on all sets, and on all but this one, does on each set: accuracy, macro F1 and ECE.

    Parameters
    ----------
    regret
        One row for each set, seed, power and score: "set", "seed", "power", "score", "value", "regret", "ECE".
    """
    rows = {}
    for name, own in regret.groupby("set", sort=False):
        others = regret[regret["set"] != name]
        powers = {"none": 0.0, "with": chosen_power(regret)}
        powers |= {"without": chosen_power(others)} if len(others) else {}
        for how, power in powers.items():
            part = own[own["power"] == power]
            means = part.groupby("score")[["value", "regret"]].mean().unstack()
            rows[name, how] = {
                "power": power,
                **{f"{a} {b}": x for (a, b), x in means.items()},
                "ECE": part["ECE"].mean(),
            }
    return pd.DataFrame(rows).T.rename_axis(["set", "chosen"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--divided", action="store_true")
    parser.add_argument(
        "--skip", nargs="+", default=[], help='plain ones to leave out, such as "LR features, C chosen"'
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.filterwarnings("ignore", module="sklearn")
    everything, of_powers = [], []
    for name in arguments.sets:
        for seed in arguments.seeds:
            found = measured(name, seed, arguments)
            table = pd.DataFrame(
                {
                    method: [*part.scores(), part.calibration_error(), part.error_if_exact()]
                    for method, part in found.items()
                },
                index=["accuracy", "macro F1", "ECE", "ECE if exact"],
            ).T
            regret = regrets(found)
            print(f"\n== {name}, seed {seed}: {len(found[OURS].truth_n)} observations\n{table.round(3).to_string()}")
            print(regret.to_string(float_format="{:.3f}".format), flush=True)
            everything.append(regret.assign(set=name, seed=seed, ECE=table.loc[OURS, "ECE"]))
            for power in POWERS if arguments.divided else ():
                own = table.loc[divided_name(power)]
                part = regrets(found, divided_name(power))[["regret", "error"]].astype(float)
                of_powers.append(part.assign(set=name, seed=seed, power=power, value=own[part.index], ECE=own["ECE"]))
    whole = pd.concat(everything).rename_axis("score").reset_index()
    print("\n== regret of Classifier, and its error\n" + whole.to_string(float_format="{:.3f}".format))
    print(whole.groupby("score")["regret"].apply(lambda part: part.astype(float).mean()).round(4).to_string())
    if of_powers:
        whole = pd.concat(of_powers).rename_axis("score").reset_index()
        print(
            "\n== power of the frequency, chosen on all sets and without this one\n"
            + shrinkage(whole).round(3).to_string()
        )


if __name__ == "__main__":
    main()
