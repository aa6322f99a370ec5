"""Models that take in new data by going on training: all of their weights move, and the reference stays as it was."""

from pathlib import Path
from typing import Self

from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import value_error
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Module

from ._model import OmicsModel, announce
from ._records import Config


class FineTunedModel[M: Module, C: Config, D](OmicsModel[M, C, D]):
    """Abstract: a family that knows no batches, so that there is nothing of a query alone to adapt."""

    @classmethod
    @in_own_surroundings
    def load_query_data(cls, query: AnnData | MuData, reference: Self | str | Path) -> Self:
        """Return a model of new observations, made from one that is trained; it embeds them at once, and training fine-tunes it on them.

        Features are matched by name: those that the query lacks are not visible, those that are unknown are ignored. The family
        knows no batches: :meth:`train` moves all of the weights, and leaves the reference as it was.

        Parameters
        ----------
        query
            New observations.
        reference
            A trained model, or the directory of a saved one.

        Returns
        -------
        A model with the query registered.

        Raises
        ------
        ValueError
            If the reference is not a trained model of this class, or shares nothing with the query.
        """
        source = cls.load(reference) if isinstance(reference, str | Path) else reference
        if type(source) is not cls or not source.is_trained_:
            found = "one that is not" if type(source) is cls else f"a {type(source).__name__}"
            raise value_error("reference", f"a trained {cls.__name__}", found, "call train() on the reference first")
        manager = source.adata_manager.transfer_fields(query)
        model = cls._bare(manager, source.config, source.derived)
        model.module.load_state_dict(source.module.state_dict())
        model._adopt(manager, query)
        model.is_trained_ = True
        shared = [
            f"{state['n_shared']} of {len(state['vocabulary'])} features of {name}"
            for name, state in manager.modalities.items()
        ]
        announce(f"{cls.__name__}: {query.n_obs} observations with {', '.join(shared)}.")
        return model
