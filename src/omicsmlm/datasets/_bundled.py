"""A small real data set that comes with the package, and a model of it."""

from importlib.resources import as_file, files
from pathlib import Path

import mudata as md

from omicsmlm._argument_types import in_one_sentence_of_types


@in_one_sentence_of_types
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


@in_one_sentence_of_types
def bmmc_reference() -> Path:
    """Return the folder of a small reference that comes with the package: an :class:`omicsmlm.OmicsMLM` of :func:`bmmc_cite`.

    A query of RNA, proteins or both is mapped onto it in a minute. It is small, and for trying things out; its card, ``README.md``
    in the folder, has what it reaches from one donor to the other beside plain methods. ``benchmarks/reference.py`` made it.

    Returns
    -------
    pathlib.Path
        For :meth:`omicsmlm.OmicsMLM.from_hub`, ``load`` and ``load_query_data``.

    Examples
    --------
    >>> import omicsmlm
    >>> model = omicsmlm.OmicsMLM.from_hub(bmmc_reference())
    >>> model.get_latent_representation(bmmc_cite()["rna"][:5].copy()).shape[0]
    5
    """
    return Path(str(files("omicsmlm.datasets") / "bundled" / "bmmc_reference"))
