"""TEA-seq and SNARE-seq by both modalities, by either alone and with one shuffled, beside baselines.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/single_cell.py [--sets teaseq snareseq] [--seeds 0 1 2] [--skip MultiVI ...]
                                     [--baselines-only] [--out DIR] [--cache DIR]

For each set: scib-metrics total, bio and batch (of more than 4,000 cells, on as many that are drawn once); accuracy of
the linear probe and of k-NN on held-out rows; CPU-seconds of the training. Types of fewer than 10 cells are left out of
every score. With --cache the embeddings of the baselines are kept, so that a killed run goes on where it was. The table of
six sets by both modalities is that of ``recipe.py``.
"""

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _cache import Kept
from _recipe_sets import evaluated_part
from _tables import Target, shown, verdict, verdicts
from mudata import MuData

from omicsmlm import datasets, evaluation, pl
from omicsmlm.evaluation import baselines

OURS, UNTRAINED = "OmicsMLM", "OmicsMLM untrained"
SHOWN = ["Total", "Bio conservation", "Batch correction", "linear", "linear F1", "k-NN", "dimensions", "CPU-s"]
CPU_LIMIT = 180  # seconds of a training
N_LATENT = 80  # dimensions of the model, where it is not trained here

Fit = Callable[[MuData, str | None, int], np.ndarray]


class Study(NamedTuple):
    """A set, how it is held out, what stands beside it, and what it has to reach."""

    load: Callable[[], MuData]
    batch_key: str | None
    held_out: str  # "split": the column split; "folds": 5 stratified folds
    second: str  # modality beside the RNA
    trained: dict[str, Fit]  # baselines that depend on the seed
    targets: tuple[Target, ...]
    dropped: tuple[str, ...] = ()  # labels that are no type


def scvi(data: MuData, batch_key: str | None, seed: int) -> np.ndarray:
    return baselines.scvi(data, batch_key, seed=seed)


def multivi(data: MuData, batch_key: str | None, seed: int) -> np.ndarray:
    return baselines.multivi(data, batch_key, max_epochs=MULTIVI_EPOCHS, seed=seed)


def totalvi(data: MuData, batch_key: str | None, seed: int) -> np.ndarray:
    return baselines.totalvi(data, batch_key, seed=seed)


MULTIVI_EPOCHS = 80  # a cap beside early stopping: an epoch of SNARE-seq takes several CPU-seconds
ONE_SEED = ("scVI", "MultiVI", "TotalVI")  # trained with the first seed only, like the shuffled control: they take long
STUDIES = {
    "teaseq": Study(
        datasets.teaseq,
        None,
        "folds",
        "adt",
        {"scVI": scvi, "TotalVI": totalvi},
        (
            Target("linear", 0.84),
            Target("Total", beats=("PCA+CLR",)),
            Target("linear", beats=("PCA",), row="OmicsMLM, rna only"),
            Target("linear", beats=("CLR",), row="OmicsMLM, adt only"),
        ),
    ),
    "snareseq": Study(
        datasets.snareseq,
        "batch",
        "split",
        "atac",
        {"scVI": scvi, "MultiVI": multivi},
        (
            Target("Total", beats=("PCA", "PCA+LSI", "scVI", "MultiVI")),
            Target("Bio conservation", beats=("PCA", "PCA+LSI", "scVI", "MultiVI")),
            Target("k-NN", 0.905),
            Target("linear", beats=("PCA (", "PCA+LSI (")),
        ),
        dropped=("Mis",),
    ),
}


def fixed_embeddings(study: Study, data: MuData, n_dims: int) -> dict[str, Callable[[], np.ndarray]]:
    """The baselines without a seed, each of them cheap."""
    made: dict[str, Callable[[], np.ndarray]] = {
        "PCA": lambda: baselines.pca(data, 50),
        f"PCA ({n_dims})": lambda: baselines.pca(data, n_dims),
    }
    if study.second == "atac":
        made[f"PCA+LSI ({n_dims})"] = lambda: baselines.pca_lsi(data, n_dims)
        made["LSI"] = lambda: baselines.lsi(data, 50)
    if study.second == "adt":
        made[f"PCA+CLR ({n_dims})"] = lambda: baselines.pca_clr(data, n_dims)
        made["CLR"] = lambda: baselines.clr(data)
    if study.batch_key is not None:
        made["Harmony"] = lambda: baselines.harmony(data, study.batch_key or "")
    return made


def our_embeddings(study: Study, data: MuData, seed: int, with_control: bool) -> dict[str, tuple[np.ndarray, float]]:
    """The trained model, its untrained start, each modality alone, and the control with the second one shuffled."""
    from omicsmlm import OmicsMLM, OmicsMLMConfig

    def fitted(trained_on: MuData, name: str) -> tuple[Any, float]:
        start = time.process_time()
        model = OmicsMLM(trained_on, OmicsMLMConfig(seed=seed), batch_key=study.batch_key)
        if name == OURS:
            made[UNTRAINED] = (model.get_latent_representation(), time.process_time() - start)
        model.train(key_added=None, progress_bar=False)
        spent = time.process_time() - start
        made[name] = (model.get_latent_representation(), spent)
        print(f"  {name}, seed {seed}: {spent:.0f} CPU-s, {len(next(iter(model.history.values())))} epochs", flush=True)
        return model, spent

    made: dict[str, tuple[np.ndarray, float]] = {}
    model, spent = fitted(data, OURS)
    for modality in data.mod:
        alone = MuData({modality: data[modality].copy()})
        alone.obs = data.obs.copy()
        made[f"{OURS}, {modality} only"] = (model.get_latent_representation(alone), spent)
    if with_control:
        fitted(evaluation.shuffle_modality(data, study.second, seed), f"{OURS}, {study.second} shuffled")
    return made


