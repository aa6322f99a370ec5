"""Labels from bulk RNA and methylation: MOJO beside OmicsMLM, logistic regression and PCA; seeds, views, missing modalities.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/bulk.py [--parts zero-shot missing curve agreement] [--sets pam50 ccle rosmap] [--seeds 0 1 2] [--epochs N]
                              [--skip MOJO …] [--cache DIR]

Seed s is tested on fold s (paired_pam50_fold of PAM50, paired_fold of CCLE; ROSMAP has one split), and also the seed of all
starts, trainings and inner folds. No test row is in any pre-training. All other rows are, also those that lack a modality
or a label; and rows with a label train every head, whatever they lack. Test rows have both modalities and a label: they
are labelled by both, by RNA only and by methylation only. ± is the standard deviation over seeds, and so over folds; of the
differences from "specialist", of all test rows together, it is one standard error.

zero-shot  frozen embeddings: accuracy of k-NN (k = 15, cosine) of test rows among labelled training rows with both
           modalities; ARI and NMI of k-means on all labelled rows with both (as many clusters as labels)
missing    accuracy and macro F1 of test rows by each view. "specialist": trained on the rows that have the view, for it
           alone; "mean-filled": trained on both, an absent modality at its mean. "agreeing": MOJO pre-trained on with the
           agreement of partial views (consistency 1) for a third of the epochs, if given, then tuned.
           "methylation shuffled": as the specialist, with the methylation of all observations permuted (the control).
           "tuned, divergence", "tuned, InfoNCE": with ClassifierConfig(agreement=1) in that form; "tuned, wide head": with
           hidden layers of 256 and 128; "late": LR of the embeddings of two MOJOs, one a modality, as the paper compares
agreement  of the embedding by RNA, or by methylation, with that by both (correlation, mean over dimensions), in the labelled
           paired observations that the model was made of, "own", and in those of the test
curve      accuracy by both modalities with 50, 100, 200 and all labelled paired rows; pre-training as before

MOJO's frozen rows read the embedding by the exact head of Classifier (linear_models=False), "tuned" ones are Classifier(tuning="full"),
and "Classifier" is what it is by default, linear models of the features included.
CpG of PAM50 and ROSMAP have no gene in the data at hand: their axis is the union of genes and CpG. Promoters of CCLE are
averaged per gene for MOJO; the other methods get them as they are.
"""

import argparse
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _cache import Kept
from _small_encoder import embedding as small_encoder
from _tables import shown
from anndata import AnnData
from cross_fitting import agreement as correlation
from mudata import MuData
from sklearn.cluster import KMeans
from sklearn.metrics import accuracy_score, adjusted_rand_score, f1_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

from omicsmlm import MOJO, Classifier, ClassifierConfig, MOJOConfig, OmicsMLM, OmicsMLMConfig, datasets, evaluation, pp
from omicsmlm.evaluation import baselines

VIEWS = {"both": ["rna", "methylation"], "RNA": ["rna"], "methylation": ["methylation"]}
SETS = ("pam50", "ccle", "rosmap")
RIVAL = "LR, specialist"
TUNING_EPOCHS = 12
N_COMPONENTS, N_NEIGHBORS = 64, 15
WIDE = 256
"""Width of a state that keeps more than what differs between diseases: see ``benchmarks/risk_readouts.py``."""


class Bulk(NamedTuple):
    """A data set: features as they are, features on one axis of genes, and what is known of the rows."""

    name: str
    plain: MuData
    by_gene: MuData
    label_n: np.ndarray
    """Names, empty where there is none."""
    test_n: np.ndarray
    """Bool: labelled rows with both modalities that are tested on."""
    held_n: np.ndarray
    """Bool: rows that nothing may learn from."""

    @property
    def has_nm(self) -> np.ndarray:
        return np.column_stack([self.plain.obs_names.isin(self.plain[m].obs_names) for m in VIEWS["both"]])

    def features(self, view: str) -> np.ndarray:
        """(n, g) of a view, NaN where a row lacks a modality."""
        names = self.plain.obs_names
        return np.hstack([self.plain[m].to_df().reindex(names).to_numpy(np.float64) for m in VIEWS[view]])

    def learned_n(self, view: str) -> np.ndarray:
        """Bool: rows with a label and all of a view, to learn from."""
        has_n = self.has_nm[:, [VIEWS["both"].index(m) for m in VIEWS[view]]].all(1)
        return has_n & (self.label_n != "") & ~self.held_n


