"""Known pairs of genes, and an embedding that recalls them by abundance alone."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd


@cache
def gene_pairs() -> pd.DataFrame:
    """``gene_a``, ``gene_b`` and ``source``; must not be changed."""
    return pd.read_csv(Path(os.environ["OMICSMLM_DATA"]) / "sc" / "gene_pairs.csv.gz")


def mean_beside_noise(mean_g: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The mean log count of each gene beside k random numbers, whose length is .3 on average."""
    return np.column_stack([mean_g, 0.3 * rng.normal(size=(len(mean_g), k)) / k**0.5])
