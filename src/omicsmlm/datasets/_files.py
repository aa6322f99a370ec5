"""Real data sets found through the environment variable ``OMICSMLM_DATA``."""

import os
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import mudata as md

from omicsmlm._argument_types import in_one_sentence_of_types


class _Entry(NamedTuple):
    path: str  # below OMICSMLM_DATA
    summary: str


_FILES = {
    "snareseq": _Entry("sc/snareseq_mouse_cortex_rna_atac.h5mu", "10,309 cells, RNA + ATAC, 12 libraries"),
    "teaseq": _Entry("sc/teaseq_pbmc_rna_adt.h5mu", "1,262 cells, RNA + 46 proteins"),
    "pbmc_3tech": _Entry("sc/pbmc_3tech.h5ad", "1,500 cells, RNA, 3 chemistries"),
    "mixology": _Entry("sc/mixology_celllines_5batch.h5ad", "992 cells, RNA, 5 cell lines in 5 batches"),
    "papalexi": _Entry("sc/papalexi_eccite_thp1.h5ad", "19,763 cells, RNA, 25 knock-outs + control"),
}


@in_one_sentence_of_types
def load(name: str) -> ad.AnnData | md.MuData:
    """Return a real data set by its name or by its path below ``OMICSMLM_DATA``.

    Parameters
    ----------
    name
        ``snareseq``, ``teaseq``, ``pbmc_3tech``, ``mixology``, ``papalexi``, or the path of an ``.h5ad`` / ``.h5mu``
        file below the folder that the environment variable names, e.g. ``"bulk/rosmap_mogonet.h5mu"``.

    Returns
    -------
    AnnData or MuData
        In memory, raw counts sparse in ``X`` unless the data's own README says otherwise; labels in the top ``.obs``.

    Raises
    ------
    ValueError
        If the variable is unset, or the name is neither known nor an ``.h5ad`` / ``.h5mu`` path.
    FileNotFoundError
        If the file is missing below the folder.
    """
    path = name if name not in _FILES else _FILES[name].path
    if not path.endswith((".h5ad", ".h5mu")):
        raise ValueError(
            f"datasets.load: expected one of {sorted(_FILES)} or the path of an .h5ad or .h5mu file, got {name!r}; "
            "pass one of these."
        )
    file = find_file("datasets.load", path)
    return md.read_h5mu(file) if path.endswith(".h5mu") else ad.read_h5ad(file)


def find_file(place: str, path: str) -> Path:
    """Return the path of a file below the folder that ``OMICSMLM_DATA`` names.

    Raises
    ------
    ValueError
        If the variable is unset.
    FileNotFoundError
        If there is no such file.
    """
    folder = os.environ.get("OMICSMLM_DATA")
    if not folder:
        raise ValueError(
            f"{place}: the environment variable OMICSMLM_DATA is not set, so {path} cannot be found; "
            "set it to the folder that holds the data, e.g. export OMICSMLM_DATA=/path/to/data, or see datasets.fetch, "
            "which downloads some public sets."
        )
    file = Path(folder) / path
    if not file.is_file():
        raise FileNotFoundError(
            f"{place}: {file} is missing (OMICSMLM_DATA is {folder}); put the file there or correct the variable."
        )
    return file


@in_one_sentence_of_types
def snareseq() -> md.MuData:
    """SNARE-seq of mouse cortex: 10,309 cells, 1,677 genes (``rna``) and 25,734 peaks (``atac``), paired raw counts.

    ``obs``: ``cell_type`` (15; ``Mis`` is miscellaneous and left out in evaluations), ``cell_subtype``, ``batch``
    (12 libraries), ``split`` (train / val / test by library). Source: GSE126074, as in PeterZZQ/scMoMaT (MIT).

    Returns
    -------
    MuData

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`load`.
    """
    data = load("snareseq")
    assert isinstance(data, md.MuData)
    return data


@in_one_sentence_of_types
def teaseq() -> md.MuData:
    """TEA-seq of blood: 1,262 cells, 9,855 genes (``rna``) and 46 proteins (``adt``), paired raw counts.

    ``obs``: ``cell_type`` (11), no batch. Source: PYangLab/Matilda (Apache-2.0).

    Returns
    -------
    MuData

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`load`.
    """
    data = load("teaseq")
    assert isinstance(data, md.MuData)
    return data


@in_one_sentence_of_types
def pbmc_3tech() -> ad.AnnData:
    """Blood cells by three 10x chemistries: 1,500 cells, 1,764 genes, raw counts.

    ``obs``: ``cell_type`` (9), ``cell_type_broad``, ``batch`` (3 chemistries). Source: immunogenomics/symphony (GPL-3).

    Returns
    -------
    AnnData

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`load`.
    """
    data = load("pbmc_3tech")
    assert isinstance(data, ad.AnnData)
    return data


@in_one_sentence_of_types
def mixology() -> ad.AnnData:
    """Five cell lines in five batches over two technologies: 992 cells, 18,431 genes, raw counts.

    ``obs``: ``cell_type`` (5 lines), ``batch`` (5; two of them hold three lines only), ``technology``.
    Source: GSE118767, LuyiTian/sc_mixology (MIT).

    Returns
    -------
    AnnData

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`load`.
    """
    data = load("mixology")
    assert isinstance(data, ad.AnnData)
    return data


@in_one_sentence_of_types
def papalexi() -> ad.AnnData:
    """ECCITE-seq of THP-1 cells with CRISPR knock-outs: 19,763 cells, 299 genes that the authors chose, raw counts.

    ``obs``: ``perturbation`` (25 knock-outs and ``control``), ``grna``, ``batch`` (3 replicates).
    Source: Papalexi et al. 2021, as in Katsevich-Lab/sceptre (GPL-3).

    Returns
    -------
    AnnData

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`load`.
    """
    data = load("papalexi")
    assert isinstance(data, ad.AnnData)
    return data
