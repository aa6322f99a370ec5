"""Labels of observations, as text and as codes."""

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import without_missing_texts
from omicsmlm.data import as_categories, find_column


def label_names(data: AnnData | MuData, key: str, unlabeled_category: str) -> pd.Series:
    """Return the label of each observation as text, missing where it has none (or "nan" and the like).

    Parameters
    ----------
    data
        The object.
    key
        Column of ``obs``, of the object or of its modalities.
    unlabeled_category
        Value of the column that is no label.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    names = as_categories(without_missing_texts(f"column {key!r}", find_column(data, key)))
    return names.where(names != unlabeled_category, None)


def label_codes(names: pd.Series, labels: list[str]) -> np.ndarray:
    """Return the position of each name among the labels, (n,) int64, -1 where it is missing or none of them.

    Examples
    --------
    >>> label_codes(pd.Series(["b", None, "c", "a"]), ["a", "b"]).tolist()
    [1, -1, -1, 0]
    """
    return pd.Index(labels).get_indexer(pd.Index(names)).astype(np.int64)
