"""A table of embeddings, Gene2Vec's for example, that the embeddings of the genes start with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from omicsmlm._checks import named, shortened, value_error

from ._config import MOJOConfig


def checked_gene_embedding(table: Any, config: MOJOConfig | None) -> pd.DataFrame | None:
    """Return the user's table, if any, which has one number per gene and dimension.

    Raises
    ------
    ValueError
        If it is no such table, or has another width than the model.
    """
    if table is None:
        return None
    width = (config if isinstance(config, MOJOConfig) else MOJOConfig()).gene_width
    if not isinstance(table, pd.DataFrame):
        remedy = "put the names of the genes into its index"
        raise value_error("gene_embedding", "a DataFrame", shortened(table), remedy)
    if table.index.nlevels > 1:
        remedy = "put the names of the genes alone into its index"
        raise value_error("gene_embedding", "one level of names of genes", str(table.index.nlevels), remedy)
    if table.shape[1] != width:
        remedy = f"pass MOJOConfig(gene_width={table.shape[1]})"
        raise value_error("gene_embedding", f"{width} columns, the gene_width", str(table.shape[1]), remedy)
    is_number = all(kind.kind in "fiu" for kind in table.dtypes)
    if not is_number or not np.isfinite(table.to_numpy(np.float64)).all() or not table.index.is_unique:
        raise value_error("gene_embedding", "finite numbers, of each gene once", "others", "drop what is not")
    return table


@torch.no_grad()
def copy_gene_embedding(weight_gk: Tensor, genes: Sequence[str], table: pd.DataFrame) -> None:
    """Copy the embeddings of the genes that a table has, scaled to a mean square of 1, in place.

    Parameters
    ----------
    weight_gk
        Embeddings of the genes, which are its first rows.
    genes
        Their names.
    table
        The table, by name.

    Raises
    ------
    ValueError
        If it has none of the genes.
    """
    at_g = pd.Index(table.index.astype(str)).get_indexer(pd.Index(genes))
    if not (at_g >= 0).any():
        found = f"{named(table.index[:2].tolist())}, where the data have {named(list(genes[:2]))}"
        raise value_error("gene_embedding", "an index of genes that the data have", found, "rename its index")
    values_gk = table.to_numpy(np.float64)[at_g[at_g >= 0]]
    values_gk = values_gk / (np.abs(values_gk).max() or 1.0)  # whose squares are not too large for any float
    values_gk = values_gk / max(1e-12, float(np.sqrt(np.square(values_gk).mean())))
    weight_gk[np.flatnonzero(at_g >= 0)] = torch.from_numpy(values_gk.astype(np.float32))
