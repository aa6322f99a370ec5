"""Attribution of predictions by ablation: to modalities, and to regions of a sequence.

Attention weights are not read: an attribution is how the prediction changes when something is removed.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from omicsmlm._checks import check_choice, positive_integer, shortened, value_error
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch, Sequences
from omicsmlm.masking import with_masked, without_modality
from omicsmlm.nn import place_of, sequence_of
from omicsmlm.tokenizers import TARGETS

from ._sequences import SequenceModel

DIGEST_FACTOR = 0x9E3779B97F4A7C1
"""Spreads small numbers over the bits of a digest: an odd number from the golden ratio (Knuth, TAOCP 3, 6.4)."""


class AttributedModel(SequenceModel):
    """Abstract: a model that predicts targets from sequences, any of which can be removed."""

    @abstractmethod
    def _from_views(self, views: dict[str, Any]) -> Tensor:
        """Return predictions, (n, t), in the units of the targets."""

    @in_own_surroundings
    def attribute_modalities(self, data: AnnData | None = None) -> pd.DataFrame:
        """Compute how each prediction changes when an observation loses one of its modalities.

        Each observation is predicted by itself, whatever its group.

        Parameters
        ----------
        data
            Object; None for the registered one.

        Returns
        -------
        pandas.DataFrame
            (n_obs, modalities · targets) float32, columns (modality, target): prediction with it less prediction without,
            in the units of the targets; NaN where an observation lacks the modality, or has no other.
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

    @in_own_surroundings
    def attribute_regions(
        self, modality: str, target: str, data: AnnData | None = None, n_regions: int = 16
    ) -> pd.DataFrame:
        """Compute how the prediction of one target changes when the residues of a region are masked.

        A published encoder reads its own mask in the place of each token with a residue of the region, all other tokens as
        they were, and Enformer reads no nucleotide there. An encoder without a mask, such as those of T5's kind, reads the
        whole sequence, and the states of these tokens are left out: what other states know of the region then stays. Each
        observation is predicted by itself, whatever its group.

        Parameters
        ----------
        modality
            "dna", "rna" or "protein".
        target
            Name of a variable.
        data
            Object; None for the registered one.
        n_regions
            Equal regions of each (truncated) sequence, from its start to its end.

        Returns
        -------
        pandas.DataFrame
            (n_obs, n_regions) float32: prediction with the region less prediction without, in the units of the target; NaN
            where an observation lacks the sequence.

        Raises
        ------
        ValueError
            If there is no such sequence or target, or no region.
        """
        targets, known = self.adata_manager.modalities[TARGETS]["vocabulary"], list(self.adata_manager.sequences)
        check_choice("modality", modality, known, "name a sequence of the model")
        if not isinstance(target, str) or target not in targets:
            raise value_error(
                "target", f"one of the {len(targets)} variables", shortened(target), "see adata.var_names"
            )
        n_regions = positive_integer("n_regions", n_regions, "pass 16, say")
        at = targets.index(target)

        def change(batch: Batch) -> Tensor:
            views = self.parts.tokenizer(batch)
            residues: Sequences = views[modality]
            whole_n = self._from_views(views)[:, at]
            changes = []
            for region in range(n_regions):
                masked = mask_region(residues, region, n_regions)
                changes.append(whole_n - self._from_views({**views, modality: masked})[:, at])
            return torch.where(residues.of_obs[:, None] >= 0, torch.stack(changes, 1), torch.nan)

        values, indices = self.map_observations(data, None, None, n_regions, change)
        return pd.DataFrame(values, index=indices, columns=np.arange(n_regions))


def mask_region(residues: Sequences, region: int, n_regions: int) -> Sequences:
    """Return sequences whose residues of one region are masked, with digests of their own: caches must tell them apart."""
    length_t = residues.offsets.diff()[sequence_of(residues)]
    is_masked_t = place_of(residues) * n_regions // length_t == region
    salt = torch.tensor([region + 1, n_regions], device=residues.offsets.device)
    return with_masked(residues, is_masked_t)._replace(digests=residues.digests ^ (salt * DIGEST_FACTOR))
