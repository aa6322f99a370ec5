"""A modality that test rows lack: proteins of TEA-seq from RNA, RNA components of SNARE-seq from open regions.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/imputation.py [--sets teaseq snareseq] [--seeds 0 1 2] [--baselines-only] [--skip TotalVI ...]
                                    [--out DIR] [--cache DIR]

teaseq: 5 folds; the test rows are there with their RNA, their proteins are hidden. Mean over proteins of the Pearson
correlation between imputed and measured over all cells, each imputed when it was a test row; ``CLR``: of centred
log-ratios (the scale of the reference value .562), ``log1p``: of log(1 + count). Expected counts become either after
imputation; ridge regression is fitted on each. Controls: the untrained start, and the RNA of the test rows shuffled.

snareseq: the test libraries have ATAC alone, without cells of type Mis. Correlation, over test cells, of the principal
components of the RNA (standardised, fitted on the other libraries) with what is predicted of them: by ridge regression
from LSI or from the model's embedding of ATAC alone, or from the imputed RNA, projected on the same components.
"""

import argparse
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _cache import Kept
from _tables import Target, shown, verdict, verdicts
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import StratifiedKFold

from omicsmlm import OmicsMLM, OmicsMLMConfig, datasets, evaluation
from omicsmlm.evaluation import baselines

OURS, UNTRAINED, SHUFFLED = "OmicsMLM", "OmicsMLM untrained", "OmicsMLM, RNA of test rows shuffled"
RIDGE = "ridge on PCA (50, standardised)"
RNA_COMPONENTS = [f"PC {k}" for k in range(1, 11)]
REFERENCE = dict(zip(RNA_COMPONENTS, (0.68, 0.35, 0.61, 0.48, 0.37, 0.66, 0.38, 0.17, 0.26, 0.10), strict=True))
OUR_PROTEINS = [Target("CLR", 0.562), Target("CLR", beats=("ridge on PCA",)), Target("CLR", beats=("TotalVI",))]
WAYS = ("imputed RNA, projected", "ridge on the embedding")


def correlation(first_ng: np.ndarray, second_ng: np.ndarray) -> np.ndarray:
    """Pearson correlation of each column, 0 where one does not vary."""
    first_ng, second_ng = first_ng - first_ng.mean(axis=0), second_ng - second_ng.mean(axis=0)
    norm_g = np.sqrt((first_ng**2).sum(axis=0) * (second_ng**2).sum(axis=0))
    return (first_ng * second_ng).sum(axis=0) / np.where(norm_g > 0, norm_g, np.inf)


def log_ratios(log_ng: np.ndarray) -> np.ndarray:
    """Centred log-ratios of log(1 + count)."""
    return log_ng - log_ng.mean(axis=1, keepdims=True)


# ---- TEA-seq ------------------------------------------------------------------------------------------------------


def folds(mdata: MuData, seed: int) -> Iterator[np.ndarray]:
    """The test rows of five folds, as masks."""
    labels = mdata.obs["cell_type"].astype(str)
    for _, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(labels, labels):
        yield np.isin(np.arange(mdata.n_obs), test)


def ridge_proteins(mdata: MuData, seed: int, n_comps: int, standardised: bool) -> dict[str, np.ndarray]:
    pca_nd = baselines.pca(mdata, n_comps)
    predictors_nd = pca_nd / pca_nd.std(axis=0) if standardised else pca_nd
    measured = log_proteins(mdata)
    predicted = {name: np.empty_like(values) for name, values in measured.items()}
    for test_n in folds(mdata, seed):
        for name, values in measured.items():
            predicted[name][test_n] = baselines.ridge_imputation(predictors_nd, values, ~test_n)[test_n]
    return predicted


def totalvi_proteins(mdata: MuData, seed: int) -> dict[str, np.ndarray]:
    counts = np.empty((mdata.n_obs, mdata["adt"].n_vars))
    for test_n in folds(mdata, seed):
        counts[test_n] = baselines.totalvi_imputation(mdata, test_n, seed=seed)
    return scales(counts)