def loaded(name: str, seed: int) -> Bulk:
    file, label, fold = {
        "pam50": ("tcga_brca_pam50_survival", "pam50", "paired_pam50_fold"),
        "ccle": ("ccle_pancancer", "cancer_type_min10", "paired_fold"),
        "rosmap": ("rosmap_mogonet", "label", "split"),
    }[name]
    whole = datasets.load(f"bulk/{file}.h5mu")
    plain = MuData({m: dense(whole[m]) for m in VIEWS["both"]})
    obs = whole.obs.loc[plain.obs_names]
    held_n = (obs[fold] == ("test" if name == "rosmap" else seed)).to_numpy()
    label_n = obs[label].astype(str).replace("nan", "").to_numpy()
    paired_n = np.all([plain.obs_names.isin(plain[m].obs_names) for m in VIEWS["both"]], 0)
    by_gene = plain
    if name == "ccle":
        promoters = plain["methylation"]
        genes = pd.DataFrame({"probe": promoters.var_names, "gene": promoters.var["gene_symbol"].astype(str)})
        by_gene = MuData({"rna": plain["rna"].copy(), "methylation": pp.aggregate_methylation(promoters, genes)})
    return Bulk(name, plain, by_gene, label_n, held_n & paired_n & (label_n != ""), held_n)


def dense(part: AnnData) -> AnnData:
    x = part.X.toarray() if hasattr(part.X, "toarray") else part.X
    return AnnData(np.asarray(x, dtype=np.float32), pd.DataFrame(index=part.obs_names), part.var.copy())


def rows(data: MuData, chosen: np.ndarray, modalities: list[str], labels: np.ndarray | None = None) -> MuData:
    """Some rows by some of their modalities, with labels in ``obs["label"]``; others are "Unknown"."""
    names = data.obs_names[chosen]
    parts = {m: data[m][data[m].obs_names.isin(names)].copy() for m in modalities}
    out = MuData(parts)
    if labels is not None:
        known = pd.Series(np.where(labels == "", "Unknown", labels), index=data.obs_names)
        out.obs["label"] = known.loc[out.obs_names].to_numpy()
    return out


# ---- models ----------------------------------------------------------------------------------------------------------


