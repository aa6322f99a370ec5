"""The field of a modality: where its values are, what kind they are, and the vocabulary of its features."""

import logging
from typing import Any

import pandas as pd
import rich.table
from anndata import AnnData
from mudata import MuData
from scvi.data.fields import BaseAnnDataField

from omicsmlm._checks import named, value_error
from omicsmlm._compat import summary_name
from omicsmlm._types import Kind

from ._kinds import check_is_rna, check_kind, infer_kind
from ._layers import are_logs_of_counts
from ._matrix import Matrix, Summary
from ._modality_index import indices_in, modality_of
from ._panels import read_panels

logger = logging.getLogger(__name__)

LOG_MARK = "log1p"
"""Entry of ``.uns`` that scanpy leaves when it takes logarithms."""


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
        if kind == "real" and self.layer is None:
            self._say_if_logs(found, summary)
        return kind

    def _say_if_logs(self, found: AnnData, summary: Summary) -> None:
        """Warn of logarithms, and say how the counts that models of cells are for can be had."""
        if summary.minimum >= 0 and not summary.has_nan and are_logs_of_counts(self.name, found):
            remedy = (
                "omicsmlm.pp.recover_counts returns the raw counts they were made of, which models of cells are for"
            )
        elif LOG_MARK in found.uns:
            remedy = 'keep raw counts in layers["counts"], which are then used'
        else:
            return
        logger.warning("%s: log-normalised values are taken as they are; %s.", self.name, remedy)

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
        return {summary_name(self.name): len(state_registry["vocabulary"])}

    def view_state_registry(self, state_registry: dict[str, Any]) -> rich.table.Table:
        """Return a summary of the field as a table."""
        table = rich.table.Table(title=self.name)
        for column in ("kind", "features", "shared"):
            table.add_column(column)
        table.add_row(state_registry["kind"], str(len(state_registry["vocabulary"])), str(state_registry["n_shared"]))
        return table