def scales(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Counts on both scales of the table."""
    return {"CLR": log_ratios(np.log1p(counts)), "log1p": np.log1p(counts)}


def log_proteins(mdata: MuData) -> dict[str, np.ndarray]:
    """The measured proteins on both scales, in the order of the rows."""
    return scales(mdata["adt"][mdata.obs_names].X.toarray().astype(np.float64))


def our_proteins(mdata: MuData, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """What the model, its untrained start and the model on shuffled RNA expect."""
    counts = {name: np.empty((mdata.n_obs, mdata["adt"].n_vars)) for name in (OURS, UNTRAINED, SHUFFLED)}
    names = mdata["adt"].var_names
    for test_n in folds(mdata, seed):
        shown_names = mdata.obs_names[~test_n]
        training = MuData({"rna": mdata["rna"].copy(), "adt": mdata["adt"][shown_names].copy()})
        hidden = MuData({"rna": mdata["rna"][mdata.obs_names[test_n]].copy()})
        model = OmicsMLM(training, OmicsMLMConfig(seed=seed))
        counts[UNTRAINED][test_n] = model.impute(hidden, "adt")[names]
        model.train(progress_bar=False, key_added=None)
        counts[OURS][test_n] = model.impute(hidden, "adt")[names]
        counts[SHUFFLED][test_n] = model.impute(evaluation.shuffle_modality(hidden, "rna", seed), "adt")[names]
    return {name: scales(values) for name, values in counts.items()}


def proteins(seeds: list[int], skipped: list[str], kept: Kept) -> tuple[pd.DataFrame, list[str]]:
    """The table of TEA-seq and its verdicts."""
    mdata = datasets.teaseq()
    measured = log_proteins(mdata)
    methods: dict[str, Callable[..., dict[str, np.ndarray]]] = {
        RIDGE: partial(ridge_proteins, n_comps=50, standardised=True),
        "ridge on PCA (30)": partial(ridge_proteins, n_comps=30, standardised=False),
        "TotalVI": totalvi_proteins,
    }
    rows = []
    for seed in seeds:
        found = {} if OURS in skipped else our_proteins(mdata, seed)
        for method, make in methods.items():
            if method not in skipped:
                found[method], _ = kept.arrays(f"teaseq-{method}-{seed}", partial(make, mdata, seed))
        for name, predicted in found.items():
            values = {scale: correlation(predicted[scale], measured[scale]).mean() for scale in measured}
            rows.append({"method": name, "seed": seed, **values})
    table = pd.DataFrame(rows).set_index("method")
    means = table.groupby(level=0).mean()
    lines = verdicts(OUR_PROTEINS, means)
    controls = means.reindex([UNTRAINED, SHUFFLED])["CLR"].dropna()
    if len(controls):
        better = means.loc[OURS, "CLR"] > controls.mean()
        wanted = f"wanted > {controls.mean():.3f} (mean of the controls)"
        lines.append(verdict(better, f"{OURS}: CLR {means.loc[OURS, 'CLR']:.3f}, {wanted}"))
    return table, lines


# ---- SNARE-seq ----------------------------------------------------------------------------------------------------


def idf_lsi(mdata: MuData, n_comps: int = 50) -> np.ndarray:
    """LSI of the open regions times their idf, each row of length one: not log-transformed as in baselines.lsi()."""
    weights = TfidfTransformer().fit_transform(mdata["atac"][mdata.obs_names].X > 0)
    return TruncatedSVD(n_comps, algorithm="arpack", random_state=0).fit_transform(weights).astype(np.float32)


def obs_of(mdata: MuData, modality: str, rows_n: np.ndarray) -> AnnData:
    return mdata[modality][mdata.obs_names[rows_n]].copy()


def our_components(mdata: MuData, test_n: np.ndarray, targets_nd: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """RNA components of the test rows by the model and by its untrained start, each in two ways."""
    training = MuData({name: obs_of(mdata, name, ~test_n) for name in mdata.mod})
    training.obs["library"] = mdata.obs["batch"].astype(str)[~test_n].reindex(training.obs_names).to_numpy()
    atac = MuData({"atac": obs_of(mdata, "atac", np.ones(mdata.n_obs, dtype=bool))})
    model = OmicsMLM(training, OmicsMLMConfig(seed=seed), batch_key="library")
    made = {}
    for name in (UNTRAINED, OURS):
        if name == OURS:
            model.train(progress_bar=False, key_added=None)
        expected = model.impute(atac, "rna", indices=np.flatnonzero(test_n))
        imputed = AnnData(sparse.csr_matrix(expected.to_numpy()), var=pd.DataFrame(index=expected.columns))
        _, made[f"{name}: {WAYS[0]}"] = baselines.projected_pca(training, imputed, len(RNA_COMPONENTS))
        z_nd = model.get_latent_representation(atac)
        made[f"{name}: {WAYS[1]}"] = baselines.ridge_imputation(z_nd, targets_nd, ~test_n)[test_n]
    return made


def components(seeds: list[int], skipped: list[str], kept: Kept) -> tuple[pd.DataFrame, list[str]]:
    """The table of SNARE-seq and its verdicts."""
    whole = datasets.snareseq()
    mdata = whole[(whole.obs["cell_type"] != "Mis").to_numpy()].copy()
    test_n = (mdata.obs["split"] == "test").to_numpy()
    targets_nd = np.empty((mdata.n_obs, len(RNA_COMPONENTS)), dtype=np.float32)
    rna = (obs_of(mdata, "rna", ~test_n), obs_of(mdata, "rna", test_n))
    targets_nd[~test_n], targets_nd[test_n] = baselines.projected_pca(*rna, len(RNA_COMPONENTS))
    lsi_nd, _ = kept("snareseq-LSI-without-Mis", lambda: baselines.lsi(mdata, 50))
    idf_nd, _ = kept("snareseq-idf-LSI-without-Mis", lambda: idf_lsi(mdata, 50))
    rows: list[dict[str, Any]] = []
    predictors = {"ridge on LSI": lsi_nd, "ridge on LSI less the first": lsi_nd[:, 1:], "ridge on LSI of idf": idf_nd}
    found = {
        name: baselines.ridge_imputation(values, targets_nd, ~test_n)[test_n] for name, values in predictors.items()
    }
    for seed in seeds:
        found |= {} if OURS in skipped else our_components(mdata, test_n, targets_nd, seed)
        for name, predicted in found.items():
            by_component = correlation(predicted, targets_nd[test_n])
            values = dict(zip(RNA_COMPONENTS, by_component, strict=True))
            rows.append({"method": name, "seed": seed, "mean": by_component.mean(), **values})
        found = {}
    rows.append({"method": "reference: ridge on LSI", **REFERENCE, "mean": float(np.mean(list(REFERENCE.values())))})
    table = pd.DataFrame(rows).set_index("method")
    means = table.drop(columns="seed").groupby(level=0).mean()
    lines = []
    for name in (name for name in means.index if name.startswith(f"{OURS}:")):
        for rival in ("reference: ridge on LSI", *predictors):
            lost = [column for column in RNA_COMPONENTS if means.loc[name, column] <= means.loc[rival, column]]
            what = f"{name}: above {rival} in {10 - len(lost)} of 10 components"
            lines.append(verdict(not lost, f"{what}{', not in ' * bool(lost)}{', '.join(lost)}"))
    return table, lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=["teaseq", "snareseq"], default=["teaseq", "snareseq"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--baselines-only", action="store_true")
    parser.add_argument("--skip", nargs="+", default=[], help="methods to leave out, such as TotalVI")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    skipped = [*arguments.skip, *([OURS] if arguments.baselines_only else [])]
    studies = {"teaseq": (proteins, ["CLR", "log1p"]), "snareseq": (components, ["mean", *RNA_COMPONENTS])}
    for name in arguments.sets:
        study, columns = studies[name]
        table, lines = study(arguments.seeds, skipped, Kept(arguments.cache))
        table.to_csv(arguments.out / f"imputation-{name}.csv")
        print(f"\n== {name}", shown(table, columns, columns[0]).to_string(), *lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
