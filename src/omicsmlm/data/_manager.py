"""The manager: scvi-tools' registration, extended to packed batches and to observations without some modalities."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager
from torch.utils.data import Dataset, Subset

from omicsmlm._checks import named, value_error
from omicsmlm._compat import AnnDataManagerValidationCheck
from omicsmlm._types import SPARSE_KINDS

from ._copying import put_together, taken_apart
from ._covariates import CovariatesField
from ._dataset import Field, ObservationDataset
from ._fingerprint import Fingerprint
from ._labels import LabelsField
from ._matrix import Matrix
from ._modality import ModalityField
from ._modality_index import modality_of
from ._numbers import NumbersField
from ._objects import check_object, unpaired_names
from ._sequences import SequenceField, VectorField
from ._setup_arguments import setup_arguments

ADDED_SUFFIX = "+"
"""Suffix of the name under which the features are registered that a query has added to a modality."""


class OmicsManager(AnnDataManager):
    """Registers modalities and covariates of an AnnData or MuData and gives access to its observations.

    The object gets two entries in ``.uns`` (scvi-tools' identifiers) and is otherwise left as it is.
    """

    fingerprint: Fingerprint | None = None
    """What the object was like when it was registered; None without one."""
    unpaired: Mapping[str, str] = MappingProxyType({})
    """First observation of each modality of an object in which no observation has two; empty for others."""

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied or pickled; a MuData, which cannot be, in parts."""
        return {**vars(self), "adata": taken_apart(self.adata)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, adata=put_together(state["adata"]))

    @classmethod
    def define(cls, setup: dict[str, Any], model_name: str, method: str) -> "OmicsManager":
        """Return a manager for the arguments of a ``setup_*`` method.

        Parameters
        ----------
        setup
            ``modalities`` (names), ``layers`` and ``kinds`` (by name), ``covariate_keys`` (the batch first, or None in
            its place); ``added``, where a query has added features: from the name that they got to their modality;
            ``sequences``, columns with sequences by name (``[key, kind]``; ``[key, kind, coding_key]`` of proteins that are
            translated where they are absent), ``vectors``, entries of ``obsm`` by name,
            ``optional``, names of modalities that other objects may lack altogether, ``labels``, the column of the labels and
            its value that is none, and ``numbers``, the columns of continuous covariates and that of size factors or None.
        model_name, method
            Name of the model class and of its setup method, for the registry.
        """
        layers, kinds, added = setup["layers"] or {}, setup["kinds"] or {}, setup.get("added", {})
        optional = setup.get("optional", ())
        fields: list[Field] = [
            ModalityField(name, layers.get(source), kinds.get(source), source, source in optional)
            for name, source in {**{name: name for name in setup["modalities"]}, **added}.items()
        ]
        fields += [SequenceField(name, *column) for name, column in setup.get("sequences", {}).items()]
        fields += [VectorField(name, key) for name, key in setup.get("vectors", {}).items()]
        fields.append(CovariatesField(setup["covariate_keys"]))
        fields += [LabelsField(*setup["labels"])] if setup.get("labels") else []
        fields += [NumbersField(*setup["numbers"])] if setup.get("numbers") else []
        names = {"model_name": model_name, "setup_method_name": method, "setup_args": setup}
        return cls(fields, names, AnnDataManagerValidationCheck(check_fully_paired_mudata=False))

    @classmethod
    def restore(cls, registry: dict[str, Any]) -> "OmicsManager":
        """Return the manager of a saved registry; it has no object, but can be transferred to one."""
        manager = cls.define(registry["setup_args"], registry["model_name"], registry["setup_method_name"])
        manager._registry = registry
        return manager

    def register_fields(
        self, adata: AnnData | MuData, source_registry: dict[str, Any] | None = None, **transfer_kwargs: object
    ) -> None:
        """Register an object, and keep what it is like."""
        super().register_fields(adata, source_registry, **transfer_kwargs)
        if source_registry is None and isinstance(adata, MuData):
            self.unpaired = unpaired_names(adata, self._sources)
        self.fingerprint = Fingerprint(adata, self.fields, self.registry["field_registries"])

    def _get_setup_method_args(self) -> dict[str, Any]:
        """Return the registry's names, and the arguments as the setup method takes them: autotune of scvi-tools calls it so."""
        method = self.registry["setup_method_name"]
        arguments = setup_arguments(method, self.registry["setup_args"])
        return {"model_name": self.registry["model_name"], "setup_method_name": method, "setup_args": arguments}

    def check_unchanged(self) -> None:
        """Check that the object is as it was registered.

        Raises
        ------
        ValueError
            If names, values, columns or sequences were changed in place since.
        """
        if self.fingerprint is not None and self.adata is not None:
            self.fingerprint.check(self.adata)

    def transfer_fields(self, adata_target: AnnData | MuData, **kwargs: object) -> "OmicsManager":
        """Register another object with this vocabulary and these categories, matched by name.

        An AnnData stands for the modality whose vocabulary its features match best. With ``extend_categories=True`` new
        batches join the known ones.

        Raises
        ------
        ValueError
            If the object has none of the modalities, none of a modality's features, or none of the sequences and vectors.
        """
        target = adata_target
        self._validate_anndata_object(target)
        if isinstance(target, AnnData) and len(self._sources) > 1:
            target = MuData({self._best_match(target): target})
        if isinstance(target, MuData) and not set(target.mod) & set(self._sources):
            raise value_error(
                "data", f"a modality among {self._sources}", f"{list(target.mod)}", "rename it as in training"
            )
        entries = {f.name: f.key for f in self.fields if isinstance(f, SequenceField | VectorField)}
        if entries and not any(key in target.obs or key in target.obsm for key in entries.values()):
            found = f"an object without {named(entries.values())}"
            raise value_error(
                "data", f"a column or an entry with one of {named(entries)}", found, "name it as in training"
            )
        names = {key: self.registry[key] for key in ("model_name", "setup_method_name", "setup_args")}
        manager = OmicsManager(self.fields, names, self.validation_checks)
        manager.register_fields(target, self.registry, **kwargs)
        return manager

    def with_added_features(self, target: AnnData | MuData) -> "OmicsManager":
        """Return a manager to whose vocabulary the features of another object that it lacks are added.

        Those of each modality stand under a name of their own. The manager has no object; transfer it to one.
        """
        added, states = dict(self.registry["setup_args"].get("added", {})), {}
        for source in self.registry["setup_args"]["modalities"]:
            found = modality_of(target, source)
            fields = [f for f in self.fields if isinstance(f, ModalityField) and f.source == source]
            known = set().union(*(self.modalities[f.name]["vocabulary"] for f in fields))
            new = [str(name) for name in ([] if found is None else found.var_names) if str(name) not in known]
            if new:
                name = source + ADDED_SUFFIX * len(fields)
                added[name] = source
                states[name] = {"name": name, "kind": self.modalities[source]["kind"], "vocabulary": new, "n_shared": 0}
        registry = {**self.registry, "setup_args": {**self.registry["setup_args"], "added": added}}
        registry["field_registries"] = {
            **self.registry["field_registries"],
            **{f"modality_{name}": {"state_registry": state} for name, state in states.items()},
        }
        return OmicsManager.restore(registry)

    @property
    def _sources(self) -> list[str]:
        """Names that modalities have in the user's objects."""
        return list(self.registry["setup_args"]["modalities"])

    def _best_match(self, adata: AnnData) -> str:
        """Return the modality with most of these features; where several share them, as genes do, the one of their kind."""
        names = set(adata.var_names.astype(str))
        n_shared = {m: len(names.intersection(self.modalities[m]["vocabulary"])) for m in self._sources}
        most = max(n_shared.values())
        # More than half of the best: two modalities on one gene axis may lack some genes each.
        close = [m for m in self._sources if n_shared[m] > most / 2]
        of_kind = [m for m in close if self._has_kind(m, adata)] if len(close) > 1 else []
        close = of_kind or close or self._sources
        best = [m for m in close if n_shared[m] == max(n_shared[m] for m in close)]
        if most and len(best) > 1:
            found = f"features that {named(best)} have alike"
            raise value_error("data", "an object of one modality", found, f"pass MuData({{{best[0]!r}: adata}}), say")
        return best[0]

    def _has_kind(self, name: str, adata: AnnData) -> bool:
        """Return whether an object has values, where a modality keeps its own, that look like those of its kind."""
        layer = next(f.layer for f in self.fields if isinstance(f, ModalityField) and f.name == name)
        if layer is not None and layer not in adata.layers:
            return False
        found = Matrix.of(name, adata, layer).summary()
        whole = found.all_integers and found.minimum >= 0 and not found.has_nan
        fraction = not whole and found.minimum >= 0 and found.maximum <= 1
        kind = self.modalities[name]["kind"]
        return whole if kind in SPARSE_KINDS else fraction if kind == "fraction" else not (whole or fraction)

    @property
    def sequences(self) -> dict[str, dict[str, Any]]:
        """State of each sequence by name: ``key`` of its column, ``kind``, ``n_present`` observations that have it."""
        return {f.name: self._state(f.registry_key) for f in self.fields if isinstance(f, SequenceField)}

    @property
    def vectors(self) -> dict[str, dict[str, Any]]:
        """State of each vector by name: ``key`` in ``obsm``, its ``width``, ``n_present`` observations that have it."""
        return {f.name: self._state(f.registry_key) for f in self.fields if isinstance(f, VectorField)}

    @property
    def modalities(self) -> dict[str, dict[str, Any]]:
        """State of each modality by name: ``kind``, ``vocabulary`` (feature names), ``n_shared``."""
        return {f.name: self._state(f.registry_key) for f in self.fields if isinstance(f, ModalityField)}

    @property
    def covariates(self) -> dict[str | None, list[str]]:
        """Categories of each covariate by column name, the batch first; None for a batch that all observations share."""
        state = next(self._state(f.registry_key) for f in self.fields if isinstance(f, CovariatesField))
        return dict(zip(state["keys"], state["categories"], strict=True))

    @property
    def numbers(self) -> dict[str, Any]:
        """Continuous covariates (``keys``) and ``size_factor_key``, as registered."""
        found = [self._state(f.registry_key) for f in self.fields if isinstance(f, NumbersField)]
        return found[0] if found else {"keys": [], "size_factor_key": None}

    @property
    def labels(self) -> list[str]:
        """The labels that a training may use, sorted; none where none were registered."""
        return [label for f in self._label_fields for label in self._state(f.registry_key)["categories"]]

    def label_codes(self) -> np.ndarray | None:
        """Return the label of each observation, (n,) int64 positions in :attr:`labels`, -1 where it has none.

        None where no labels were registered. The column is read now, so that labels may be added between trainings.

        Raises
        ------
        ValueError
            If the object lacks the column, or has a label that was not registered.
        """
        found = [f.codes(self.adata, self._state(f.registry_key)) for f in self._label_fields]
        return found[0] if found else None

    @property
    def _label_fields(self) -> list[LabelsField]:
        return [f for f in self.fields if isinstance(f, LabelsField)]

    def _state(self, key: str) -> dict[str, Any]:
        return self.registry["field_registries"][key]["state_registry"]

    def _validate_anndata_object(self, adata: AnnData | MuData) -> None:
        check_object(adata)

    def create_torch_dataset(
        self,
        indices: Sequence[int] | None = None,
        data_and_attributes: object = None,
        load_sparse_tensor: bool = False,
    ) -> Dataset:
        """Return the observations as a dataset; indexing it with a list of indices returns a :class:`Batch`.

        The arguments are those of scvi-tools, whose loaders call this; batches always hold every field, packed.
        """
        dataset = self.observation_dataset()
        return dataset if indices is None else Subset(dataset, indices)  # type: ignore[arg-type]

    def observation_dataset(self) -> ObservationDataset:
        """Return all observations as a dataset."""
        self._assert_anndata_registered()
        return ObservationDataset(self.adata, self.fields, self.registry["field_registries"])