def probed(study: Study, data: MuData, embedding: np.ndarray) -> dict[str, float]:
    """Accuracy of both classifiers on held-out rows, mean over folds."""
    options: dict[str, Any] = {}
    if study.held_out == "split":
        is_test = (data.obs["split"] == "test").to_numpy()
        options["split"] = (~is_test, is_test)
    means = evaluation.probe(embedding, data.obs["scored"], **options).xs("mean", level="held_out")
    accuracy, f1 = means["accuracy"], means["macro F1"]
    return {"linear": accuracy["linear"], "linear F1": f1["linear"], "k-NN": accuracy["k-NN"], "k-NN F1": f1["k-NN"]}


def scores(study: Study, data: MuData, embeddings: dict[str, tuple[np.ndarray, float]]) -> pd.DataFrame:
    """One row per embedding: scib-metrics, probes, dimensions, CPU-seconds."""
    values = {name: embedding for name, (embedding, _) in embeddings.items()}
    named = [name for name in (OURS, f"PCA ({N_LATENT})") if name in values]
    first = next(iter([*named, *values]))  # gives the dimension of the rows that benchmark() adds
    part = evaluated_part(data.n_obs)
    whole = {name: embedding[part] for name, embedding in {first: values[first], **values}.items()}
    table = evaluation.benchmark(data[part].copy(), whole, study.batch_key, "scored").loc[list(values)]
    for name in (name for name in table.index if name in values):
        for column, value in probed(study, data, values[name]).items():
            table.loc[name, column] = value
        table.loc[name, "dimensions"] = values[name].shape[1]
        table.loc[name, "CPU-s"] = embeddings[name][1]
    return table


def targets_reached(study: Study, means: pd.DataFrame) -> list[str]:
    """A line per target: reached or missed."""
    lines = verdicts(study.targets, means)
    if OURS in means.index:
        spent = means.loc[OURS, "CPU-s"]
        lines.append(verdict(spent <= CPU_LIMIT, f"{OURS}: {spent:.0f} CPU-s, wanted <= {CPU_LIMIT}"))
    return lines


def run(name: str, arguments: argparse.Namespace, kept: Kept) -> None:
    study, seeds, out, skipped = STUDIES[name], arguments.seeds, arguments.out, set(arguments.skip)
    data = study.load()
    data.obs["scored"] = data.obs["cell_type"].astype(object).where(~data.obs["cell_type"].isin(study.dropped), None)
    print(f"\n== {name}: {data.n_obs} cells; held out: {study.held_out}", flush=True)
    tables = []
    for seed in seeds:
        ours = {} if arguments.baselines_only else our_embeddings(study, data, seed, seed == seeds[0])
        n_dims = ours[OURS][0].shape[1] if ours else N_LATENT
        embeddings = dict(ours)
        for method, make in fixed_embeddings(study, data, n_dims).items() if seed == seeds[0] else ():
            if method not in skipped:
                embeddings[method] = kept(f"{name}-{method}", make)
        for method, fit in study.trained.items():
            if method in skipped or (method in ONE_SEED and seed != seeds[0]):
                continue
            embeddings[method] = kept(
                f"{name}-{method}-converged-{seed}", lambda fit=fit, seed=seed: fit(data, study.batch_key, seed)
            )
        table = scores(study, data, embeddings)
        tables.append(table.assign(seed=seed))
        pd.concat(tables).to_csv(out / f"{name}.csv")  # after every seed, so that a killed run leaves what it has
    whole = pd.concat(tables)
    means = whole.drop(columns="seed").groupby(level="embedding", sort=False).mean()
    means.attrs.update(tables[0].attrs)
    print(shown(whole, SHOWN, "Total").to_string())
    if tables[0].attrs["left_out"]:
        print(f"Left out of scoring (fewer than 10 cells): {', '.join(tables[0].attrs['left_out'])}.")
    for line in targets_reached(study, means):
        print(line)
    metrics = [*tables[0].attrs["kinds"], *(c for c in ("Batch correction", "Bio conservation", "Total") if c in means)]
    picture = means[metrics]
    picture.attrs.update(tables[0].attrs)
    pl.benchmark_table(picture, title=f"{name}, {len(seeds)} seed(s)", save=out / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--baselines-only", action="store_true")
    parser.add_argument("--skip", nargs="+", default=[], help="baselines to leave out, such as MultiVI")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets:
        run(name, arguments, Kept(arguments.cache))


if __name__ == "__main__":
    main()
