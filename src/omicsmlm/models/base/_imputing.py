"""Models that can impute: expected values of a modality, denoised where it was measured and filled in where it was not."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from omicsmlm._checks import named, value_error
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch, Module

from ._model import OmicsModel
from ._records import Config


class ImputingModel[M: Module, C: Config, D](OmicsModel[M, C, D]):
    """Abstract: a family whose decoder has an expected value of each feature."""

    @abstractmethod
    def _decoded_features(self, modality: str) -> np.ndarray:
        """Return the positions in the vocabulary of the features that :meth:`_expected` has values of, (g,)."""

    @abstractmethod
    def _expected(self, batch: Batch, modality: str) -> Tensor:
        """Return the expected values of a batch, (n, g)."""

    @in_own_surroundings
    def impute(
        self,
        data: AnnData | MuData | None = None,
        modality: str | None = None,
        *,
        batch: str | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Return the expected values of a modality, for observations that lack it and, denoised, for those that have it.

        Parameters
        ----------
        data
            The object; None for the registered one. Features are matched by name, modalities may be absent.
        modality
            What to impute; may be left out where the model has one modality.
        batch
            Category of the batch to project to; None for each observation's own, the average where that is unknown.
        indices
            Positions of observations, or one boolean per observation; None for all.
        batch_size
            Observations to decode at once; None for 1,024.

        Returns
        -------
        pandas.DataFrame
            (n_obs, g) float32, with the names of the observations and of the features that the model reconstructs. Units are the
            modality's own: counts at the observation's depth (the median depth where it has none), counts of protein,
            probability of being open, fraction, or value.

        Raises
        ------
        ValueError
            If the modality or the batch is not one of the model's.
        """
        name = self._asked_modality(modality)
        code = None if batch is None else self._batch_code(batch)
        features = np.asarray(self.adata_manager.modalities[name]["vocabulary"])[self._decoded_features(name)]

        def expected(part: Batch) -> Tensor:
            if code is not None:
                part.covariates[:, 0] = code
            return self._expected(part, name)

        values, obs_names = self.map_observations(data, indices, batch_size, len(features), expected)
        return pd.DataFrame(values, index=obs_names, columns=features)

    def _batch_code(self, batch: str) -> int:
        """Return the code of a batch that the user names."""
        covariates = self.adata_manager.covariates
        key = next(iter(covariates), None)
        if key is None:
            raise value_error("batch", "a model with a batch", "one without", "leave the argument out")
        if batch not in covariates[key]:
            known = named(covariates[key])
            raise value_error("batch", f"a category of {key!r} in training ({known})", repr(batch), "name one of these")
        return covariates[key].index(batch)