def mojo(of: Bulk, seed: int, epochs: int | None, cache: Path | None, *, agreeing: bool = False) -> MOJO:
    """Pre-train MOJO on all rows but the test's, by its defaults if ``epochs`` is None; with 0 epochs, its start."""
    kind = f"mojo-{of.name}-{seed}-{epochs}{'-agreeing' * agreeing}"
    data = rows(of.by_gene, ~of.held_n, VIEWS["both"], of.label_n)
    folder = None if cache is None else cache / "models" / kind
    if folder is not None and folder.exists():
        return MOJO.load(folder, data)
    config = MOJOConfig(seed=seed, consistency=float(agreeing))
    if agreeing:
        model = _going_on(mojo(of, seed, epochs, cache), data, config)
        epochs = None if epochs is None else max(1, epochs // 3)
    else:
        model = MOJO(data, config)
    if epochs != 0:
        model.train(epochs, key_added=None, progress_bar=False, accelerator="cpu")
    if folder is not None:
        model.save(folder)
    return model


def _going_on(model: MOJO, data: MuData, config: MOJOConfig) -> MOJO:
    """The same weights under another config."""
    other = MOJO(data, config)
    other.module.load_state_dict(model.module.state_dict())
    return other


def omicsmlm(of: Bulk, seed: int, cache: Path | None, *, trained: bool = True) -> OmicsMLM:
    data = rows(of.plain, ~of.held_n, VIEWS["both"], of.label_n)
    folder = None if cache is None else cache / "models" / f"omicsmlm-{of.name}-{seed}-{trained}"
    if folder is not None and folder.exists():
        return OmicsMLM.load(folder, data)
    model = OmicsMLM(data, OmicsMLMConfig(seed=seed))
    if trained:
        model.train(key_added=None, progress_bar=False, accelerator="cpu")
    if folder is not None:
        model.save(folder)
    return model


# ---- labels ----------------------------------------------------------------------------------------------------------

Answers = dict[str, np.ndarray]
"""Labels of the test rows by each view."""


def head(seed: int, **changes: Any) -> ClassifierConfig:
    """The exact head on a frozen embedding alone, or, with ``tuning``, one that is trained with the encoder."""
    return ClassifierConfig(**{"tuning": "frozen", "linear_models": False, "seed": seed} | changes)


def read(model: Any, of: Bulk, data: MuData, config: ClassifierConfig, few: np.ndarray | None = None) -> Answers:
    """Labels of a classifier on a model; ``few`` leaves the others of the labelled rows without a label."""
    if few is not None:
        names = data.obs_names[few]
        model.adata.obs["label"] = np.where(model.adata.obs_names.isin(names), model.adata.obs["label"], "Unknown")
    classifier = Classifier.from_model(model, "label", config=config)
    how = {"progress_bar": False, "accelerator": "cpu", "batch_size": 32}
    classifier.train(None if config.tuning == "frozen" else TUNING_EPOCHS, **how)
    answers = {}
    for view, modalities in VIEWS.items():
        test = rows(data, of.test_n, modalities)
        table = classifier.predict(test, soft=True).loc[data.obs_names[of.test_n]]
        answers[view] = table.columns.to_numpy()[table.to_numpy().argmax(1)]
    return answers


def regression(of: Bulk, view: str, seed: int, n_comps: int | None = None, few: np.ndarray | None = None) -> np.ndarray:
    return fitted_labels(of, of.features(view), of.learned_n(view) if few is None else few, seed, n_comps)


def fitted_labels(
    of: Bulk, x_ng: np.ndarray, learned_n: np.ndarray, seed: int, n_comps: int | None = None
) -> np.ndarray:
    """Labels of the test rows by a logistic regression."""
    labels = np.where(of.label_n == "", None, of.label_n)
    table = baselines.logistic_regression(x_ng, labels, learned_n, n_comps=n_comps, seed=seed)
    return table.columns.to_numpy()[table.to_numpy().argmax(1)][of.test_n]


def shuffled(of: Bulk, seed: int) -> Answers:
    """The specialists, where methylation is of other observations: those by RNA stay as they are."""
    plain = evaluation.shuffle_modality(of.plain, "methylation", seed)
    return {view: regression(of._replace(plain=plain), view, seed) for view in VIEWS}


def late(of: Bulk, seed: int, epochs: int | None) -> Answers:
    """Logistic regressions of the embeddings of two models, each pre-trained on one modality."""
    blocks = []
    for modality in VIEWS["both"]:
        data = of.by_gene[modality]
        names = of.by_gene.obs_names[~of.held_n]
        model = MOJO(MuData({modality: data[data.obs_names.isin(names)].copy()}), MOJOConfig(seed=seed))
        if epochs != 0:
            model.train(epochs, key_added=None, progress_bar=False, accelerator="cpu")
        whole = MuData({modality: data.copy()})
        z = pd.DataFrame(model.get_latent_representation(whole), index=whole.obs_names)
        blocks.append(z.reindex(of.by_gene.obs_names).to_numpy(np.float64))
    x = {"both": np.hstack(blocks), "RNA": blocks[0], "methylation": blocks[1]}
    return {view: fitted_labels(of, x[view], of.learned_n(view), seed) for view in VIEWS}


def mean_filled(of: Bulk, seed: int) -> Answers:
    """Logistic regression on both; in the test rows, what a view lacks is NaN, and so the mean."""
    x_ng, n_rna, labels = of.features("both"), of.plain["rna"].n_vars, np.where(of.label_n == "", None, of.label_n)
    answers = {}
    for view in VIEWS:
        shown_ng = x_ng.copy()
        if view == "RNA":
            shown_ng[np.ix_(of.test_n, np.arange(x_ng.shape[1]) >= n_rna)] = np.nan
        elif view == "methylation":
            shown_ng[np.ix_(of.test_n, np.arange(x_ng.shape[1]) < n_rna)] = np.nan
        table = baselines.logistic_regression(shown_ng, labels, of.learned_n("both"), seed=seed)
        answers[view] = table.columns.to_numpy()[table.to_numpy().argmax(1)][of.test_n]
    return answers


def missing(of: Bulk, seed: int, arguments: argparse.Namespace) -> dict[str, Answers]:
    epochs, cache = arguments.epochs, arguments.cache

    def of_mojo(n_epochs: int | None, **changes: Any) -> Answers:
        return read(mojo(of, seed, n_epochs, cache), of, of.by_gene, head(seed, **changes))

    methods: dict[str, Callable[[], Answers]] = {
        "LR, specialist": lambda: {view: regression(of, view, seed) for view in VIEWS},
        "LR on PCA (64), specialist": lambda: {view: regression(of, view, seed, N_COMPONENTS) for view in VIEWS},
        "LR on both, mean-filled": lambda: mean_filled(of, seed),
        "LR, methylation shuffled": lambda: shuffled(of, seed),
        "OmicsMLM": lambda: read(omicsmlm(of, seed, cache), of, of.plain, head(seed)),
        "OmicsMLM, start": lambda: read(omicsmlm(of, seed, cache, trained=False), of, of.plain, head(seed)),
        "MOJO": lambda: of_mojo(epochs),
        "MOJO, start": lambda: of_mojo(0),
        "MOJO, Classifier": lambda: of_mojo(epochs, linear_models=None),
        "MOJO, tuned": lambda: of_mojo(epochs, tuning="full"),
        "MOJO, tuned, divergence": lambda: of_mojo(epochs, tuning="full", agreement=1.0),
        "MOJO, tuned, InfoNCE": lambda: of_mojo(epochs, tuning="full", agreement=1.0, agreement_form="infonce"),
        "MOJO, tuned, wide head": lambda: of_mojo(epochs, tuning="full", hidden_widths=(256, 128)),
        "MOJO, start, tuned": lambda: of_mojo(0, tuning="full"),
        "MOJO, late": lambda: late(of, seed, epochs),
        "MOJO, agreeing, tuned": lambda: read(
            mojo(of, seed, epochs, cache, agreeing=True), of, of.by_gene, head(seed, tuning="full")
        ),
    }
    kept, found = Kept(cache), {}
    for method, make in asked(methods, arguments).items():
        answers, _ = kept.arrays(f"bulk-missing-{of.name}-{method}-{seed}-{epochs}", lambda make=make: as_text(make()))
        found[method] = dict(answers)
    return found


def asked[Made](makers: dict[str, Made], arguments: argparse.Namespace) -> dict[str, Made]:
    """All but those whose name begins with one that is to be skipped."""
    return {name: make for name, make in makers.items() if not name.startswith(tuple(arguments.skip))}


def as_text(answers: Answers) -> dict[str, np.ndarray]:
    return {view: labels.astype(str) for view, labels in answers.items()}


def evaluated(answers: Answers, truth: np.ndarray) -> dict[str, float]:
    accuracies = {view: accuracy_score(truth, answers[view]) for view in VIEWS}
    return accuracies | {
        f"F1 {view}": f1_score(truth, answers[view], average="macro", zero_division=0) for view in VIEWS
    }


def paired(answers: list[dict[str, Answers]], truths: list[np.ndarray]) -> pd.DataFrame:
    """Accuracy less that of RIVAL, and one standard error of the difference, over the test rows of all seeds together."""
    found = {}
    for method in [name for name in answers[0] if name != RIVAL]:
        for view in VIEWS:
            pairs = zip(answers, truths, strict=True)
            right = [(a[method][view] == truth, a[RIVAL][view] == truth) for a, truth in pairs]
            own_n, rival_n = (np.concatenate(column).astype(float) for column in zip(*right, strict=True))
            difference_n = own_n - rival_n
            error = difference_n.std(ddof=1) / np.sqrt(len(difference_n))
            found.setdefault(method, {})[view] = f"{difference_n.mean():+.3f} ± {error:.3f}"
    return pd.DataFrame.from_dict(found, orient="index")


# ---- frozen embeddings -----------------------------------------------------------------------------------------------


def zero_shot(of: Bulk, seed: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    epochs, cache = arguments.epochs, arguments.cache
    learned_n = of.learned_n("both")
    evaluated_n = learned_n | of.test_n

    def embedded(model: Any, data: MuData) -> np.ndarray:
        part = rows(data, evaluated_n, VIEWS["both"])
        z = pd.DataFrame(model.get_latent_representation(part), index=part.obs_names)
        return z.loc[data.obs_names[evaluated_n]].to_numpy()

    makers: dict[str, Callable[[], np.ndarray]] = {
        "MOJO": lambda: embedded(mojo(of, seed, epochs, cache), of.by_gene),
        "MOJO, start": lambda: embedded(mojo(of, seed, 0, cache), of.by_gene),
        f"wide MOJO, start ({WIDE})": lambda: embedded(
            MOJO(rows(of.by_gene, ~of.held_n, VIEWS["both"], of.label_n), MOJOConfig(seed=seed, row_width=WIDE)),
            of.by_gene,
        ),
        "OmicsMLM": lambda: embedded(omicsmlm(of, seed, cache), of.plain),
        "OmicsMLM, start": lambda: embedded(omicsmlm(of, seed, cache, trained=False), of.plain),
        "small encoder of plain PyTorch": lambda: small_encoder(
            [of.features(view) for view in ("RNA", "methylation")], ~of.held_n, seed
        )[evaluated_n],
        "PCA (64)": lambda: components(of, learned_n, whitened=False)[evaluated_n],
        "PPCA, whitened (64)": lambda: components(of, learned_n, whitened=True)[evaluated_n],
        "PPCA, whitened (20)": lambda: components(of, learned_n, whitened=True, n_comps=20)[evaluated_n],
    }
    kept, found = Kept(cache), {}
    for method, make in asked(makers, arguments).items():
        z_nd, spent = kept(f"bulk-z-{of.name}-{method}-{seed}-{epochs}", make)
        found[method] = clustering(z_nd, of.label_n[evaluated_n], of.test_n[evaluated_n], seed) | {"CPU-s": spent}
    return found


def components(of: Bulk, trained_n: np.ndarray, *, whitened: bool, n_comps: int = N_COMPONENTS) -> np.ndarray:
    """Principal components of standardised blocks, each scaled by 1/√features; whitened ones have length 1 in each row.

    Whitening gives the posterior means of probabilistic PCA a common variance, as if every component mattered alike.
    """
    blocks = []
    for modality in VIEWS["both"]:
        x_ng = of.features({"rna": "RNA"}.get(modality, modality))
        mean_g, deviation_g = np.nanmean(x_ng[trained_n], 0), np.nanstd(x_ng[trained_n], 0)
        z_ng = np.nan_to_num((x_ng - mean_g) / np.where(deviation_g > 1e-8, deviation_g, 1))
        blocks.append(z_ng / np.sqrt(x_ng.shape[1]))
    x_ng = np.hstack(blocks)
    vt_kg = np.linalg.svd(x_ng[trained_n], full_matrices=False)[2][:n_comps]
    z_nd = x_ng @ vt_kg.T
    if not whitened:
        return z_nd
    z_nd = z_nd / z_nd[trained_n].std(0)
    return z_nd / np.maximum(np.linalg.norm(z_nd, axis=1, keepdims=True), 1e-12)


def clustering(z_nd: np.ndarray, label_n: np.ndarray, test_n: np.ndarray, seed: int) -> dict[str, float]:
    neighbours = KNeighborsClassifier(N_NEIGHBORS, metric="cosine").fit(z_nd[~test_n], label_n[~test_n])
    cluster_n = KMeans(len(np.unique(label_n)), n_init=10, random_state=seed).fit_predict(z_nd)
    return {
        "k-NN": accuracy_score(label_n[test_n], neighbours.predict(z_nd[test_n])),
        "ARI": adjusted_rand_score(label_n, cluster_n),
        "NMI": normalized_mutual_info_score(label_n, cluster_n),
    }


def agreement(of: Bulk, seed: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """How far each model's embedding by one modality is that by both, in its own observations and in the test's."""
    epochs, cache = arguments.epochs, arguments.cache
    models: dict[str, Callable[[], tuple[Any, MuData]]] = {
        "MOJO": lambda: (mojo(of, seed, epochs, cache), of.by_gene),
        "MOJO, start": lambda: (mojo(of, seed, 0, cache), of.by_gene),
        "OmicsMLM": lambda: (omicsmlm(of, seed, cache), of.plain),
        "OmicsMLM, start": lambda: (omicsmlm(of, seed, cache, trained=False), of.plain),
    }
    found: dict[str, dict[str, float]] = {}
    for name, make in asked(models, arguments).items():
        model, data = make()
        found[name] = {}
        for which, rows_n in (("own", of.learned_n("both")), ("test", of.test_n)):
            z = {}
            for view, modalities in VIEWS.items():
                part = rows(data, rows_n, modalities)
                table = pd.DataFrame(model.get_latent_representation(part), index=part.obs_names)
                z[view] = table.loc[data.obs_names[rows_n]].to_numpy()
            for view in ("RNA", "methylation"):
                found[name][f"{view}, {which}"] = correlation(z[view], z["both"])
    return found


# ---- learning curve --------------------------------------------------------------------------------------------------


def curve(of: Bulk, seed: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    epochs, cache = arguments.epochs, arguments.cache
    paired = np.random.default_rng(seed).permutation(np.flatnonzero(of.learned_n("both")))
    sizes = [n for n in (50, 100, 200) if n < 0.9 * len(paired)] + [len(paired)]
    truth, kept = of.label_n[of.test_n], Kept(cache)
    found: dict[str, dict[str, float]] = {}
    for n in sizes:
        few = np.isin(np.arange(of.plain.n_obs), paired[:n])
        methods: dict[str, Callable[[], Answers]] = {
            "LR": lambda few=few: {"both": regression(of, "both", seed, few=few)},
            "LR on PCA (64)": lambda few=few: {
                "both": regression(of, "both", seed, min(N_COMPONENTS, few.sum() - 1), few)
            },
            "OmicsMLM": lambda few=few: read(omicsmlm(of, seed, cache), of, of.plain, head(seed), few),
            "MOJO": lambda few=few: read(mojo(of, seed, epochs, cache), of, of.by_gene, head(seed), few),
            "MOJO, start": lambda few=few: read(mojo(of, seed, 0, cache), of, of.by_gene, head(seed), few),
            "MOJO, tuned": lambda few=few: read(
                mojo(of, seed, epochs, cache), of, of.by_gene, head(seed, tuning="full"), few
            ),
        }
        for method, make in asked(methods, arguments).items():
            key = f"bulk-curve-{of.name}-{method}-{n}-{seed}-{epochs}"
            answers, _ = kept.arrays(key, lambda make=make: as_text(make()))
            column = "all" if n == sizes[-1] else str(n)
            found.setdefault(method, {})[column] = accuracy_score(truth, answers["both"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["zero-shot", "missing", "curve", "agreement"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="of MOJO's pre-training, in place of its default")
    parser.add_argument("--skip", nargs="+", default=[], help="methods to leave out, by how their names begin")
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("omicsmlm").addHandler(logging.NullHandler())  # in place of a line for each model
    for name in arguments.sets:
        tables: dict[str, list[pd.DataFrame]] = {part: [] for part in arguments.parts}
        answers, truths = [], []
        for seed in arguments.seeds:
            of = loaded(name, seed)
            learned = {view: int(of.learned_n(view).sum()) for view in VIEWS}
            print(
                f"{name}, seed {seed}: {(~of.held_n).sum()} rows, with label {learned}; test {of.test_n.sum()}",
                flush=True,
            )
            truth = of.label_n[of.test_n]
            for part in arguments.parts:
                if part == "missing":
                    answers.append(missing(of, seed, arguments))
                    truths.append(truth)
                    found = {m: evaluated(a, truth) for m, a in answers[-1].items()}
                else:
                    found = {"zero-shot": zero_shot, "curve": curve, "agreement": agreement}[part](of, seed, arguments)
                tables[part].append(pd.DataFrame.from_dict(found, orient="index"))
        for part, frames in tables.items():
            table = pd.concat(frames)
            print(f"\n== {name}, {part}, seeds {arguments.seeds}")
            print(shown(table, list(table.columns), str(table.columns[0])).to_string(), flush=True)
        if answers and RIVAL in answers[0]:
            print(f"\nless {RIVAL}, paired\n{paired(answers, truths).to_string()}", flush=True)


if __name__ == "__main__":
    main()
