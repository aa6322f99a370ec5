"""Simulated data, a small real set, public sets fetched from their authors, and real data found through ``OMICSMLM_DATA``."""

from omicsmlm.datasets._bundled import bmmc_cite, bmmc_reference
from omicsmlm.datasets._collections import open_files, write_collection
from omicsmlm.datasets._fetching import fetch
from omicsmlm.datasets._files import load, mixology, papalexi, pbmc_3tech, snareseq, teaseq
from omicsmlm.datasets._many import read_many
from omicsmlm.datasets._pool import pool
from omicsmlm.datasets._sequences import isoforms, mpra_utr, tissues61
from omicsmlm.datasets._simulated import simulate_multiome, simulate_rna

__all__ = [
    "bmmc_cite",
    "bmmc_reference",
    "fetch",
    "isoforms",
    "load",
    "mixology",
    "mpra_utr",
    "open_files",
    "papalexi",
    "pbmc_3tech",
    "pool",
    "read_many",
    "simulate_multiome",
    "simulate_rna",
    "snareseq",
    "teaseq",
    "tissues61",
    "write_collection",
]
