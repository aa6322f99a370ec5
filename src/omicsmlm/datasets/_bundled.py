"""A small real data set that comes with the package."""

from importlib.resources import as_file, files

import mudata as md


def bmmc_cite() -> md.MuData:
    """CITE-seq of bone marrow: 600 cells, 1,000 genes (``rna``) and 134 proteins (``adt``), paired raw counts.

    It comes with the package, so that examples and the demonstration need no download. ``obs``: ``cell_type`` (41, many of few
    cells), ``batch`` (2 donors). Source: a random subset of GSE194122, as in openproblems-bio/neurips2021_multimodal_viash (MIT).

    Returns
    -------
    MuData

    Examples
    --------
    >>> {name: adata.shape for name, adata in bmmc_cite().mod.items()}
    {'rna': (600, 1000), 'adt': (600, 134)}
    """
    with as_file(files("omicsmlm.datasets") / "bundled" / "bmmc_cite_2donor.h5mu") as path:
        return md.read_h5mu(path)
