"""Simulated data, and real data found through ``OMICSMLM_DATA``."""

from omicsmlm.datasets._files import load, mixology, papalexi, pbmc_3tech, snareseq, teaseq
from omicsmlm.datasets._many import read_many
from omicsmlm.datasets._simulated import simulate_multiome, simulate_rna

__all__ = [
    "load",
    "mixology",
    "papalexi",
    "pbmc_3tech",
    "read_many",
    "simulate_multiome",
    "simulate_rna",
    "snareseq",
    "teaseq",
]
