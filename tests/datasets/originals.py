"""Small files in the formats in which authors publish their sets, written from objects of ours."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from omicsmlm.datasets._originals import MIXOLOGY_TABLES


def write_snareseq(mdata: MuData, folder: Path) -> None:
    """Write the files of scMoMaT: (features, cells) as ``.npz``, names as lines, a table of cells."""
    for modality, values, names in (("rna", "GxC1.npz", "genes.txt"), ("atac", "RxC1.npz", "regions.txt")):
        part = mdata[modality][mdata.obs_names]
        sp.save_npz(folder / values, sp.csc_matrix(part.X.T))
        (folder / names).write_text("".join(f"{name}\n" for name in part.var_names))
    cells = pd.DataFrame({"Batch": mdata.obs["batch"].astype(str), "Ident": mdata.obs["cell_subtype"].astype(str)})
    cells.to_csv(folder / "meta_c1.csv")


def write_mixology(adata: AnnData, folder: Path) -> None:
    """Write tables of counts (genes, cells) and of cells; each table has a doublet and a gene of its own."""
    for table, (batch, _) in MIXOLOGY_TABLES.items():
        part = adata[adata.obs["batch"] == batch]
        cells = [name.removeprefix(f"{table}:") for name in part.obs_names]
        counts = pd.DataFrame(part.X.toarray().T.astype(int), index=part.var_names, columns=cells)
        counts["doublet"] = 9
        counts.loc[f"only_{table}"] = 1
        counts.to_csv(folder / f"{table}.count.csv.gz")
        lines = pd.Series([*part.obs["cell_type"].astype(str), "H1975"], index=counts.columns)
        cells = pd.DataFrame({"cell_line_demuxlet": lines, "demuxlet_cls": "SNG", "mapped": 0.5})
        cells.loc["doublet", "demuxlet_cls"] = "DBL"
        cells[::-1].to_csv(folder / f"{table}.metadata.csv.gz")  # not in the order of the counts


def write_ten_x(parts: dict[str, AnnData], file: Path) -> None:
    """Write the ``.h5`` file of Cell Ranger 3 of parts by type of feature."""
    whole = sp.csc_matrix(sp.hstack([part.X for part in parts.values()]).T)  # (features, cells)
    names = [name for part in parts.values() for name in part.var_names]
    types = [kind for kind, part in parts.items() for _ in part.var_names]
    with h5py.File(file, "w") as stored:
        group = stored.create_group("matrix")
        group["barcodes"] = np.array(next(iter(parts.values())).obs_names, dtype="S")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(whole, name).astype(np.int64)
        group["shape"] = np.array(whole.shape)
        texts = {"id": names, "name": names, "feature_type": types, "genome": ["GRCh38"] * len(names)}
        for key, values in texts.items():
            group[f"features/{key}"] = np.array(values, dtype="S")


def write_laml(folder: Path) -> pd.DataFrame:
    """Write a table of genes by samples, and one of survival; return the first, samples by genes."""
    samples = [f"TCGA-AB-{i:04d}-03" for i in range(6)]
    values = np.random.default_rng(0).uniform(0, 15, (6, 4)).round(4)
    table = pd.DataFrame(values, samples, pd.Index(["TP53", "FLT3", "NPM1", "DNMT3A"], name="sample"))
    table.T.to_csv(folder / "HiSeqV2.tsv.gz", sep="\t")
    survival = pd.DataFrame({"sample": samples, "OS": [0, 1, 1, 0, 1, 0], "OS.time": [100, 30, 9, 700, 80, 2]})
    survival.to_csv(folder / "LAML_survival.tsv", sep="\t", index=False)
    return table
