"""Sets that took no part in choosing the recipe, in files that Python packages ship; see ``docs/experiments/recipe.md`` for where from.

The folder that ``--data`` names holds the files as they are in the packages; a file of another content is an error.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
from _recipe_sets import Set
from anndata import AnnData, read_h5ad
from scipy import sparse

from omicsmlm import pp

FEWEST_OF_BATCH = 20  # cells; of the kidney's 13 samples two have fewer (10 and 2)


class Source(NamedTuple):
    """A file of a package."""

    package: str
    """With its version."""
    file: str
    """Where it is in the package, after the archive in it has been unpacked."""
    digest: str
    """SHA-256 of the file."""
    read: Callable[[Path], AnnData]
    """What makes a set of it: raw counts, with ``batch`` and ``cell_type`` in ``obs``."""
    dropped: tuple[str, ...] = ()
    """Labels that are no type."""


def baron(path: Path) -> AnnData:
    """Pancreas by donor: counts as they are."""
    data = read_h5ad(path)
    made = AnnData(sparse.csr_matrix(data.X, dtype=np.float32), data.obs[["donor", "cell_type1"]], data.var[[]])
    return named(made, "donor", "cell_type1")


def kidney(path: Path) -> AnnData:
    """Immune cells of kidneys by sample: counts out of the logarithms; samples of few cells left out."""
    data = pp.recover_counts(read_h5ad(path))
    n_of_sample = data.obs["Experiment"].astype(str).map(data.obs["Experiment"].astype(str).value_counts())
    kept = data[(n_of_sample >= FEWEST_OF_BATCH).to_numpy()]
    return named(AnnData(kept.X, kept.obs[["Experiment", "celltype"]], kept.var[[]]), "Experiment", "celltype")


def starmap(path: Path) -> AnnData:
    """Cortex in situ, 158 genes, by replicate: counts as they are."""
    with h5py.File(path) as file:
        counts_ng = sparse.csr_matrix(file["matrix"][...].T, dtype=np.float32)
        genes = [gene.decode() for gene in file["row_attrs/Gene"][...]]
        batches = [f"replicate {int(b)}" for b in file["col_attrs/BatchID"][:, 0]]
        types = [label.decode() for label in file["col_attrs/Clusters"][...]]
    obs = pd.DataFrame({"batch": batches, "cell_type": types}, index=[f"cell {n}" for n in range(len(types))])
    return named(AnnData(counts_ng, obs, pd.DataFrame(index=genes)), "batch", "cell_type")


def named(data: AnnData, batch_key: str, type_key: str) -> AnnData:
    """The data with its batch and its types under the names of all sets, and names of cells that are unique."""
    data.obs = pd.DataFrame(
        {"batch": data.obs[batch_key].astype(str), "cell_type": data.obs[type_key].astype(str)},
        index=data.obs_names,
    )
    data.obs_names_make_unique()
    data.var_names_make_unique()
    return data


SOURCES = {
    "baron_human": Source(
        "came 0.1.13",
        "came/sample_data.zip/raw-Baron_human.h5ad",
        "c0fca7f46d5ae82d8b5753ed5ce246cded66e2e870face389bd11084aab17700",
        baron,
    ),
    "baron_mouse": Source(
        "came 0.1.13",
        "came/sample_data.zip/raw-Baron_mouse.h5ad",
        "5b6a0c474990e2968a9c6bbfb882ccb69e063d9c5386011198f099a25bcc31ed",
        baron,
    ),
    "kidney_immune": Source(
        "ktplotspy 0.3.5, source archive",
        "data/kidneyimmune.h5ad",
        "38e7b2c9e6b6715837513f8eacd836df84abd5888ddc9779350d12e7bbec3b53",
        kidney,
    ),
    "starmap": Source(
        "scvi 0.6.8, source archive",
        "tests/data/mpfc-starmap.loom",
        "c5e744fb7f780b4b140781a455d632058a7aa9c789b4c4a150c2a7cd3ab6682b",
        starmap,
        ("NA",),
    ),
}


def load(folder: Path, source: Source) -> AnnData:
    """A set out of the folder with the files."""
    path = folder / Path(source.file).name
    if not path.exists():
        raise SystemExit(f"{path}: not there; it is {source.file} of {source.package}")
    found = sha256(path.read_bytes()).hexdigest()
    if found != source.digest:
        raise SystemExit(f"{path}: expected {source.file} of {source.package}, {source.digest}, got {found}")
    return source.read(path)


def kept_back(folder: Path) -> dict[str, Set]:
    """The sets, each with its batch left out in turn for the probes."""
    return {
        name: Set(partial(load, folder, source), "batch", "batch", None, source.dropped)
        for name, source in SOURCES.items()
    }
