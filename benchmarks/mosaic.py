"""SNARE-seq with missing modalities: test libraries by RNA alone, ATAC alone and both, and RNA thinned to a fifth.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/mosaic.py [--seeds 0 1 2] [--skip "unpaired halves" ...] [--out DIR]

Models see the training libraries only: paired cells, a mosaic (a third of the cells each with both, RNA, ATAC), two
unpaired halves, or one modality; "links": paired cells, and the authors' table of genes and peaks. ``linear`` and
``k-NN``: labels from training cells to test cells by the same view. ``from paired``: by k-NN from training cells with both
modalities to test cells with fewer: a cell that lands near its paired place gets its label. PCA is projected; LSI is
fitted on all cells, test cells too, which flatters it.
"""

import argparse
import logging
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _tables import verdict
from mudata import MuData
from scipy import sparse
from sklearn.kernel_ridge import KernelRidge
from sklearn.neighbors import KNeighborsClassifier

from omicsmlm import OmicsMLM, OmicsMLMConfig, datasets, evaluation, pl
from omicsmlm.evaluation import baselines

PAIRED, LINKED, MOSAIC, HALVES = "OmicsMLM", "OmicsMLM, links", "OmicsMLM, mosaic thirds", "OmicsMLM, unpaired halves"
RNA, ATAC = "OmicsMLM of RNA alone", "OmicsMLM of ATAC alone"
VIEWS = ("both", "RNA", "ATAC")
THINNED = 0.2  # share of its counts that a test cell keeps


class Cells(NamedTuple):
    """Training and test cells with their labels."""

    train: MuData
    test: MuData
    train_labels: np.ndarray
    test_labels: np.ndarray


def view(mdata: MuData, name: str) -> MuData:
    """The cells with both modalities, one of them, or with thinned RNA."""
    parts = {"both": ("rna", "atac"), "RNA": ("rna",), "ATAC": ("atac",), "thin RNA": ("rna",)}
    return MuData({m: mdata[m].copy() for m in parts[name]})


def thinned(mdata: MuData, seed: int) -> MuData:
    """The cells with a fifth of their RNA counts, drawn at random."""
    copy = view(mdata, "both")
    counts = sparse.csr_matrix(copy["rna"].X)
    kept = np.random.default_rng(seed).binomial(counts.data.astype(np.int64), THINNED)
    copy["rna"].X = sparse.csr_matrix((kept.astype(np.float32), counts.indices, counts.indptr), counts.shape)
    return copy


def patterned(mdata: MuData, has_rna: np.ndarray, has_atac: np.ndarray) -> MuData:
    """The cells, of which some lack RNA and some ATAC, with their libraries."""
    part = MuData({"rna": mdata["rna"][has_rna].copy(), "atac": mdata["atac"][has_atac].copy()})
    part.obs["library"] = mdata.obs["batch"].astype(str).reindex(part.obs_names).to_numpy()
    return part


def trained_on(cells: Cells, seed: int) -> dict[str, MuData]:
    """What each model is trained on."""
    third_n = np.random.default_rng(seed).permutation(cells.train.n_obs) % 3
    half_n = np.random.default_rng(seed).permutation(cells.train.n_obs) % 2
    whole_n = np.ones(cells.train.n_obs, dtype=bool)
    found = {
        PAIRED: patterned(cells.train, whole_n, whole_n),
        LINKED: patterned(cells.train, whole_n, whole_n),
        MOSAIC: patterned(cells.train, third_n != 1, third_n != 2),
        HALVES: patterned(cells.train, half_n == 0, half_n == 1),
    }
    for name, modality in ((RNA, "rna"), (ATAC, "atac")):
        found[name] = MuData({modality: cells.train[modality].copy()})
        found[name].obs["library"] = cells.train.obs["batch"].astype(str).to_numpy()
    return found


