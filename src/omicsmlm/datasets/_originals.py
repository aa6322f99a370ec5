"""Public data sets at the addresses of their authors, and how each becomes an object."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp

from omicsmlm._checks import named, value_error

_GITHUB = "https://raw.githubusercontent.com"
_SCMOMAT = f"{_GITHUB}/PeterZZQ/scMoMaT"
_MIXOLOGY = f"{_GITHUB}/LuyiTian/sc_mixology/19667e111aac52abbfcaa6fff07da2fd05984709/data/csv"
_TEN_X = "https://cf.10xgenomics.com/samples"
_XENA = "https://tcga-xena-hub.s3.us-east-1.amazonaws.com/download"


class Remote(NamedTuple):
    """A file at an address."""

    name: str
    """Name to keep it by."""
    url: str
    checksum: str | None = None
    """``"md5:…"`` or ``"sha256:…"``; None where no one has published any."""


class Original(NamedTuple):
    """A data set as its authors publish it."""

    summary: str
    licence: str
    megabytes: int
    """Size of the download, roughly."""
    files: tuple[Remote, ...]
    convert: Callable[[Path], ad.AnnData | md.MuData]
    """From a folder with these files to the object."""
    suffix: str
    """``.h5ad`` or ``.h5mu``."""


MIXOLOGY_TABLES = {
    "sc_celseq2": ("CEL-seq2_3cl", "CEL-seq2"),
    "sc_dropseq": ("Drop-seq_3cl", "Drop-seq"),
    "sc_celseq2_5cl_p1": ("CEL-seq2_5cl_p1", "CEL-seq2"),
    "sc_celseq2_5cl_p2": ("CEL-seq2_5cl_p2", "CEL-seq2"),
    "sc_celseq2_5cl_p3": ("CEL-seq2_5cl_p3", "CEL-seq2"),
}
"""Batch and technology of each table."""
SUBTYPES = {
    "L2/3": ("E2Rasgrf2", "E3Rmst", "E3Rorb"),
    "L4/5": ("E4Il1rapl2", "E4Thsd7a", "E5Galnt14", "E5Parm1", "E5Sulf1", "E5Tshz2"),
    "L6": ("E6Tle4",),
    "Astro": ("Ast",),
    "CGE": ("InV",),
    "MGC": ("Mic",),
    "Npy": ("InN",),
    "Oligo": ("OliI", "OliM"),
    "Pvalb": ("InP",),
    "Sst": ("InS",),
}
"""Types of SNARE-seq and their subtypes, as the authors of scMoMaT group them; others are types themselves."""
TEST_LIBRARIES, VALIDATION_LIBRARIES = ("09J", "09K", "09L"), ("09I",)


def read_snareseq(folder: Path) -> md.MuData:
    """Return SNARE-seq of mouse cortex from the files of scMoMaT, which are (features, cells).

    Raises
    ------
    ValueError
        If the files do not fit together.
    """
    cells = pd.read_csv(folder / "meta_c1.csv", index_col=0)
    parts = {}
    for modality, values, names in (("rna", "GxC1.npz", "genes.txt"), ("atac", "RxC1.npz", "regions.txt")):
        features = [line for line in (folder / names).read_text(encoding="utf-8").split("\n") if line]
        if modality == "atac":
            features = [_region(name) for name in features]
        counts = sp.csr_matrix(sp.load_npz(folder / values).T, dtype=np.float32)
        _check_shape(values, counts.shape, (len(cells), len(features)))
        var = pd.DataFrame(index=pd.Index(features, dtype=object))
        parts[modality] = ad.AnnData(counts, obs=pd.DataFrame(index=cells.index.astype(str)), var=var)
    mdata = md.MuData(parts)
    subtypes = cells["Ident"].astype(str)
    type_of = {subtype: name for name, listed in SUBTYPES.items() for subtype in listed}
    libraries = pd.Series(cells.index.astype(str).str.partition("_").get_level_values(0), index=cells.index)
    split = np.select([libraries.isin(TEST_LIBRARIES), libraries.isin(VALIDATION_LIBRARIES)], ["test", "val"], "train")
    columns = {
        "cell_type": subtypes.map(lambda name: type_of.get(name, name)),
        "cell_subtype": subtypes,
        "batch": libraries,
        "split": split,
    }
    for name, values in columns.items():
        mdata.obs[name] = pd.Categorical(values)
    return mdata


def _region(name: str) -> str:
    """Return a region as ``chr:start-end``.

    Examples
    --------
    >>> _region("chr1_10_20"), _region("chr1:10-20")
    ('chr1:10-20', 'chr1:10-20')
    """
    parts = name.replace(":", "_").replace("-", "_").rsplit("_", 2)
    return f"{parts[0]}:{parts[1]}-{parts[2]}" if len(parts) == 3 else name


def read_mixology(folder: Path) -> ad.AnnData:
    """Return the cell lines of CEL-seq2 and Drop-seq: single cells by demuxlet, and the genes that all tables have.

    Raises
    ------
    ValueError
        If a table and its metadata do not fit together.
    """
    parts = []
    for table, (batch, technology) in MIXOLOGY_TABLES.items():
        counts = pd.read_csv(folder / f"{table}.count.csv.gz", index_col=0)  # (genes, cells)
        cells = pd.read_csv(folder / f"{table}.metadata.csv.gz", index_col=0)
        missing = [name for name in counts.columns if name not in cells.index]
        if missing:
            raise value_error(
                f"{table}.metadata.csv.gz", "a row for each cell", f"none for {named(missing)}", "fetch anew"
            )
        cells = cells.loc[counts.columns]
        is_single = (cells["demuxlet_cls"] == "SNG").to_numpy()
        obs = pd.DataFrame(
            {"cell_type": cells["cell_line_demuxlet"].astype(str), "batch": batch, "technology": technology}
        )
        obs.index = pd.Index([f"{table}:{name}" for name in counts.columns], dtype=object)
        values = sp.csr_matrix(counts.to_numpy(dtype=np.float32).T)
        part = ad.AnnData(values, obs=obs, var=pd.DataFrame(index=counts.index.astype(str)))
        parts.append(part[is_single].copy())
    adata = ad.concat(parts, join="inner")
    for column in adata.obs:
        adata.obs[column] = pd.Categorical(adata.obs[column])
    return adata


def read_ten_x(folder: Path) -> md.MuData:
    """Return the modalities of the one ``.h5`` file of 10x in a folder."""
    from omicsmlm.io import read

    (file,) = sorted(folder.glob("*.h5"))
    return read(rna=file)


def read_laml(folder: Path) -> md.MuData:
    """Return RNA of acute myeloid leukaemia, log2(RSEM + 1), with survival."""
    from omicsmlm.io import read

    return read(rna=folder / "HiSeqV2.tsv.gz", obs=folder / "LAML_survival.tsv", units={"rna": "log"})


def _check_shape(place: str, found: tuple[int, ...], wanted: tuple[int, int]) -> None:
    if found != wanted:
        raise value_error(place, f"{wanted[0]} cells and {wanted[1]} features", str(found), "fetch it anew")


def _of_scmomat(name: str, commit: str) -> Remote:
    return Remote(name, f"{_SCMOMAT}/{commit}/data/real/MOp_5batches/{name}")


_SCMOMAT_COMMIT = "39fd0972d9e84e2cfbc9c1a8b3f67359b8b21ff3"

ORIGINALS = {
    "snareseq": Original(
        "SNARE-seq of mouse cortex: 10,309 cells, RNA + ATAC, 12 libraries (GSE126074, as in PeterZZQ/scMoMaT)",
        "MIT",
        20,
        (
            *(_of_scmomat(name, _SCMOMAT_COMMIT) for name in ("GxC1.npz", "RxC1.npz", "meta_c1.csv")),
            _of_scmomat("genes.txt", "cfd129f5cfd804aac3a2e5376eb94512b75b07f3"),
            _of_scmomat("regions.txt", "4a932e46490081b2c9bb80ff919a50c9494fbcbc"),
        ),
        read_snareseq,
        ".h5mu",
    ),
    "mixology": Original(
        "five cell lines in five batches by CEL-seq2 and Drop-seq, RNA (GSE118767, as in LuyiTian/sc_mixology)",
        "MIT",
        15,
        tuple(
            Remote(f"{table}.{kind}.csv.gz", f"{_MIXOLOGY}/{table}.{kind}.csv.gz")
            for table in MIXOLOGY_TABLES
            for kind in ("count", "metadata")
        ),
        read_mixology,
        ".h5ad",
    ),
    "pbmc_multiome": Original(
        "11,898 blood cells by 10x Multiome, RNA + ATAC, without labels (10x Genomics, Cell Ranger ARC 2.0.0)",
        "CC BY 4.0",
        192,
        (
            Remote(
                "pbmc_granulocyte_sorted_10k_filtered_feature_bc_matrix.h5",
                f"{_TEN_X}/cell-arc/2.0.0/pbmc_granulocyte_sorted_10k/"
                "pbmc_granulocyte_sorted_10k_filtered_feature_bc_matrix.h5",
                "md5:df86844b99161b9487090d91e644745e",
            ),
        ),
        read_ten_x,
        ".h5mu",
    ),
    "pbmc_protein": Original(
        "blood cells by CITE-seq, RNA + 17 antibodies, without labels (10x Genomics, Cell Ranger 3.0.0)",
        "CC BY 4.0",
        21,
        (
            Remote(
                "pbmc_10k_protein_v3_filtered_feature_bc_matrix.h5",
                f"{_TEN_X}/cell-exp/3.0.0/pbmc_10k_protein_v3/pbmc_10k_protein_v3_filtered_feature_bc_matrix.h5",
            ),
        ),
        read_ten_x,
        ".h5mu",
    ),
    "tcga_laml": Original(
        "acute myeloid leukaemia, RNA of bulk as log2(RSEM + 1), with survival (TCGA, as in UCSC Xena)",
        "open access of TCGA",
        20,
        (
            Remote("HiSeqV2.tsv.gz", f"{_XENA}/TCGA.LAML.sampleMap%2FHiSeqV2.gz"),
            Remote("LAML_survival.tsv", f"{_XENA}/survival%2FLAML_survival.txt"),
        ),
        read_laml,
        ".h5mu",
    ),
}
"""The sets that can be fetched. No address could be tried where this was written; the checksum is of others who took the file."""

ELSEWHERE = {
    "teaseq": "PYangLab/Matilda keeps it in the history of its repository (commit 3125eb6e, data/TEAseq, HDF5)",
    "pbmc_3tech": "immunogenomics/symphony has it as R objects (data/pbmcs_*_small.rda)",
    "papalexi": "Katsevich-Lab/sceptre has it as an R object (data/lowmoi_example_data.rda)",
    "tissues61": "its sources are five repositories, which datasets.tissues61 names",
    "isoforms": "kvittingseerup/IsoformSwitchAnalyzeR has it as an R object",
    "mpra_utr": "vagarwal87/saluki_paper has its tables",
}
"""Where others are, which nothing here converts."""
