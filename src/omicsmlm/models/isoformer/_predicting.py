"""Prediction of expression from sequences, of observations by themselves or of whole groups.

Tensor axes: n observations, t targets.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch
from omicsmlm.data import find_column, has_column
from omicsmlm.models.base import announce, checked_indices
from omicsmlm.tokenizers import TARGETS, TruncatedSequences

from ._expert_weights import with_level
from ._pretraining import PretrainedModel
from ._sequences import group_numbers


class PredictingModel(PretrainedModel):
    """Abstract: a model that predicts targets from sequences."""

    @in_own_surroundings
    def predict(
        self,
        data: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Return predicted expression; deterministic, and independent of the order of observations and the batch size.

        Where differences within groups count, as those of isoforms (:attr:`IsoFormerConfig.group_weight`), the observations of
        a group are read together, whichever are asked for: the level is predicted of all of them, and how each differs from
        their mean. The prediction then depends on which members of its group the object holds. Where the object has no column of
        groups, a line in the log says so, and each observation is predicted by itself, level and differences at once.

        Parameters
        ----------
        data
            Object with sequences in the columns that were registered; None for the registered one. It needs no expression.
        indices, batch_size
            As in :meth:`get_latent_representation`.

        Returns
        -------
        pandas.DataFrame
            (n_obs, n_targets) float32 in the units of the training targets, with the names of observations and variables.
        """
        targets = self.adata_manager.modalities[TARGETS]["vocabulary"]
        if self.derived.experts.within and self._has_groups(data):
            values, names_n = self._predicted_by_group(data, indices, batch_size, len(targets))
        else:
            values, names_n = self.map_observations(data, indices, batch_size, len(targets), self._predicted)
        return pd.DataFrame(values, index=names_n, columns=targets)

    def _predicted(self, batch: Batch) -> Tensor:
        return self._from_views(self.parts.tokenizer(batch))

    def _has_groups(self, data: AnnData | None) -> bool:
        """Return whether an object has the column of groups, and tell the user if it has none."""
        assert self._group_key is not None  # differences within groups count only where there are groups
        has = has_column(self.manager_for(data).adata, self._group_key)
        if not has:
            announce(f"IsoFormer: no column {self._group_key!r} of groups; each observation is predicted by itself.")
        return has

    def _predicted_by_group(
        self,
        data: AnnData | None,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
        n_targets: int,
    ) -> tuple[np.ndarray, pd.Index]:
        """Return predictions, (n, t), and names of the observations that are asked for; all of their groups are read."""
        adata = self.manager_for(data).adata
        assert self._group_key is not None
        asked, group_n = checked_indices(indices, adata.n_obs), group_numbers(find_column(adata, self._group_key))
        read = np.flatnonzero(np.isin(group_n, group_n[asked]))
        both, _ = self.map_observations(data, read, batch_size, 2 * n_targets, self._predicted_parts)
        level_nt, within_nt = torch.from_numpy(both).double().chunk(2, dim=1)
        predicted_nt = with_level(level_nt, within_nt, torch.from_numpy(group_n[read]))
        values = self._unscaled(predicted_nt.float()[np.searchsorted(read, asked)].to(self.device))
        return values.cpu().numpy(), adata.obs_names[asked]

    def _predicted_parts(self, batch: Batch) -> Tensor:
        return self.module.predict_parts(self.parts.tokenizer(batch))

    def _from_views(self, views: dict[str, Any]) -> Tensor:
        return self._unscaled(self.module.predict(views))

    def _unscaled(self, standard_nt: Tensor) -> Tensor:
        assert isinstance(self.parts.tokenizer, TruncatedSequences)
        return self.parts.tokenizer.unscaled(standard_nt)
