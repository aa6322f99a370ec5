"""Labels of observations, as text and as codes, and the field that registers them."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import check_type, named, value_error, without_missing_texts

from ._columns import as_categories, find_column
from ._observation_field import ColumnField

LABELS = "labels"


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
    check_type("unlabeled_category", unlabeled_category, (str, type(None)), "a text", 'leave it out for "Unknown"')
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


class LabelsField(ColumnField):
    """Labels of some of the observations, which a training may use; of another object the column is never read.

    Parameters
    ----------
    key
        Name of the column, in ``obs`` of either level.
    unlabeled_category
        Value of the column that is no label; a missing value is none either.
    """

    key_of_registry = LABELS

    def __init__(self, key: str, unlabeled_category: str) -> None:
        super().__init__()
        self.key = key
        self.unlabeled_category = unlabeled_category

    def validate_field(self, adata: AnnData | MuData) -> None:
        """Check that the column is there, with two labels or more."""
        labels = self._present(adata)
        if len(labels) < 2:
            raise value_error(
                f"labels_key {self.key!r}",
                f"two labels or more beside {self.unlabeled_category!r}",
                named(labels),
                "name the column of the labels, or leave labels_key out",
            )

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Store the labels that occur, sorted."""
        self.validate_field(adata)
        return {"key": self.key, "categories": self._present(adata)}

    def transfer_field(
        self, state_registry: dict[str, Any], adata_target: AnnData | MuData, **kwargs: object
    ) -> dict[str, Any]:
        """Keep the labels; another object need not have the column."""
        return dict(state_registry)

    def codes(self, data: AnnData | MuData, state: dict[str, Any]) -> np.ndarray:
        """Return the label of each observation, (n,) int64 positions in the stored ones, -1 where there is none.

        Raises
        ------
        ValueError
            If there is no such column, or a label that was not registered.
        """
        names = label_names(data, self.key, self.unlabeled_category)
        new = sorted(set(names.dropna()) - set(state["categories"]))
        if new:
            expected = f"the labels that were registered, {named(state['categories'])}"
            raise value_error(f"column {self.key!r}", expected, named(new), "set the object up anew, with a new model")
        return label_codes(names, state["categories"])

    def get_summary_stats(self, state_registry: dict[str, Any]) -> dict[str, int]:
        """Return the number of labels."""
        return {"n_labels": len(state_registry["categories"])}

    def _present(self, data: AnnData | MuData) -> list[str]:
        return sorted(set(label_names(data, self.key, self.unlabeled_category).dropna()))
