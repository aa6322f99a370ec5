"""What a prediction rests on, by ablation: which modality, which region of a sequence.

Attention weights are not read: what counts is how the answer changes when something is taken away.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from omicsmlm._checks import value_error
from omicsmlm._types import Batch, Sequences
from omicsmlm.masking import MASK, without_modality
from omicsmlm.nn import place_of, sequence_of
from omicsmlm.tokenizers import TARGETS

from ._sequences import SequenceModel


class AttributedModel(SequenceModel):
    """Abstract: a model that foretells targets from sequences, any of which can be taken away."""

    @abstractmethod
    def _from_views(self, views: dict[str, Any]) -> Tensor:
        """Foretell, (n, t), in the units of training."""

    def attribute_modalities(self, data: AnnData | None = None) -> pd.DataFrame:
        """Tell how each prediction changes when a row loses one of its modalities.

        Parameters
        ----------
        data
            Object; None for the registered one.

        Returns
        -------
        pandas.DataFrame
            (n_obs, modalities · targets) float32, columns (modality, target): prediction with it less prediction without,
            in the units of the targets; NaN where a row lacks the modality, or has nothing else.
        """
        names = [*self.adata_manager.sequences, *self.adata_manager.vectors]
        targets = self.adata_manager.modalities[TARGETS]["vocabulary"]

        def change(batch: Batch) -> Tensor:
            views = self.parts.tokenizer(batch)
            whole_nt = self._from_views(views)
            has_nm = torch.stack([batch.present[name] for name in names], 1)
            changes = []
            for m, name in enumerate(names):
                lost_n = has_nm[:, m] & (has_nm.sum(1) > 1)
                rest_nt = self._from_views({**views, name: without_modality(views[name], lost_n)})
                changes.append(torch.where(lost_n[:, None], whole_nt - rest_nt, torch.nan))
            return torch.cat(changes, 1)

        values, indices = self.map_observations(data, None, None, len(names) * len(targets), change)
        return pd.DataFrame(values, index=indices, columns=pd.MultiIndex.from_product([names, targets]))

    def attribute_regions(
        self, modality: str, target: str, data: AnnData | None = None, n_regions: int = 16
    ) -> pd.DataFrame:
        """Tell how the prediction of one target changes when the letters of a region become unknown.

        Parameters
        ----------
        modality
            "dna", "rna" or "protein".
        target
            Name of a variable.
        data
            Object; None for the registered one.
        n_regions
            Equal regions of each (cropped) sequence, from its start to its end.

        Returns
        -------
        pandas.DataFrame
            (n_obs, n_regions) float32: prediction with the region less prediction without, in the units of the target; NaN
            where a row lacks the sequence.

        Raises
        ------
        ValueError
            If there is no such sequence or target, or no region.
        """
        targets, known = self.adata_manager.modalities[TARGETS]["vocabulary"], list(self.adata_manager.sequences)
        if modality not in known:
            raise value_error("modality", f"one of {known}", repr(modality), "name a sequence of the model")
        if target not in targets:
            raise value_error("target", f"one of the {len(targets)} variables", repr(target), "see adata.var_names")
        if n_regions < 1:
            raise value_error("n_regions", "at least 1", str(n_regions), "pass 16, say")
        at = targets.index(target)

        def change(batch: Batch) -> Tensor:
            views = self.parts.tokenizer(batch)
            residues: Sequences = views[modality]
            whole_n = self._from_views(views)[:, at]
            changes = []
            for region in range(n_regions):
                hidden = _hidden(residues, region, n_regions)
                changes.append(whole_n - self._from_views({**views, modality: hidden})[:, at])
            return torch.where(residues.of_obs[:, None] >= 0, torch.stack(changes, 1), torch.nan)

        values, indices = self.map_observations(data, None, None, n_regions, change)
        return pd.DataFrame(values, index=indices, columns=np.arange(n_regions))


def _hidden(residues: Sequences, region: int, n_regions: int) -> Sequences:
    """Make the letters of one region unknown; the sequences are new ones, with a hash of their own."""
    length_t = residues.offsets.diff()[sequence_of(residues)]
    is_hidden_t = place_of(residues) * n_regions // length_t == region
    salt = torch.tensor([region + 1, n_regions], device=residues.offsets.device)
    return residues._replace(
        residues=residues.residues.masked_fill(is_hidden_t, MASK), digests=residues.digests ^ (salt * 0x9E3779B97F4A7C1)
    )
