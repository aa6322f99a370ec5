"""Models that take in new data as a query: matched by name, and adapted without moving the reference."""

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from omicsmlm._checks import check_switch, named, value_error
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch
from omicsmlm.data import ADDED_SUFFIX, OmicsManager

from ._model import OmicsModel, announce
from ._query_module import QueryModule
from ._records import Config

MOST_REFERENCE_EMBEDDINGS = 5000
"""Most observations whose embedding a model keeps, for queries to be aligned with."""


@dataclass(frozen=True, kw_only=True)
class QueryDerived:
    """What is derived from the data of a model that maps queries, and from those of a query."""

    added: list[str] = field(default_factory=list)
    """Names under which a query's features stand that the reference did not know."""
    n_fixed_batches: int | None = None
    """Batches of the first reference; None in a reference."""
    n_known_batches: int | None = None
    """Batches that a query's training leaves as they are; None in a reference."""


class QueryModel[M: QueryModule, C: Config, D: QueryDerived](OmicsModel[M, C, D]):
    """Abstract: a family that maps a query onto a reference; its network is a :class:`QueryModule`."""

    @abstractmethod
    def _extended(self, manager: OmicsManager, added: list[str]) -> D:
        """Return ``derived`` with what fixes the shape of the modules of added features, which is read off a query."""

    @abstractmethod
    def _initialize_added(self, added: list[str]) -> None:
        """Fit what encodes and reconstructs added features to the registered query."""

    @classmethod
    @in_own_surroundings
    def load_query_data(
        cls, query: AnnData | MuData, reference: Self | str | Path, *, extend_vocabulary: bool = False
    ) -> Self:
        """Return a model of new observations, made from one that is trained; it embeds them at once, and training adapts it to them.

        Features are matched by name: those that the query lacks are not visible, those that are unknown are ignored.
        Modalities may be absent and observations unpaired. :meth:`train` then adapts only what belongs to batches that the
        reference does not know; embeddings of all other observations stay as they are, to the last bit.

        Parameters
        ----------
        query
            New observations, with the batch in the column that the reference was trained with.
        reference
            A trained model, or the directory of a saved one.
        extend_vocabulary
            Whether to take in the features that the reference does not know. They stand under a name of their own
            (``"rna+"`` for those of ``"rna"``), as one more estimate of what the reference sees of an observation, fitted to
            the query; observations without them, those of the reference among them, embed as before.

        Returns
        -------
        A model with the query registered.

        Raises
        ------
        ValueError
            If the reference is not trained or shares no modality or feature with the query, or if the query lacks the
            column of the batch.

        Examples
        --------
        >>> import omicsmlm
        >>> mdata = omicsmlm.datasets.simulate_multiome(200, 50, 80)
        >>> is_new = (mdata.obs["batch"] == mdata.obs["batch"].iloc[0]).to_numpy()
        >>> reference = omicsmlm.OmicsMLM(mdata[~is_new].copy(), batch_key="batch")
        >>> reference.train(max_epochs=1, progress_bar=False)
        >>> model = omicsmlm.OmicsMLM.load_query_data(mdata[is_new].copy(), reference)
        >>> model.get_latent_representation().shape[1] == reference.module.n_latent
        True
        """
        check_switch("extend_vocabulary", extend_vocabulary)
        source = reference if isinstance(reference, OmicsModel) else cls.load(reference)
        if type(source) is not cls:
            raise value_error("reference", f"an {cls.__name__}", type(source).__name__, "load it with its own class")
        if not source.is_trained_:
            raise value_error("reference", "a trained model", "one that is not", "call train() on the reference first")
        with cls.leaving_as_it_was(query):
            model = cls._of_query(query, source, extend_vocabulary)
        announce(f"{cls.__name__}: {model._describe_query()}.")
        return model

    @classmethod
    def _of_query(cls, query: AnnData | MuData, source: Self, extend_vocabulary: bool) -> Self:
        """Return a model of a query, made from a trained one."""
        known = _n_batches(source.adata_manager)
        whole = source.adata_manager.with_added_features(query) if extend_vocabulary else source.adata_manager
        manager = whole.transfer_fields(query, extend_categories=True)
        added = [name for name in manager.modalities if name not in source.adata_manager.modalities]
        derived = source._extended(manager, added) if added else source.derived
        n_fixed = known if source.derived.n_fixed_batches is None else source.derived.n_fixed_batches
        derived = replace(derived, added=added, n_fixed_batches=n_fixed, n_known_batches=known)
        model = cls._bare(manager, source.config, derived)
        model.module.load_from(source.module)
        model._adopt(manager, query)
        if added:
            model._initialize_added(added)
        model.is_trained_ = True
        model._compare_with_reference()
        return model

    def _compare_with_reference(self) -> None:
        """Fit, in closed form, what embeds the new batches of a query in another way than the reference would; by default nothing."""

    def _describe_query(self) -> str:
        """Return the line that is logged of a query: features shared, added and ignored, and new batches."""
        shared, states = [], self.adata_manager.modalities
        for name in self.adata_manager.registry["setup_args"]["modalities"]:
            state, own = states[name], [m for m in states if m.rstrip(ADDED_SUFFIX) == name]
            line = f"{state['n_shared']:,} of {len(state['vocabulary']):,} features of {name}"
            n_added = sum(states[m]["n_shared"] for m in own if m != name)
            n_unknown = self._n_features(name) - state["n_shared"] - n_added
            line += f", {n_added:,} added" if n_added else ""
            shared.append(line + (f", {n_unknown:,} unknown ones ignored" if n_unknown else ""))
        new = self._new_batches()
        return f"{self.adata.n_obs} observations with {', '.join(shared)}; new batches {named(new)}"

    def _n_features(self, modality: str) -> int:
        """Count the features that the query has of a modality."""
        data = self.adata_manager.adata
        if isinstance(data, AnnData):
            return data.n_vars
        return data[modality].n_vars if modality in data.mod else 0

    def _new_batches(self) -> list[str]:
        """Return the names of the batches that the reference did not know."""
        categories: list[str] = next(iter(self.adata_manager.covariates.values()), [])
        n_known = self.derived.n_known_batches
        return [] if n_known is None else categories[n_known:]

    @property
    def is_query(self) -> bool:
        """Whether the model came from :meth:`load_query_data`."""
        return self.derived.n_known_batches is not None

    @in_own_surroundings
    def align(self) -> None:
        """Move the new batches of a query onto the reference; :meth:`train` begins with it, and then adapts the decoder.

        Raises
        ------
        ValueError
            If none of its batches is new.
        """
        n_known, n_new = self.derived.n_known_batches, len(self._new_batches())
        if n_known is None or not n_new:
            raise value_error(
                "train",
                "a query with batches that the reference does not know",
                "none, so that there is nothing to adapt",
                "use the embedding as it is, or name a batch_key when you make the reference",
            )
        code_n = self.adata_manager.create_torch_dataset().covariates[:, 0].numpy()
        latent_nd, _ = self.map_observations(None, None, None, self.module.n_latent, self._encode)
        alignment = self.module.alignment
        assert alignment is not None  # a query has one
        for batch in range(n_known, n_known + n_new):
            latent_bd = torch.from_numpy(latent_nd[code_n == batch]).to(self.device)
            alignment.fit(batch, latent_bd, self.module.reference_md)

    def finish_training(self, train_indices: np.ndarray) -> None:
        """Keep the embedding of some observations, for queries to be aligned with."""
        if not self.is_query:
            latent_md = self.get_latent_representation(indices=self._reference_indices())
            self.module.reference_md.copy_(torch.from_numpy(latent_md))

    def _reference_indices(self) -> np.ndarray:
        """Return the positions, ascending, of the observations of a reference whose embedding is kept."""
        n_obs, n_kept = self.adata.n_obs, len(self.module.reference_md)
        rng = np.random.default_rng(self.config.seed)
        return np.sort(rng.choice(n_obs, n_kept, replace=n_obs < n_kept))

    def _prepare_training(self, train_indices: np.ndarray) -> None:
        if self.is_query and (self._new_batches() or not self.derived.added):
            self.align()

    def _encode(self, batch: Batch) -> Tensor:
        return self.module.unaligned(self.parts.tokenizer(batch), batch).mean


def _n_batches(manager: OmicsManager) -> int:
    return len(next(iter(manager.covariates.values()), ()))
