"""Run the scripts of ``docs/experiments/strangers.md`` on files in their original formats, each in a process of its own.

    python docs/scripts/strangers.py FOLDER [names]

Needs OMICSMLM_DATA: the files are made from its sets. Each script finds its files in a folder of FOLDER, and leaves its
pictures there; lines, minutes and what it logged are printed.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.io
from scipy import sparse

import omicsmlm

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "experiments" / "strangers.md"
FAMILY = DOCS / "add_a_family.md"


class Script(NamedTuple):
    """A script of the page."""

    name: str
    code: str

    @property
    def n_lines(self) -> int:
        """Lines of code, without empty ones and comments."""
        return sum(bool(line.strip()) and not line.strip().startswith("#") for line in self.code.splitlines())


def scripts(page: Path = PAGE) -> list[Script]:
    """Return the blocks of Python on a page that begin with the name of a file."""
    found = re.finditer(r"^```python\n# ([\w/]+\.py)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [Script(match[1].removesuffix(".py"), match[2]) for match in found]


def write_10x(path: Path, parts: dict[str, ad.AnnData], suffix: str = "-1") -> None:
    """Write a ``filtered_feature_bc_matrix.h5`` as Cell Ranger 3 and later do: features of each type below one another."""
    counts_fn = sparse.csc_matrix(sparse.vstack([sparse.csr_matrix(part.X).T for part in parts.values()]))
    names = np.concatenate([part.var_names.to_numpy(dtype="S") for part in parts.values()])
    kinds = np.concatenate([np.array([kind] * part.n_vars, dtype="S") for kind, part in parts.items()])
    cells = next(iter(parts.values())).obs_names
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = np.array([f"{cell}{suffix}" for cell in cells], dtype="S")
        matrix["shape"] = np.array(counts_fn.shape, dtype=np.int32)
        matrix["data"] = counts_fn.data.astype(np.int32)
        matrix["indices"] = counts_fn.indices.astype(np.int64)
        matrix["indptr"] = counts_fn.indptr.astype(np.int64)
        features = matrix.create_group("features")
        features["id"] = features["name"] = names
        features["feature_type"] = kinds
        features["genome"] = np.array(["GRCm38"] * len(names), dtype="S")


def multiome(folder: Path) -> None:
    """10x multiome: 3,000 nuclei of SNARE-seq, RNA and peaks in one file, and a table of the nuclei."""
    mdata = omicsmlm.datasets.snareseq()
    chosen_n = np.sort(np.random.default_rng(0).permutation(mdata.n_obs)[:3000])
    mdata = mdata[chosen_n].copy()
    write_10x(folder / "filtered_feature_bc_matrix.h5", {"Gene Expression": mdata["rna"], "Peaks": mdata["atac"]})
    mdata.obs[["batch", "cell_type"]].rename(columns={"batch": "library"}).to_csv(folder / "cells.csv")


def proteins(folder: Path) -> None:
    """CITE-seq: the RNA of TEA-seq as a file of 10x, its proteins as cells × proteins in a CSV, and a table of the cells."""
    mdata = omicsmlm.datasets.teaseq()
    write_10x(folder / "filtered_feature_bc_matrix.h5", {"Gene Expression": mdata["rna"]})
    mdata["adt"].to_df().astype(int).to_csv(folder / "adt_counts.csv")
    mdata.obs[["cell_type"]].to_csv(folder / "cells.csv")


def bulk(folder: Path) -> None:
    """TCGA-LAML as a portal gives it: genes × samples, CpG sites × samples, and a clinical table with words in it."""
    mdata = omicsmlm.datasets.load("bulk/tcga_laml_survival.h5mu")
    mdata["rna"].to_df().T.round(4).to_csv(folder / "rna.tsv", sep="\t", index_label="Hugo_Symbol")
    mdata["methylation"].to_df().T.round(4).to_csv(folder / "beta.csv.gz", index_label="probe")
    obs = mdata.obs
    clinical = pd.DataFrame({"PATIENT_ID": obs.index, "AGE": obs["age"].to_numpy(), "FAB": obs["fab"].to_numpy()})
    clinical["OS_MONTHS"] = (obs["time_days"] / 30.4375).round(2).to_numpy()
    dead = obs["event"].map({1: "DECEASED", 0: "LIVING"})
    clinical["OS_STATUS"] = dead.astype(object).where(dead.notna(), "[Not Available]").to_numpy()
    clinical.to_csv(folder / "clinical.csv", index=False)


def seurat(folder: Path) -> None:
    """Kang as a user of Seurat writes it from R: a Matrix Market file of genes × cells, names beside it, metadata."""
    adata = omicsmlm.datasets.load("sc/kang_ifnb_pbmc.h5ad")
    scipy.io.mmwrite(folder / "counts.mtx", sparse.coo_matrix(adata.X.T).astype(int))
    (folder / "genes.tsv").write_text("\n".join(adata.var_names) + "\n", encoding="utf-8")
    (folder / "barcodes.tsv").write_text("\n".join(adata.obs_names) + "\n", encoding="utf-8")
    renamed = {"batch": "orig.ident", "condition": "stim", "cell_type": "seurat_annotations"}
    metadata = adata.obs.rename(columns=renamed)[list(renamed.values())].astype(str)
    metadata["nCount_RNA"] = np.asarray(adata.X.sum(1)).ravel()
    metadata.to_csv(folder / "metadata.csv")


def logs(folder: Path) -> None:
    """pbmc_3tech with log-normalised values alone, without a word of it in the file."""
    adata = omicsmlm.datasets.pbmc_3tech()
    adata = ad.AnnData(sparse.csr_matrix(adata.X).astype(np.float32), obs=adata.obs, var=adata.var[[]])
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    adata.uns.clear()
    adata.write_h5ad(folder / "log_normalised.h5ad")


def xena(folder: Path) -> None:
    """TCGA-LAML as UCSC Xena has it: genes × samples, and a table of OS and OS.time with the samples' own barcodes."""
    mdata = omicsmlm.datasets.load("bulk/tcga_laml_survival.h5mu")
    rna = mdata["rna"].to_df().T
    obs = mdata.obs.loc[rna.columns]
    rna.columns = [f"{patient}-03" for patient in rna.columns]
    rna.round(4).to_csv(folder / "HiSeqV2.tsv", sep="\t", index_label="sample")
    table = {"sample": rna.columns, "OS": obs["event"].to_numpy(), "_PATIENT": obs.index, "OS.time": obs["time_days"]}
    pd.DataFrame(table).to_csv(folder / "LAML_survival.txt", sep="\t", index=False)