def accuracies(train_nd: np.ndarray, test_nd: np.ndarray, cells: Cells) -> tuple[float, float]:
    """Of the linear probe and of k-NN, from training to test cells."""
    is_test = np.repeat([False, True], [len(train_nd), len(test_nd)])
    labels = np.concatenate([cells.train_labels, cells.test_labels])
    means = evaluation.probe(np.vstack([train_nd, test_nd]), labels, split=(~is_test, is_test))
    accuracy = means.xs("mean", level="held_out")["accuracy"]
    return accuracy["linear"], accuracy["k-NN"]


def nearest(train_nd: np.ndarray, test_nd: np.ndarray, cells: Cells) -> float:
    """Accuracy of 15 nearest training cells."""
    return KNeighborsClassifier(15).fit(train_nd, cells.train_labels).score(test_nd, cells.test_labels)


def ours(model: OmicsMLM, cells: Cells, seed: int) -> dict[tuple[str, str], float]:
    """A model's row."""
    row: dict[tuple[str, str], float] = {}
    modalities = list(model.adata_manager.modalities)
    views = VIEWS if len(modalities) == 2 else (modalities[0].upper(),)
    embedded = {v: [model.get_latent_representation(view(part, v)) for part in cells[:2]] for v in views}
    for name, (train_nd, test_nd) in embedded.items():
        row[name, "linear"], row[name, "k-NN"] = accuracies(train_nd, test_nd, cells)
    if len(modalities) == 2:
        thin = thinned(cells.test, seed)
        tests = {
            "RNA": embedded["RNA"][1],
            "ATAC": embedded["ATAC"][1],
            "thin RNA": model.get_latent_representation(view(thin, "thin RNA")),
            "thin RNA + ATAC": model.get_latent_representation(thin),
        }
        for name, test_nd in tests.items():
            row["from paired", name] = nearest(embedded["both"][0], test_nd, cells)
    return row


def plain(cells: Cells, whole: MuData, is_test: np.ndarray, seed: int) -> dict[str, dict[tuple[str, str], float]]:
    """The rows of the linear baselines."""
    train_nd, test_nd = baselines.projected_pca(cells.train, cells.test, 80)
    _, thin_nd = baselines.projected_pca(cells.train, thinned(cells.test, seed), 80)
    rows: dict[str, dict[tuple[str, str], float]] = {name: {} for name in ("PCA / LSI / PCA+LSI (80)", "ridge")}
    views = {"both": baselines.pca_lsi(whole, 80), "ATAC": baselines.lsi(whole, 80)}
    pairs = {"RNA": (train_nd, test_nd), **{v: (x[~is_test], x[is_test]) for v, x in views.items()}}
    for name, pair in pairs.items():
        rows["PCA / LSI / PCA+LSI (80)"][name, "linear"], rows["PCA / LSI / PCA+LSI (80)"][name, "k-NN"] = accuracies(
            *pair, cells
        )
    rows["PCA / LSI / PCA+LSI (80)"]["from paired", "RNA"] = nearest(train_nd, test_nd, cells)
    rows["PCA / LSI / PCA+LSI (80)"]["from paired", "thin RNA"] = nearest(train_nd, thin_nd, cells)
    peaks = idf_peaks(whole)
    gram = (peaks[~is_test] @ peaks[~is_test].T).toarray()
    strength = 3 * np.trace(gram) / len(gram)
    fitted = KernelRidge(alpha=strength, kernel="precomputed").fit(gram, train_nd - train_nd.mean(0))
    found_nd = fitted.predict((peaks[is_test] @ peaks[~is_test].T).toarray())
    found_nd = found_nd / found_nd.std(0) * train_nd.std(0) + train_nd.mean(0)
    rows["ridge"]["from paired", "ATAC"] = nearest(train_nd, found_nd, cells)
    return rows


def idf_peaks(mdata: MuData) -> sparse.csr_matrix:
    """Open peaks weighted by rarity, rows of length 1, less their mean direction's share."""
    is_open = sparse.csr_matrix(mdata["atac"].X) > 0
    n_open = np.asarray(is_open.sum(0)).ravel()
    weighted = is_open.astype(np.float32) @ sparse.diags_array(np.log1p(mdata.n_obs / np.maximum(n_open, 1)))
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1)).ravel())
    return sparse.csr_matrix(sparse.diags_array(1 / np.maximum(norms, 1e-6)) @ weighted)


