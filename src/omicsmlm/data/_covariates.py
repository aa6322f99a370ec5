"""The field of the categorical covariates, the batch among them."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import named, value_error, without_missing_texts
from omicsmlm._compat import summary_name

from ._columns import category_codes, find_column
from ._observation_field import ColumnField

logger = logging.getLogger(__name__)

COVARIATES = "covariates"
ALL = "all"
"""The one category of the batch where the user named none."""


class CovariatesField(ColumnField):
    """Categorical covariates of the observations, from ``obs`` of either level; the batch, if any, comes first.

    Parameters
    ----------
    keys
        Names of columns. None in the place of the batch stands for one category that all observations share, where there are
        covariates and no batch.
    """

    key_of_registry = COVARIATES

    def __init__(self, keys: Sequence[str | None]) -> None:
        super().__init__()
        self.keys = list(keys)

    def validate_field(self, adata: AnnData | MuData) -> None:
        """Check that every column is there and complete."""
        for key in filter(None, self.keys):
            column = without_missing_texts(f"column {key!r}", find_column(adata, key))
            if column.isna().any():
                raise value_error(
                    f"column {key!r}",
                    "a category for each observation",
                    f"{int(column.isna().sum())} missing",
                    "fill them, for example with 'unknown'",
                )

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Store the categories, sorted, as strings."""
        self.validate_field(adata)
        categories = [[ALL] if key is None else _present(find_column(adata, key)) for key in self.keys]
        return {"keys": self.keys, "categories": categories}

    def transfer_field(
        self, state_registry: dict[str, Any], adata_target: AnnData | MuData, **kwargs: object
    ) -> dict[str, Any]:
        """Keep the categories: new ones of another object, and missing columns, are unknown.

        With ``extend_categories``, new batches are appended to the known ones.
        """
        state = {**state_registry, "categories": [list(known) for known in state_registry["categories"]]}
        if kwargs.get("extend_categories") and self.keys and self.keys[0] is not None:
            known = state["categories"][0]
            column = without_missing_texts(f"column {self.keys[0]!r}", find_column(adata_target, self.keys[0]))
            names = _present(column)
            known += [names[new] for new in np.flatnonzero(_positions(names, known) < 0)]
        for key, known in zip(self.keys[1:], state["categories"][1:], strict=True):
            _log_unknown(adata_target, str(key), known)
        return state

    def codes(self, data: AnnData | MuData, state: dict[str, Any]) -> np.ndarray:
        """Return (n, k) positions in the stored categories, -1 for an unknown category or a missing column.

        The type is the smallest that holds them, as with many observations these codes take most of the memory.
        """
        most = max(map(len, state["categories"]), default=0)
        kind = next(kind for kind in (np.int8, np.int16, np.int32) if most <= np.iinfo(kind).max)
        codes = np.full((data.n_obs, len(self.keys)), -1, dtype=kind)
        for position, (key, categories) in enumerate(zip(self.keys, state["categories"], strict=True)):
            if key is None:
                codes[:, position] = 0
                continue
            try:
                column = find_column(data, key)
            except ValueError:
                logger.info("column %r is not in this object: its observations are of unknown category.", key)
                continue
            code_n, names = category_codes(column)
            codes[:, position] = np.append(_positions(names, categories), -1)[code_n]
        return codes

    def get_summary_stats(self, state_registry: dict[str, Any]) -> dict[str, int]:
        """Return the number of categories of each covariate."""
        sizes = zip(state_registry["keys"], map(len, state_registry["categories"]), strict=True)
        return {summary_name(key): size for key, size in sizes if key is not None}


def _log_unknown(data: AnnData | MuData, key: str, known: list[str]) -> None:
    """Log which categories of a further covariate are new in an object."""
    try:
        names = _present(without_missing_texts(f"column {key!r}", find_column(data, key)))
    except ValueError:
        return  # said when the codes are read
    new = [names[position] for position in np.flatnonzero(_positions(names, known) < 0)]
    if new:
        logger.info(
            "column %r: %s were not in the reference, and count as the mean of its categories.", key, named(new)
        )


def _positions(names: list[str], categories: list[str]) -> np.ndarray:
    """Return the position of each name among the categories, -1 for a new one; ``1`` and ``1.0`` are one where only one is known.

    Whole numbers become floats where a table once had missing values, and names of lanes are often numbers.

    Examples
    --------
    >>> _positions(["1", "2.0", "b"], ["1.0", "2"]).tolist()
    [0, 1, -1]
    """
    position_k = pd.Index(categories).get_indexer(pd.Index(names, dtype=object))
    plain = pd.Index([_as_integer(category) for category in categories])
    if plain.is_unique:
        alike_k = plain.get_indexer(pd.Index([_as_integer(name) for name in names], dtype=object))
        position_k = np.where(position_k < 0, alike_k, position_k)
    return position_k


def _as_integer(name: str) -> str:
    """Return the name of a whole number without its decimals, any other name as it is."""
    return name[:-2] if name.endswith(".0") and name[:-2].removeprefix("-").isdigit() else name


def _present(column: pd.Series) -> list[str]:
    """Return the categories that occur, sorted."""
    code_n, names = category_codes(column)
    return sorted(names[code] for code in np.unique(code_n) if code >= 0)
