"""What scvi-tools' base class brings: made to work with our files and registry, or to say what to use instead."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager

from omicsmlm._checks import check_choice, named, value_error
from omicsmlm._types import Module

from ._files import read_registry
from ._registration import Registered

QUERY_REMEDY = "pass it to load_query_data(query, reference), which matches features by name"


class InheritedSurface(Registered):
    """Abstract: a registered model whose inherited methods all work, or raise one sentence; none reads a pickle."""

    embedding_key: ClassVar[str]
    module: Module

    # ---- saved models -------------------------------------------------------------------------------------------

    @staticmethod
    def load_registry(dir_path: str | Path) -> dict[str, Any]:  # type: ignore[override]
        """Return the registry of a saved model: its modalities, their features, its batches, and what ``setup_*`` was given.

        Parameters
        ----------
        dir_path
            Directory that :meth:`save` made.

        Raises
        ------
        ValueError
            If the directory is not a whole, unchanged model of this or an older version.
        """
        return read_registry(dir_path)

    @staticmethod
    def view_setup_args(dir_path: str | Path) -> None:  # type: ignore[override]
        """Print what the ``setup_*`` method of a saved model was given.

        Parameters
        ----------
        dir_path
            Directory that :meth:`save` made.

        Raises
        ------
        ValueError
            If the directory is not a whole, unchanged model of this or an older version.
        """
        AnnDataManager.view_setup_method_args(read_registry(dir_path))

    @classmethod
    def convert_legacy_save(cls, *_: object, **__: object) -> NoReturn:
        """Raise: files of older versions need no conversion."""
        found = "files of scvi-tools before 0.15, which are pickled"
        raise value_error("convert_legacy_save", f"a saved {cls.__name__}", found, "pass the directory to load()")

    @classmethod
    def setup_annbatch(cls, *_: object, **__: object) -> NoReturn:
        """Raise: objects of any size are registered alike."""
        remedy = "pass the paths to omicsmlm.datasets.open_files, and what it returns to setup_anndata()"
        raise value_error("setup_annbatch", "setup_anndata or setup_mudata", "paths of collections", remedy)

    # ---- the registered object ----------------------------------------------------------------------------------

    def data_registry(self, registry_key: str) -> np.ndarray | pd.DataFrame:
        """Return what the registered object has under a key of the registry.

        Parameters
        ----------
        registry_key
            One of ``model.registry["field_registries"]``.

        Raises
        ------
        ValueError
            If there is no object, or no such key.
        """
        return self.get_from_registry(None, registry_key)

    def get_from_registry(self, adata: AnnData | MuData | None, registry_key: str) -> np.ndarray:
        """Return what an object has under a key of the registry.

        Parameters
        ----------
        adata
            The object, matched by feature name; None for the registered one.
        registry_key
            One of ``model.registry["field_registries"]``.

        Raises
        ------
        ValueError
            If there is no object, it does not fit the model, or there is no such key.
        """
        manager = self.manager_for(adata)
        known = {key: place for key, place in manager.data_registry.items() if place["attr_name"]}
        check_choice("registry_key", registry_key, known)
        return manager.get_from_registry(registry_key)

    def get_var_names(self) -> dict[str, list[str]]:  # type: ignore[override]
        """Return the names of the features that the model knows, by modality."""
        return {name: list(state["vocabulary"]) for name, state in self.adata_manager.modalities.items()}

    def transfer_fields(self, adata: AnnData | MuData) -> AnnDataManager:  # type: ignore[override]
        """Return the manager of another object, which is registered with the model's features and categories.

        Raises
        ------
        ValueError
            If the object does not fit the model.
        """
        return self.adata_manager.transfer_fields(adata)

    def view_anndata_setup(self, adata: AnnData | MuData | None = None, hide_state_registries: bool = False) -> None:
        """Print how an object is registered.

        Parameters
        ----------
        adata
            The object, matched by feature name; None for the registered one.
        hide_state_registries
            Whether to leave out the states of the fields.

        Raises
        ------
        ValueError
            If there is no object, or it does not fit the model.
        """
        self.manager_for(adata).view_registry(hide_state_registries=hide_state_registries)

    def deregister_manager(self, adata: AnnData | MuData | None = None) -> None:
        """Forget the managers of an object, or of all but the model's own.

        Parameters
        ----------
        adata
            An object that was set up for this class of models; None for all but the registered one.
        """
        if self.adata is not None:  # a model that was loaded alone keeps no managers
            super().deregister_manager(adata)

    # ---- what other families of scvi-tools have -----------------------------------------------------------------

    def get_normalized_expression(self, *_: object, **__: object) -> NoReturn:
        """Raise: expected values come from other methods here."""
        remedy = "call impute(modality=…), or predict() of an IsoFormer"
        raise value_error("get_normalized_expression", "a method of this family", "one of scvi-tools' VAEs", remedy)

    def differential_abundance(self, *_: object, **__: object) -> NoReturn:
        """Raise: the embedding can be tested with any package."""
        remedy = f'pass .obsm["{self.embedding_key}"] to a test of abundance, such as Milo of pertpy'
        raise value_error("differential_abundance", "a method of this family", "one of scvi-tools' VAEs", remedy)

    def differential_expression(self, *_: object, **__: object) -> NoReturn:
        """Raise: imputed values of cells are no replicates."""
        remedy = "call omicsmlm.evaluation.differential_features(adata, groupby, sample_key), which tests raw counts by sample"
        raise value_error("differential_expression", "a method of this family", "one of scvi-tools' VAEs", remedy)

    def get_reconstruction_error(self, *_: object, **__: object) -> NoReturn:
        """Raise: the losses of training and validation are in the history."""
        remedy = 'read model.history["validation_loss"], or compare impute(modality=…) with what was measured'
        raise value_error("get_reconstruction_error", "a method of this family", "one of scvi-tools' VAEs", remedy)

    @staticmethod
    def prepare_query_anndata(*_: object, **__: object) -> NoReturn:
        """Raise: features of a query are matched by name, so that there is nothing to prepare."""
        raise value_error("prepare_query_anndata", "a query as it is", "a call for padding", QUERY_REMEDY)

    @staticmethod
    def prepare_query_mudata(*_: object, **__: object) -> NoReturn:
        """Raise: features of a query are matched by name, so that there is nothing to prepare."""
        raise value_error("prepare_query_mudata", "a query as it is", "a call for padding", QUERY_REMEDY)

    # ---- showing ------------------------------------------------------------------------------------------------

    def data_entries(self) -> dict[str, str]:
        """Return what ``repr`` shows of the object and its registration, by name; heads show the same of their model."""
        manager = self.adata_manager
        key, categories = next(iter(manager.covariates.items()), (None, []))
        others = [f"{name!r} ({len(own)} categories)" for name, own in list(manager.covariates.items())[1:]]
        modalities = [
            f"{name} ({len(state['vocabulary']):,} features, {state['kind']})"
            for name, state in manager.modalities.items()
        ]
        entries = {
            "data": "none; pass adata=… to load()" if self.adata is None else f"{self.adata.n_obs:,} observations",
            "modalities": ", ".join(modalities),
            "sequences": ", ".join(manager.sequences),
            "batches": "none" if key is None else f"{len(categories)} of {key!r}",
            "further covariates": ", ".join([*others, *(f"{name!r}" for name in manager.numbers["keys"])]),
            "size factors": manager.numbers["size_factor_key"] or "",
            "labels to train with": named(manager.labels) if manager.labels else "",
        }
        return {name: entry for name, entry in entries.items() if entry}

    @property
    def summary_string(self) -> str:
        """What ``repr`` shows: class, data, modalities, batches, embedding, and whether the model is trained."""
        entries = {
            **self.data_entries(),
            "embedding": f'{self.module.n_latent} dimensions, for .obsm["{self.embedding_key}"]',
            "trained": "yes" if self.is_trained_ else "no",
        }
        return summary(type(self).__name__, entries)

    def __repr__(self) -> str:
        return self.summary_string


def summary(title: str, entries: Mapping[str, str]) -> str:
    """Return a title and named entries, a line each, as models and heads show themselves.

    Examples
    --------
    >>> print(summary("OmicsMLM", {"data": "72 observations", "trained": "no"}))
    OmicsMLM
      data: 72 observations
      trained: no
    """
    return "\n".join([title, *(f"  {name}: {entry}" for name, entry in entries.items())])