def verdict_lines(means: pd.DataFrame, model: str) -> list[str]:
    """A line per target of a model of paired cells: reached or missed."""
    lines = []
    if {RNA, ATAC} <= set(means.index):
        for name, specialist in (("RNA", RNA), ("ATAC", ATAC)):
            for metric in ("linear", "k-NN"):
                got, bar = means.loc[model, (name, metric)], means.loc[specialist, (name, metric)] - 0.01
                lines.append(verdict(got >= bar, f"{name} alone, {metric}: {got:.3f}, specialist less .01 {bar:.3f}"))
    for metric in ("linear", "k-NN"):
        got, bar = means.loc[model, ("both", metric)], max(means.loc[model, (v, metric)] for v in VIEWS[1:])
        lines.append(verdict(got >= bar, f"both, {metric}: {got:.3f}, best single {bar:.3f}"))
    landed = means.loc[model, ("from paired", "ATAC")]
    lines.append(verdict(landed >= 0.74, f"ATAC alone near its paired place: {landed:.3f}, wanted .740"))
    thin, more = (means.loc[model, ("from paired", name)] for name in ("thin RNA", "thin RNA + ATAC"))
    lines.append(verdict(more - thin >= 0.05, f"thinned RNA: {thin:.3f}, with ATAC {more:.3f}, wanted + .05"))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--skip", nargs="+", default=[], help=f'rows to leave out, such as "{HALVES}"')
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    whole = datasets.snareseq()
    whole = whole[(whole.obs["cell_type"] != "Mis").to_numpy()].copy()
    is_test = (whole.obs["split"] == "test").to_numpy()
    labels = whole.obs["cell_type"].astype(str).to_numpy()
    cells = Cells(whole[~is_test].copy(), whole[is_test].copy(), labels[~is_test], labels[is_test])
    table = pd.read_csv(Path(os.environ["OMICSMLM_DATA"]) / "sc" / "snareseq_gene_peak_links.csv.gz")
    found: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for name, data in trained_on(cells, seed).items():
            if name in arguments.skip:
                continue
            start = time.process_time()
            links = table if name == LINKED else None
            model = OmicsMLM(data, OmicsMLMConfig(seed=seed), batch_key="library", links=links)
            spent = time.process_time() - start
            if name in (PAIRED, LINKED):
                found.append({("", "method"): f"{name} untrained", **ours(model, cells, seed)})
            start = time.process_time()
            model.train(key_added=None, progress_bar=False)
            print(f"  {name}, seed {seed}: {spent + time.process_time() - start:.0f} CPU-s", flush=True)
            found.append({("", "method"): name, **ours(model, cells, seed)})
        if seed == arguments.seeds[0]:
            found += [{("", "method"): name, **row} for name, row in plain(cells, whole, is_test, seed).items()]
        pd.DataFrame(found).to_csv(arguments.out / "mosaic.csv")  # a killed run leaves what it has
    rows = pd.DataFrame(found).set_index(("", "method"))
    rows.columns = pd.MultiIndex.from_tuples(list(rows.columns))
    means = rows.groupby(level=0, sort=False).mean().rename_axis("method")
    print(means.round(3).to_string(na_rep=""))
    majority = pd.Series(cells.test_labels).value_counts(normalize=True).iloc[0]
    print(f"majority type {majority:.3f}; {cells.test.n_obs} test cells, {cells.train.n_obs} training cells")
    for model_name in (name for name in (PAIRED, LINKED) if name in means.index):
        print(f"{model_name}:", *verdict_lines(means, model_name), sep="\n  ")
    pl.dropout_table(means, title="SNARE-seq, test libraries", save=arguments.out / "mosaic.png")


if __name__ == "__main__":
    main()
