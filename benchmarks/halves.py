"""SNARE-seq in two halves that share no cell, RNA of one and ATAC of the other: labels from either to test cells by the other modality.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/halves.py [--seeds 0 1 2] [--rows baselines OmicsMLM ...] [--cells 0] [--untrained] [--out DIR]

The halves are of the training libraries, as in benchmarks/mosaic.py. "ATAC -> RNA": k-NN (15) with labels of the cells of the ATAC half to
the cells of the test libraries by their RNA; "RNA -> ATAC" the other way. "RNA -> RNA" and "ATAC -> ATAC": labels from a half to test
cells by its own modality. "halves, ATAC -> RNA": labels from the cells of one half to those of the other, no test cell taking part;
"libraries": neighbours (15) of a cell, in its half, that are of another library, as a fraction of what random ones would be.
Genes and peaks are linked by the authors' table.

baselines: gene activity, the sum of the open peaks of a gene, normalised and standardised like RNA, in
      the genes that have peaks: with logistic regression (C = .01) from one modality to the other; PCA (50) of both; Harmony of
      that; canonical components (30) of the two sets of cells, of length 1, as Seurat has them. All but the regression are fitted
      with the test cells among them, which flatters them: each is there with its RNA and with its ATAC. From half to half they are
      fitted to the two halves alone.
Families: with links, without, with links whose genes are shuffled (a control), and with links and 50 to 1,000 cells of the ATAC
      half that have RNA too. With --cells, a half has so many cells, drawn by the seed.
"""

import argparse
import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import harmonypy
import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.utils.extmath import randomized_svd

from omicsmlm import OmicsMLM, OmicsMLMConfig, ScMBERT, ScMBERTConfig, datasets

FAMILIES: dict[str, tuple[Any, Any, int | None]] = {
    "OmicsMLM": (OmicsMLM, OmicsMLMConfig, None),
    "ScMBERT": (ScMBERT, ScMBERTConfig, 6),  # epochs: as in benchmarks/scmbert.py
}
VARIANTS = {"links": 0, "no links": 0, "shuffled links": 0, **{f"links, {n} pairs": n for n in (50, 200, 500, 1000)}}
LINKS = "sc/snareseq_gene_peak_links.csv.gz"


class Halves(NamedTuple):
    """All cells, the positions of the two halves and of the test cells, and the links."""

    data: MuData
    labels: np.ndarray
    rna: np.ndarray
    atac: np.ndarray
    test: np.ndarray
    links: pd.DataFrame


def halves_of(whole: MuData, links: pd.DataFrame, seed: int, n: int) -> Halves:
    """Divide the training cells; with n above 0, into halves of n cells."""
    is_test = (whole.obs["split"] == "test").to_numpy()
    trained = np.flatnonzero(~is_test)
    half_n = np.random.default_rng(seed).permutation(len(trained)) % 2
    rna, atac = trained[half_n == 0], trained[half_n == 1]
    if n:
        rng = np.random.default_rng(seed)
        rna, atac = (np.sort(rng.permutation(half)[:n]) for half in (rna, atac))
    return Halves(whole, whole.obs["cell_type"].astype(str).to_numpy(), rna, atac, np.flatnonzero(is_test), links)