def developer(folder: Path) -> None:
    """The folder ``toy`` with the blocks of ``docs/add_a_family.md``, as somebody who reads that page writes it."""
    (folder / "toy").mkdir(exist_ok=True)
    for block in re.finditer(
        r"^```python\n# (src/\S+)\n(.*?)^```$", FAMILY.read_text("utf-8"), re.MULTILINE | re.DOTALL
    ):
        (folder / "toy" / Path(block[1]).name).write_text(block[2], encoding="utf-8")


FILES = {
    "multiome": multiome,
    "proteins": proteins,
    "bulk": bulk,
    "seurat": seurat,
    "logs": logs,
    "xena": xena,
    "developer": developer,
}
"""What makes the files of each script."""


def run(script: Script, folder: Path) -> tuple[float, float]:
    """Run a script in its folder and print what it said; return the minutes that it took, and those of a processor.

    Raises
    ------
    CalledProcessError
        If it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    FILES[script.name](folder)
    (folder / f"{script.name}.py").write_text(script.code, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "OMICSMLM_DATA"}
    start, used = time.perf_counter(), cpu_minutes()
    done = subprocess.run(
        [sys.executable, f"{script.name}.py"],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    print(re.sub(r"[^\n]*\r", "", done.stdout))
    done.check_returncode()
    return (time.perf_counter() - start) / 60, cpu_minutes() - used


def cpu_minutes() -> float:
    """Return the minutes of a processor that processes have used which this one started and which ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / 60


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    for script in scripts():
        if script.name in (arguments.names or FILES):
            minutes, cpu = run(script, arguments.folder / script.name)
            said = f"{script.n_lines} lines, {minutes:.1f} minutes, {cpu:.1f} of a processor"
            print(f"== {script.name}: {said}\n", flush=True)


if __name__ == "__main__":
    main()
