"""How a family meets the user's object: what is registered of it, and how other objects are matched to that."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from anndata import AnnData
from mudata import MuData
from scvi.model.base import BaseModelClass

from omicsmlm._checks import check_choice, named, value_error
from omicsmlm.data import OmicsManager, check_is_object, counts_layers

from ._named_columns import listed, listed_covariates

IDENTIFIERS = ("_scvi_uuid", "_scvi_manager_uuid")
"""Entries of ``.uns`` that scvi-tools knows a registered object by."""


class Registered(BaseModelClass):
    """Abstract: a model with a registered AnnData or MuData.

    Parameters
    ----------
    data
        AnnData or MuData; registered with defaults if no ``setup_*`` method was called on it. A copy of an object that
        was set up is registered like it.
    batch_key
        Column of ``obs`` that holds the batch, if the object was not set up already; of several, each combination is one.
    labels
        Column of labels and its value that is none, of a family that trains with labels; None for no labels.

    Raises
    ------
    ValueError
        If the object cannot be trained on, or its batch was already named; it is then left as it was.
    """

    reads_counts: ClassVar[bool] = True
    """Whether a layer with raw counts is read in the place of an ``X`` that holds none."""

    def __init__(
        self,
        data: AnnData | MuData,
        *,
        batch_key: str | Sequence[str] | None = None,
        labels: tuple[str, str] | None = None,
    ) -> None:
        check_is_object(data)
        if data.n_obs < 2:
            remedy = "pass the data set, not a single observation of it"
            raise value_error("data", "at least 2 observations to train on", str(data.n_obs), remedy)
        known = self._setup_adata_manager_store.get(data.uns.get("_scvi_uuid"))
        if known is not None and batch_key is not None:
            found = f"{batch_key!r} for an object that was set up already"
            raise value_error("batch_key", "a batch that is named once", found, "name it in the setup method alone")
        if known is not None and labels is not None:
            found = f"{labels[0]!r} for an object that was set up already"
            raise value_error("labels_key", "labels that are named once", found, "name them in the setup method alone")
        with self.leaving_as_it_was(data):
            if known is None:
                self._setup_unasked(data, batch_key, {} if labels is None else {"labels": list(labels)})
            elif known.adata is not data:
                self._register(data, known.registry["setup_args"])
            else:
                known.check_unchanged()
            super().__init__(data)
            if known is None:
                del self._setup_adata_manager_store[self.adata_manager.adata_uuid]

    @abstractmethod
    def train(self) -> None:
        """Train."""

    @classmethod
    def _setup_unasked(
        cls, data: AnnData | MuData, batch_key: str | Sequence[str] | None, further: Mapping[str, Any]
    ) -> None:
        """Register an object on which no ``setup_*`` method was called; for ``further`` see :meth:`_setup`."""
        cls._setup(data, None, None, None, listed_covariates(batch_key, ()), further)

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        modalities: Sequence[str] | None = None,
        layers: Mapping[str, str] | None = None,
        kinds: Mapping[str, str] | None = None,
        batch_key: str | Sequence[str] | None = None,
        categorical_covariate_keys: Sequence[str] = (),
    ) -> None:
        """Register a MuData; its observations need not be paired.

        Parameters
        ----------
        mdata
            Observations are those of ``mdata.obs``; a modality may lack some of them.
        modalities
            Names of the modalities to use; None for all.
        layers
            Layer that holds the values, by modality; ``X`` where none is named. Where ``X`` holds no raw counts and the layer
            ``counts`` or ``raw_counts`` does, a model of counts reads that layer, and a warning says so.
        kinds
            What the values are, by modality: ``counts``, ``accessibility``, ``protein``, ``fraction`` or ``real``
            (see :data:`omicsmlm._types.Kind`); inferred where none is named.
        batch_key
            Column with the batch, in ``mdata.obs`` or in the ``obs`` of modalities; of several columns, each combination
            of values is a batch. The batch stays out of the latent.
        categorical_covariate_keys
            Further columns that the decoder is conditioned on.

        Raises
        ------
        ValueError
            If the values are not what they should be, or a name is not there; the object is then left as it was.
        """
        cls._setup_mudata(mdata, modalities, layers, kinds, listed_covariates(batch_key, categorical_covariate_keys))

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        *,
        modalities: str = "rna",
        layer: str | None = None,
        kind: str | None = None,
        batch_key: str | Sequence[str] | None = None,
        categorical_covariate_keys: Sequence[str] = (),
    ) -> None:
        """Register an AnnData as an object of one modality; see :meth:`setup_mudata`.

        Parameters
        ----------
        adata
            The object.
        modalities
            Name to give to its only modality.
        layer, kind, batch_key, categorical_covariate_keys
            As in :meth:`setup_mudata`.
        """
        cls._setup_anndata(adata, modalities, layer, kind, listed_covariates(batch_key, categorical_covariate_keys))

    @classmethod
    def _setup_mudata(
        cls,
        mdata: MuData,
        modalities: Sequence[str] | None,
        layers: Mapping[str, str] | None,
        kinds: Mapping[str, str] | None,
        covariate_keys: list[str | None],
        further: Mapping[str, Any] | None = None,
    ) -> None:
        """Register a MuData; for ``further`` see :meth:`_setup`."""
        check_is_object(mdata)
        if not isinstance(mdata, MuData):
            raise value_error("setup_mudata", "a MuData", "an AnnData", "call setup_anndata with it")
        cls._setup(mdata, modalities, layers, kinds, covariate_keys, further)

    @classmethod
    def _setup_anndata(
        cls,
        adata: AnnData,
        modality: str,
        layer: str | None,
        kind: str | None,
        covariate_keys: list[str | None],
        further: Mapping[str, Any] | None = None,
    ) -> None:
        """Register an AnnData as one modality; for ``further`` see :meth:`_setup`."""
        check_is_object(adata)
        if not isinstance(adata, AnnData):
            raise value_error("setup_anndata", "an AnnData", "a MuData", "call setup_mudata with it")
        layers = None if layer is None else {modality: layer}
        kinds = None if kind is None else {modality: kind}
        cls._setup(adata, [modality], layers, kinds, covariate_keys, further)

    @classmethod
    def _setup(
        cls,
        data: AnnData | MuData,
        modalities: Sequence[str] | None,
        layers: Mapping[str, str] | None,
        kinds: Mapping[str, str] | None,
        covariate_keys: list[str | None],
        further: Mapping[str, Any] | None = None,
    ) -> None:
        """Check what the user names, and register the object by it.

        ``further`` is what only some families register, as :meth:`OmicsManager.define` takes it.
        """
        if modalities is None:
            modalities = list(data.mod) if isinstance(data, MuData) else ["rna"]
        names = listed(modalities)
        if not names:
            raise value_error(
                "modalities", "at least one modality", "none", "name those to use, or leave the argument out"
            )
        dotted = [name for name in names if "." in name]
        if dotted:
            raise value_error("modalities", "names without a dot", named(dotted), "rename them, as in mdata.mod['rna']")
        for argument, given in (("layers", layers), ("kinds", kinds)):
            unknown = [name for name in given or {} if name not in names]
            if unknown:
                raise value_error(
                    argument, f"names among {names}", named(unknown), "name modalities that are registered"
                )
        if cls.reads_counts:
            found = counts_layers(data, names, {*(layers or {}), *(kinds or {})})
            layers = {**(layers or {}), **found} if found else layers
        setup = {
            "modalities": names,
            "layers": None if layers is None else dict(layers),
            "kinds": None if kinds is None else dict(kinds),
            "covariate_keys": covariate_keys,
            **(further or {}),
        }
        cls._register(data, setup)

    @classmethod
    def _register(cls, data: AnnData | MuData, setup: dict[str, Any]) -> None:
        """Register an object by what :meth:`OmicsManager.define` takes."""
        method = "setup_mudata" if isinstance(data, MuData) else "setup_anndata"
        manager = OmicsManager.define(setup, cls.__name__, method)
        manager.register_fields(data)
        cls.register_manager(manager)

    @classmethod
    @contextmanager
    def leaving_as_it_was(cls, data: AnnData | MuData) -> Iterator[None]:
        """Take back the registration of an object if what follows fails: the identifiers of scvi-tools in ``.uns``.

        Parameters
        ----------
        data
            The object that is registered within.
        """
        check_is_object(data)
        before = {key: data.uns[key] for key in IDENTIFIERS if key in data.uns}
        stores = (cls._setup_adata_manager_store, cls._per_instance_manager_store)
        known = [set(store) for store in stores]
        try:
            yield
        except BaseException:
            for key in IDENTIFIERS:
                data.uns.pop(key, None)
            data.uns.update(before)
            for store, keys in zip(stores, known, strict=True):
                for key in store.keys() - keys:
                    del store[key]
            raise

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied or pickled; the object is that of the manager, which knows how to copy it."""
        state = dict(vars(self))
        if state.get("_adata") is not None and state["_adata"] is state["_adata_manager"].adata:
            del state["_adata"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_adata" not in state:
            self._adata = state["_adata_manager"].adata

    def manager_for(self, data: AnnData | MuData | None) -> OmicsManager:
        """Return the manager of an object: the model's own, or one transferred by feature name.

        Raises
        ------
        ValueError
            If there is no object, it does not fit the model, or the registered one was changed in place since.
        """
        if data is None and self.adata is None:
            raise value_error("data", "an object", "none, as the model was loaded without one", "pass data=…")
        if data is None or data is self.adata:
            self.adata_manager.check_unchanged()
            return self.adata_manager
        check_is_object(data)
        return self.adata_manager.transfer_fields(data)

    def _asked_modality(self, modality: str | None) -> str:
        """Return the modality that the user asks for, which may be left out where there is one."""
        known = list(self.adata_manager.modalities)
        if modality is None and len(known) == 1:
            return known[0]
        check_choice("modality", modality, known, "name one that the model was trained on")
        assert modality is not None
        return modality