def score(known_nd: np.ndarray, known: np.ndarray, asked_nd: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy of 15 nearest neighbours."""
    return KNeighborsClassifier(15).fit(known_nd, known).score(asked_nd, truth)


def figures(cells: Halves, embedded: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracies from the embeddings of both halves and of the test cells by either modality."""
    labels, truth = {"RNA": cells.labels[cells.rna], "ATAC": cells.labels[cells.atac]}, cells.labels[cells.test]
    return {
        f"{known} -> {asked}": score(embedded[known], labels[known], embedded[f"test {asked}"], truth)
        for known, asked in (("ATAC", "RNA"), ("RNA", "ATAC"), ("RNA", "RNA"), ("ATAC", "ATAC"))
    }


def mixing(cells: Halves, embedded: dict[str, np.ndarray]) -> float:
    """Fraction of the 15 nearest neighbours within a half that are of another library, relative to random ones; mean of the halves."""
    found = []
    for half, at in (("RNA", cells.rna), ("ATAC", cells.atac)):
        library_n = cells.data.obs["batch"].astype(str).to_numpy()[at]
        near_nk = NearestNeighbors(n_neighbors=15).fit(embedded[half]).kneighbors(return_distance=False)
        by_chance = 1 - np.square(pd.Series(library_n).value_counts(normalize=True)).sum()
        found.append((library_n[near_nk] != library_n[:, None]).mean() / by_chance)
    return float(np.mean(found))


def between_halves(cells: Halves, embedded: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracies from either half to the other, and how the libraries mix within them."""
    labels = {"RNA": cells.labels[cells.rna], "ATAC": cells.labels[cells.atac]}
    carried = {
        f"halves, {known} -> {asked}": score(embedded[known], labels[known], embedded[asked], labels[asked])
        for known, asked in (("ATAC", "RNA"), ("RNA", "ATAC"))
    }
    return carried | {"libraries": mixing(cells, embedded)}


# ---- baselines ------------------------------------------------------------------------------------------------------


def standardised(counts: sparse.csr_matrix, fitted: np.ndarray) -> np.ndarray:
    """log1p(10⁴ x / depth), standardised per gene by the cells of a half, within ±10."""
    depth_n = np.maximum(np.asarray(counts.sum(1)).ravel(), 1)
    x_ng = np.log1p((sparse.diags_array(1e4 / depth_n) @ counts).toarray()).astype(np.float32)
    return ((x_ng - x_ng[fitted].mean(0)) / np.maximum(x_ng[fitted].std(0), 1e-6)).clip(-10, 10)


def activities(cells: Halves) -> tuple[np.ndarray, np.ndarray]:
    """Expression and gene activity of all cells, in the genes that have peaks."""
    genes, peaks = cells.data["rna"].var_names, cells.data["atac"].var_names
    places = peaks.get_indexer(cells.links["peak"]), genes.get_indexer(cells.links["gene"])
    link = sparse.csr_matrix((np.ones(len(cells.links)), places), shape=(len(peaks), len(genes)))
    has_g = np.asarray(link.sum(0)).ravel() > 0
    rna = standardised(sparse.csr_matrix(cells.data["rna"].X), cells.rna)[:, has_g]
    is_open = (sparse.csr_matrix(cells.data["atac"].X) > 0).astype(np.float32)
    return rna, standardised(sparse.csr_matrix(is_open @ link), cells.atac)[:, has_g]


def baseline_rows(cells: Halves) -> dict[str, dict[str, float]]:
    """Rows of what needs no network."""
    rna, atac = activities(cells)
    truth, rows = cells.labels[cells.test], {}
    known = {"ATAC": (atac, cells.atac), "RNA": (rna, cells.rna)}
    asked = {"ATAC": atac[cells.test], "RNA": rna[cells.test]}
    fits = {m: LogisticRegression(C=0.01, max_iter=200).fit(x[at], cells.labels[at]) for m, (x, at) in known.items()}
    pairs = (("ATAC", "RNA"), ("RNA", "ATAC"), ("RNA", "RNA"), ("ATAC", "ATAC"))
    rows["gene activity, logistic regression"] = {f"{a} -> {b}": fits[a].score(asked[b], truth) for a, b in pairs}
    parts = {"RNA": rna[cells.rna], "test RNA": asked["RNA"], "ATAC": atac[cells.atac], "test ATAC": asked["ATAC"]}
    halves = {"RNA": rna[cells.rna], "ATAC": atac[cells.atac]}
    of_halves = joint_embeddings(halves)
    for name, embedded in joint_embeddings(parts).items():
        rows[f"gene activity, {name}"] = figures(cells, embedded) | between_halves(cells, of_halves[name])
    return rows


def joint_embeddings(parts: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Embeddings of sets of cells by RNA, which come first, and by ATAC: by method, then by set."""
    every = np.vstack(list(parts.values()))
    score_nk = every @ randomized_svd(every, 50, random_state=0)[2].T
    ends = np.cumsum([len(part) for part in parts.values()])[:-1]
    of_part = ["rna" if "RNA" in name else "atac" for name in parts]
    modality = pd.DataFrame({"modality": np.repeat(of_part, [len(x) for x in parts.values()])})
    found = harmonypy.run_harmony(score_nk, modality, "modality", random_state=0, verbose=False).Z_corr
    n_rna = int((modality["modality"] == "rna").sum())
    u, _, vt = randomized_svd(every[:n_rna] @ every[n_rna:].T, 30, random_state=0)
    joint = np.vstack([u, vt.T])
    methods = {
        "PCA": score_nk,
        "Harmony": np.asarray(found if len(found) == len(every) else found.T),
        "canonical components": joint / np.linalg.norm(joint, axis=1, keepdims=True),
    }
    return {name: dict(zip(parts, np.split(x, ends), strict=True)) for name, x in methods.items()}


# ---- models ---------------------------------------------------------------------------------------------------------


def modality_of(cells: Halves, name: str, at: np.ndarray) -> MuData:
    """Some cells with one modality."""
    return MuData({name: cells.data[name][at].copy()})


def trained_on(cells: Halves, n_pairs: int, seed: int) -> MuData:
    """The two halves; so many cells of the ATAC half have RNA too."""
    paired = np.random.default_rng(seed).permutation(cells.atac)[:n_pairs]
    rna = cells.data["rna"][np.sort(np.concatenate([cells.rna, paired]))].copy()
    joined = MuData({"rna": rna, "atac": cells.data["atac"][cells.atac].copy()})
    joined.obs["library"] = cells.data.obs["batch"].astype(str).reindex(joined.obs_names).to_numpy()
    return joined


def embedded_by(model: Any, cells: Halves) -> dict[str, np.ndarray]:
    """Embeddings of the halves, each by its own modality, and of the test cells by either."""
    parts = {"RNA": ("rna", cells.rna), "ATAC": ("atac", cells.atac)}
    parts |= {"test RNA": ("rna", cells.test), "test ATAC": ("atac", cells.test)}
    return {name: model.get_latent_representation(modality_of(cells, m, at)) for name, (m, at) in parts.items()}


def of_model(model: Any, cells: Halves) -> dict[str, float]:
    """All accuracies of a model."""
    embedded = embedded_by(model, cells)
    return figures(cells, embedded) | between_halves(cells, embedded)


def model_rows(cells: Halves, family: str, variant: str, seed: int, untrained: bool) -> dict[str, dict[str, float]]:
    """Rows of a family, before and after training."""
    kind, config, epochs = FAMILIES[family]
    links = cells.links
    if variant == "shuffled links":
        links = links.assign(gene=np.random.default_rng(seed).permutation(links["gene"]))
    data = trained_on(cells, VARIANTS[variant], seed)
    start = time.process_time()
    model = kind(data, config(seed=seed), batch_key="library", links=None if variant == "no links" else links)
    spent, name = time.process_time() - start, f"{family}, {variant}"
    rows = {f"{name}, untrained": of_model(model, cells) | {"CPU-s": spent}}
    if not untrained:
        start = time.process_time()
        model.train(epochs, key_added=None, progress_bar=False)
        spent += time.process_time() - start
        rows[name] = of_model(model, cells) | {"CPU-s": spent}
    return rows


def main() -> None:
    choices = ["baselines", *(f"{family}, {variant}" for family in FAMILIES for variant in VARIANTS)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=choices, default=choices)
    parser.add_argument("--cells", type=int, default=0)
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    warnings.filterwarnings("ignore", module="sklearn")
    arguments.out.mkdir(parents=True, exist_ok=True)
    whole = datasets.snareseq()
    whole = whole[(whole.obs["cell_type"] != "Mis").to_numpy()].copy()
    links, tables = pd.read_csv(Path(os.environ["OMICSMLM_DATA"]) / LINKS), []
    for seed in arguments.seeds:
        cells = halves_of(whole, links, seed, arguments.cells)
        for chosen in arguments.rows:
            family, _, variant = chosen.partition(", ")
            rows = baseline_rows(cells) if chosen == "baselines" else {}
            rows |= model_rows(cells, family, variant, seed, arguments.untrained) if variant else {}
            tables.append(pd.DataFrame(rows).T.assign(seed=seed))
            pd.concat(tables).to_csv(arguments.out / "halves.csv")  # a killed run leaves what it has
            print(tables[-1].round(3).to_string(), flush=True)
    means = pd.concat(tables).groupby(level=0, sort=False).mean().drop(columns="seed")
    majority = whole.obs["cell_type"][whole.obs["split"] == "test"].value_counts(normalize=True).iloc[0]
    print(f"\n== mean of {len(arguments.seeds)} seeds; commonest type {majority:.3f}\n{means.round(3).to_string()}")


if __name__ == "__main__":
    main()
