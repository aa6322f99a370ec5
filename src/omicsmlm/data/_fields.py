"""Fields of the registry: one per modality, one for the covariates."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import rich.table
from anndata import AnnData
from mudata import MuData
from scvi.data.fields import BaseAnnDataField

from omicsmlm._checks import named, value_error, without_missing_texts
from omicsmlm._types import Kind

from ._columns import category_codes, find_column
from ._kinds import check_is_rna, check_kind, infer_kind
from ._matrix import Matrix, Summary
from ._modality_index import indices_in, modality_of
from ._panels import read_panels

logger = logging.getLogger(__name__)

COVARIATES = "covariates"
LOG_MARK = "log1p"
"""Entry of ``.uns`` that scanpy leaves when it takes logarithms."""
ALL = "all"
"""The one category of the batch where the user named none."""


class ModalityField(BaseAnnDataField):
    """One modality: where its values are, what kind they are, and the vocabulary of its features.

    Parameters
    ----------
    name
        Name of the modality: its key in ``mdata.mod``, or a name for the only one of an AnnData.
    layer
        Layer that holds the values; None for ``X``.
    kind
        See :data:`omicsmlm._types.Kind`; None to infer it.
    source
        Modality of the object that holds the features, where a query has added some to those of a reference: they are
        registered by themselves, and an object that has none of them simply lacks them.
    is_optional
        Whether other objects may have none of the features: targets, which are to be predicted there.
    """

    def __init__(
        self,
        name: str,
        layer: str | None = None,
        kind: str | None = None,
        source: str | None = None,
        is_optional: bool = False,
    ) -> None:
        super().__init__()
        self.is_optional = is_optional
        self.name = name
        self.source = source or name
        self.layer = layer
        self.kind = kind

    @property
    def registry_key(self) -> str:
        """Key of the field in the registry."""
        return f"modality_{self.name}"

    @property
    def attr_name(self) -> str:
        """Attribute of the AnnData that holds the values."""
        return "X" if self.layer is None else "layers"

    @property
    def attr_key(self) -> str | None:
        """Name of the layer."""
        return self.layer

    @property
    def mod_key(self) -> str | None:
        """Name of the modality."""
        return self.source

    @property
    def is_empty(self) -> bool:
        """A modality is never empty."""
        return False

    def validate_field(self, adata: AnnData | MuData) -> None:
        """Check that the modality exists, with distinct features and the observations that the object lists for it."""
        found = modality_of(adata, self.source)
        if found is None:
            known = list(adata.mod) if isinstance(adata, MuData) else []
            raise value_error(
                "modalities", f"a modality {self.name!r}", f"{known}", "name modalities that the object has"
            )
        if found.n_obs == 0 or found.n_vars == 0:
            raise value_error(
                self.name,
                "observations and features",
                f"{found.n_obs} x {found.n_vars}",
                "leave this modality out or fill it",
            )
        if not found.var_names.is_unique:
            twice = found.var_names[found.var_names.duplicated()].unique()
            raise value_error(
                self.name, "distinct feature names", f"duplicates {named(twice)}", "run .var_names_make_unique() first"
            )
        indices_in(adata, self.source)
        read_panels(self.name, found)

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Scan the values and store kind and vocabulary."""
        self.validate_field(adata)
        found = modality_of(adata, self.source)
        assert found is not None
        summary = Matrix.of(self.name, found, self.layer).summary()
        kind = self._inferred(adata, found, summary) if self.kind is None else check_kind(self.name, self.kind, summary)
        vocabulary = [str(name) for name in found.var_names]
        return {"name": self.name, "kind": kind, "vocabulary": vocabulary, "n_shared": len(vocabulary)}

    def _inferred(self, data: AnnData | MuData, found: AnnData, summary: Summary) -> Kind:
        """Return the kind that values and names tell; say so where another may have been meant."""
        kind = infer_kind(self.name, found, summary)
        if kind == "counts" and isinstance(data, MuData):
            check_is_rna(self.name, found, {name: part for name, part in data.mod.items() if name != self.source})
        if kind == "real" and self.layer is None and LOG_MARK in found.uns:
            logger.warning(
                '%s: log-normalised values are taken as they are; keep raw counts in layers["counts"], which are then used.',
                self.name,
            )
        return kind

    def transfer_field(
        self, state_registry: dict[str, Any], adata_target: AnnData | MuData, **kwargs: object
    ) -> dict[str, Any]:
        """Match another object's features to the vocabulary by name; an absent modality shares none."""
        found = modality_of(adata_target, self.source)
        state = {**state_registry, "n_shared": 0}
        if found is None or (self.is_optional and not found.var_names.isin(state["vocabulary"]).any()):
            return state
        self.validate_field(adata_target)
        if self.layer is not None and self.layer not in found.layers:
            layers = named(name for name in found.layers.keys() if name is not None)
            remedy = f"put the values there: .layers[{self.layer!r}] = .X.copy()"
            raise value_error(self.name, f"the layer {self.layer!r}, as in training", f"layers {layers}", remedy)
        vocabulary = pd.Index(state["vocabulary"])
        state["n_shared"] = int(vocabulary.isin(found.var_names.astype(str)).sum())
        if state["n_shared"] == 0 and self.source != self.name:
            return state
        if state["n_shared"] == 0:
            raise value_error(
                self.name,
                f"features of the trained vocabulary such as {named(vocabulary[:2])}",
                f"features such as {named(found.var_names[:2])}",
                "use the same kind of names (symbols or Ensembl ids) as in training",
            )
        if state["n_shared"] < len(vocabulary) / 2:
            unknown = found.var_names[~found.var_names.isin(vocabulary)]
            remedy = (
                f"; the model does not know {named(unknown, most=2)}: check how names are written"
                if len(unknown)
                else ""
            )
            logger.warning(
                "%s: only %d of the %d trained features (%.0f %%) are in this object, and results rest on these alone%s.",
                self.name,
                state["n_shared"],
                len(vocabulary),
                100 * state["n_shared"] / len(vocabulary),
                remedy,
            )
        summary = Matrix.of(self.name, found, self.layer).summary()
        if not summary.all_zero:
            check_kind(self.name, state["kind"], summary)
        return state

    def get_summary_stats(self, state_registry: dict[str, Any]) -> dict[str, int]:
        """Return the number of features of the vocabulary."""
        return {f"n_{self.name}": len(state_registry["vocabulary"])}

    def view_state_registry(self, state_registry: dict[str, Any]) -> rich.table.Table:
        """Return a summary of the field as a table."""
        table = rich.table.Table(title=self.name)
        for column in ("kind", "features", "shared"):
            table.add_column(column)
        table.add_row(state_registry["kind"], str(len(state_registry["vocabulary"])), str(state_registry["n_shared"]))
        return table


class CovariatesField(BaseAnnDataField):
    """Categorical covariates of the observations, from ``obs`` of either level; the batch, if any, comes first.

    Parameters
    ----------
    keys
        Names of columns. None in the place of the batch stands for one category that all observations share, where there are
        covariates and no batch.
    """

    def __init__(self, keys: Sequence[str | None]) -> None:
        super().__init__()
        self.keys = list(keys)

    @property
    def registry_key(self) -> str:
        """Key of the field in the registry."""
        return COVARIATES

    @property
    def attr_name(self) -> str:
        """Attribute that holds the columns."""
        return "obs"

    @property
    def attr_key(self) -> None:
        """Several columns have no one key."""
        return None

    @property
    def is_empty(self) -> bool:
        """Registered even without keys, so that a query knows there are none."""
        return False

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
        return {f"n_{key}": size for key, size in sizes if key is not None}

    def view_state_registry(self, state_registry: dict[str, Any]) -> None:
        """Covariates have no table of their own."""
        return None


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
