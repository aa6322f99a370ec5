"""The sets that recipes are compared on: those for choosing, and variants of them that took no part in it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from anndata import AnnData
from mudata import MuData

from omicsmlm import datasets

Data = AnnData | MuData

FEW = 300  # cells of the smallest variants
MOST_EVALUATED = 4000  # cells of SNARE-seq on which scib-metrics is computed, drawn once: a minute instead of five
INTERFERON = ("IFNGR1", "IFNGR2", "JAK2", "STAT1")  # knock-outs of one pathway, in Papalexi et al.


class Set(NamedTuple):
    """A set of cells with types."""

    load: Callable[[], Data]
    batch_key: str | None
    held_out: str
    """"batch" or another column of obs: each of its values in turn; "split": the column split; "folds": 5 stratified ones."""
    second: str | None = None
    """"atac" or "adt": modality beside the RNA."""
    dropped: tuple[str, ...] = ()
    """Labels that are no type."""


def evaluated_part(n_obs: int) -> np.ndarray:
    """The rows on which scib-metrics is computed: all, or a part that is drawn with seed 0."""
    if n_obs <= MOST_EVALUATED:
        return np.arange(n_obs)
    return np.sort(np.random.default_rng(0).choice(n_obs, MOST_EVALUATED, replace=False))


def of(path: str) -> Callable[[], Data]:
    return lambda: datasets.load(path)


def of_rna(load: Callable[[], Any]) -> Callable[[], AnnData]:
    """The RNA alone, with the columns of the whole."""

    def rna() -> AnnData:
        whole = load()
        found = whole["rna"][whole.obs_names].copy()
        found.obs = whole.obs.copy()
        return found

    return rna


def drawn(load: Callable[[], Any], fraction_or_number: float) -> Callable[[], Data]:
    """A random part of the cells, drawn with seed 0: a fraction below 1, or a number."""

    def part() -> Data:
        whole = load()
        n = int(whole.n_obs * fraction_or_number) if fraction_or_number < 1 else int(fraction_or_number)
        return whole[np.sort(np.random.default_rng(0).choice(whole.n_obs, n, replace=False))].copy()

    return part


def without_first(load: Callable[[], Any], key: str) -> Callable[[], Data]:
    """The cells of all batches but the first by name."""

    def rest() -> Data:
        whole = load()
        batch = whole.obs[key].astype(str)
        return whole[(batch != batch.min()).to_numpy()].copy()

    return rest


def where(load: Callable[[], Any], key: str, value: str) -> Callable[[], Data]:
    """The cells with one value of a column."""

    def part() -> Data:
        whole = load()
        return whole[(whole.obs[key].astype(str) == value).to_numpy()].copy()

    return part


def papalexi() -> AnnData:
    """All cells; knock-outs of the interferon-γ pathway and control cells are the types, other cells have none."""
    data = datasets.load("sc/papalexi_eccite_thp1.h5ad")
    target = data.obs["perturbation"].astype(str)
    data.obs["cell_type"] = np.where(
        target.isin(INTERFERON), "interferon", np.where(target == "control", "control", None)
    )
    return data


def pbmc68k() -> AnnData:
    """The 700 cells × 765 genes that come with scanpy; counts from log(1 + c · count), c the least value of the cell."""
    import scanpy

    whole = scanpy.datasets.pbmc68k_reduced()
    data = whole.raw.to_adata()
    value_ng = np.expm1(data.X.toarray().astype(np.float64))
    unit_n1 = np.where(value_ng > 0, value_ng, np.inf).min(1, keepdims=True)
    data.X = np.rint(value_ng / unit_n1).astype(np.float32)
    if not np.allclose(data.X, value_ng / unit_n1, rtol=0.01):
        raise ValueError(
            "pbmc68k_reduced: expected multiples of each cell's least value; this scanpy ships other values"
        )
    data.obs["cell_type"] = data.obs["bulk_labels"].astype(str)
    return data


SETS = {
    "pbmc_3tech": Set(datasets.pbmc_3tech, "batch", "batch"),
    "mixology": Set(datasets.mixology, "batch", "batch"),
    "teaseq": Set(datasets.teaseq, None, "folds", "adt"),
    "snareseq": Set(datasets.snareseq, "batch", "split", "atac", ("Mis",)),
    "cite": Set(of("sc/bmmc_cite_2donor.h5mu"), "batch", "batch", "adt"),
    "kang": Set(of("sc/kang_ifnb_pbmc.h5ad"), "batch", "donor"),
}
"""Sets for choosing: recipes were compared on them."""

VARIANTS = {
    "pbmc68k": Set(pbmc68k, None, "folds"),
    "cite_rna": Set(of_rna(SETS["cite"].load), "batch", "batch"),
    "kang_ctrl": Set(where(SETS["kang"].load, "condition", "ctrl"), "batch", "donor"),
    "kang_stim": Set(where(SETS["kang"].load, "condition", "stim"), "batch", "donor"),
    "pbmc_2tech": Set(without_first(datasets.pbmc_3tech, "batch"), "batch", "batch"),
    "pbmc_300": Set(drawn(datasets.pbmc_3tech, FEW), "batch", "batch"),
    "teaseq_300": Set(drawn(datasets.teaseq, FEW), None, "folds", "adt"),
    "teaseq_rna": Set(of_rna(datasets.teaseq), None, "folds"),
    "teaseq_half": Set(drawn(datasets.teaseq, 0.5), None, "folds", "adt"),
    "mixology_300": Set(drawn(datasets.mixology, FEW), "batch", "batch"),
    "mixology_4": Set(without_first(datasets.mixology, "batch"), "batch", "batch"),
    "snareseq_rna": Set(of_rna(datasets.snareseq), "batch", "split", None, ("Mis",)),
    "papalexi": Set(papalexi, "batch", "batch"),
}
"""Sets that no recipe was compared on: parts of those for choosing, by fixed rules, and two of their own (pbmc68k, papalexi)."""
