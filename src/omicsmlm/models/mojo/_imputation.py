"""Imputation from the probabilities of bins."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from omicsmlm._types import Batch
from omicsmlm.models.base import ImputingModel
from omicsmlm.tokenizers import AxisBins

from ._config import MOJOConfig
from ._derived import MOJODerived
from ._module import MOJOModule


class BinImputingModel(ImputingModel[MOJOModule, MOJOConfig, MOJODerived]):
    """Abstract: a model that predicts the bin of each value on an axis of genes; the expected value is imputed."""

    def _decoded_features(self, modality: str) -> np.ndarray:
        return np.sort(self._vocabulary_positions(modality))

    def _vocabulary_positions(self, modality: str) -> np.ndarray:
        """Return the position in its vocabulary of each gene on the axis that a modality has, in the order of the axis."""
        vocabulary = pd.Index(self.adata_manager.modalities[modality]["vocabulary"])
        position_g = vocabulary.get_indexer(self.derived.genes)
        return position_g[position_g >= 0]

    def _expected(self, batch: Batch, modality: str) -> Tensor:
        assert isinstance(self.parts.tokenizer, AxisBins)
        bins, device = self.parts.tokenizer, batch.indices.device
        own_g = pd.Index(self.derived.genes).isin(self.adata_manager.modalities[modality]["vocabulary"])
        reading = self.module(bins(batch), batch).token_logits[modality]
        at_ng = torch.from_numpy(own_g).to(device).expand(len(batch.indices), -1)
        fraction_tb = reading.logits(at_ng).float()[:, : bins.n_bins].softmax(1)
        scaled_ng = (fraction_tb @ bins.centres()).view(len(batch.indices), int(own_g.sum()))
        order_g = np.argsort(self._vocabulary_positions(modality))
        features_g = torch.from_numpy(self._decoded_features(modality)).to(device)
        scaled_ng = scaled_ng[:, torch.from_numpy(order_g).to(device)]
        return bins.unscaled(modality, scaled_ng, self._depth(batch, modality), features_g)

    def _depth(self, batch: Batch, modality: str) -> Tensor | None:
        """Return the (n,) depth of each observation's counts, the median of the training data where it has none."""
        if modality not in self.derived.depths:
            return None
        assert isinstance(self.parts.tokenizer, AxisBins)
        depth_n = self.parts.tokenizer.depth(modality, batch)
        return torch.where(depth_n > 0, depth_n, torch.full_like(depth_n, self.derived.depths[modality]))
