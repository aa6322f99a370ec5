"""MOJO: masked modelling of bulk RNA-seq and DNA methylation on one axis of genes."""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from omicsmlm._checks import named, value_error
from omicsmlm._draws import Draws
from omicsmlm._types import SPARSE_KINDS, Batch, Grid, Kind, Masking, Parts
from omicsmlm.data import stored_values
from omicsmlm.masking import MaskBins, WithModalitySubsets
from omicsmlm.models.base import FineTunedModel, FormerFields, ImputingModel
from omicsmlm.objectives import BinCrossEntropy
from omicsmlm.tokenizers import AxisBins, fit_scale, observation_depth
from omicsmlm.training import Optimisation

from ._config import FORMER_CONFIG, N_WARMUP_STEPS, TEMPERATURE, WEIGHT_DECAY, MOJOConfig, MOJODerived
from ._initialization import fit_heads, initialize
from ._module import MOJOModule

logger = logging.getLogger(__name__)

MAX_STATE_ELEMENTS = 2**26
"""Elements of a convolution's (n, l, d) output up to which observations are embedded together: 0.25 GiB in float32."""


class MOJO(ImputingModel[MOJOModule, MOJOConfig, MOJODerived], FineTunedModel[MOJOModule, MOJOConfig, MOJODerived]):
    """Bimodal masked language model of bulk profiles (Gélard et al., bioRxiv 10.1101/2025.06.25.661237).

    Each gene is a token per modality: the bin of its value. Their embeddings are summed, convolutions downsample the axis of
    genes, a transformer runs on the short sequence, transposed convolutions upsample it, and a head per modality predicts the
    bins of masked tokens.

    Parameters
    ----------
    data
        MuData whose modalities name their features by gene, or an AnnData. Genes are matched by name, never by position.
    config
        Hyper-parameters; None for defaults that train on a laptop. :meth:`MOJOConfig.paper` has the published sizes.
    batch_key
        Column of ``obs`` with the batch; MOJO registers it, and does not use it.

    Examples
    --------
    >>> import numpy as np, pandas as pd, omicsmlm
    >>> from anndata import AnnData
    >>> from mudata import MuData
    >>> rng, genes = np.random.default_rng(0), pd.DataFrame(index=[f"gene{j}" for j in range(40)])
    >>> mdata = MuData({"rna": AnnData(rng.random((30, 40)) * 5, var=genes)})
    >>> model = omicsmlm.MOJO(mdata, omicsmlm.MOJOConfig(n_levels=2))
    >>> model.train(max_epochs=1, progress_bar=False)
    >>> mdata.obsm["X_mojo"].shape
    (30, 64)
    """

    embedding_key: ClassVar[str] = "X_mojo"
    config_class: ClassVar[type] = MOJOConfig
    reads_counts: ClassVar[bool] = False
    derived_class: ClassVar[type] = MOJODerived
    former_config: ClassVar[FormerFields] = FORMER_CONFIG

    def __init__(
        self, data: Any, config: MOJOConfig | None = None, *, batch_key: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(data, config, batch_key=batch_key)

    @property
    def embedding_batch_size(self) -> int:
        """Default batch size of embedding and validation: smaller, the longer the axis of genes."""
        n_states = self.config.n_positions(len(self.derived.genes)) * self.config.width
        return min(super().embedding_batch_size, max(1, MAX_STATE_ELEMENTS // n_states))

    @property
    def optimisation(self) -> Optimisation:
        """Settings of AdamW."""
        c = self.config
        return Optimisation(learning_rate=c.learning_rate, weight_decay=WEIGHT_DECAY, n_warmup_steps=N_WARMUP_STEPS)

    def _derive(self, sample: Sequence[Batch]) -> MOJODerived:
        states = self.adata_manager.modalities
        genes = _genes({name: state["vocabulary"] for name, state in states.items()}, self.config.axis)
        derived = MOJODerived(genes=genes, scales={}, profiles={}, depths={})
        for name, state in states.items():
            tokens, depths = [batch.tokens[name] for batch in sample], None
            if state["kind"] in SPARSE_KINDS:
                profile = _profile(stored_values(sample, name, len(state["vocabulary"])))
                derived.profiles[name] = profile
                depths = [observation_depth(b.tokens[name], b.measured[name], torch.tensor(profile)) for b in sample]
                has_n = torch.cat([batch.present[name] for batch in sample])
                derived.depths[name] = float(torch.cat(depths)[has_n].median())
            derived.scales[name] = fit_scale(state["kind"], self.config.scaling, tokens, depths)
        return derived

    def _assemble(self, derived: MOJODerived) -> Parts:
        c, states = self.config, self.adata_manager.modalities
        kinds: dict[str, Kind] = {name: state["kind"] for name, state in states.items()}
        axis = pd.Index(derived.genes)
        tokenizer = AxisBins(
            kinds,
            c.n_bins,
            len(axis),
            {name: torch.from_numpy(axis.get_indexer(state["vocabulary"])) for name, state in states.items()},
            derived.scales,
            {name: torch.tensor(profile) for name, profile in derived.profiles.items()},
        )
        masking: Masking = MaskBins(c.n_bins, c.mask_rate, c.modality_rate)
        if c.consistency:
            masking = WithModalitySubsets(masking)
        return Parts(
            tokenizer=tokenizer,
            masking=masking,
            module=MOJOModule(list(kinds), len(axis), c),
            objective=BinCrossEntropy(c.consistency, TEMPERATURE, c.mask_rate),
        )

    def _initialize(self, sample: Sequence[Batch]) -> None:
        if self.config.start == "random":
            return
        assert isinstance(self.parts.tokenizer, AxisBins)
        grids = [self.parts.tokenizer(batch) for batch in sample]
        initialize(self.module, grids, self.parts.tokenizer.centres(), self.config.seed)
        indices = np.random.default_rng(self.config.seed).permutation(len(sample[0].indices))[
            : self.embedding_batch_size
        ]
        part = {name: Grid(*(part[indices] for part in grid)) for name, grid in grids[0].items()}
        masking = MaskBins(self.config.n_bins, self.config.mask_rate, self.config.modality_rate)
        masked = masking(part, Draws(self.config.seed, torch.from_numpy(indices)))
        with torch.no_grad():
            outputs = self.module(masked.inputs, sample[0])
        fit_heads(self.module, outputs, masked)

    # ---- results --------------------------------------------------------------------------------------------------

    def get_feature_embedding(self, modality: str | None = None) -> pd.DataFrame:
        """Return the learned embedding of each gene, which all modalities share.

        Parameters
        ----------
        modality
            Whose genes; None for all on the axis.

        Returns
        -------
        pandas.DataFrame
            (g, gene_width) float32, with the names of the genes in the order of the axis.

        Raises
        ------
        ValueError
            If the modality is not one of the model's.
        """
        genes = pd.Index(self.derived.genes)
        weight_gk = self.module.embedding.features.weight[: len(genes)].detach().cpu().numpy()
        table = pd.DataFrame(weight_gk.copy(), index=genes)
        if modality is None:
            return table
        own = self.adata_manager.modalities[self._asked_modality(modality)]["vocabulary"]
        return table[genes.isin(own)]

    def _decoded_features(self, modality: str) -> np.ndarray:
        vocabulary = pd.Index(self.adata_manager.modalities[modality]["vocabulary"])
        position_g = vocabulary.get_indexer(self.derived.genes)
        return position_g[position_g >= 0]

    def _expected(self, batch: Batch, modality: str) -> Tensor:
        assert isinstance(self.parts.tokenizer, AxisBins)
        bins = self.parts.tokenizer
        own_g = pd.Index(self.derived.genes).isin(self.adata_manager.modalities[modality]["vocabulary"])
        reading = self.module(bins(batch), batch).token_logits[modality]
        at_ng = torch.from_numpy(own_g).to(batch.indices.device).expand(len(batch.indices), -1)
        fraction_tb = reading.logits(at_ng).float()[:, : bins.n_bins].softmax(1)
        scaled_ng = (fraction_tb @ bins.centres()).view(len(batch.indices), int(own_g.sum()))
        return bins.unscaled(modality, scaled_ng, self._depth(batch, modality))

    def _depth(self, batch: Batch, modality: str) -> Tensor | None:
        """Return the (n,) depth of each observation's counts, the median of the training data where it has none."""
        if modality not in self.derived.depths:
            return None
        assert isinstance(self.parts.tokenizer, AxisBins)
        depth_n = self.parts.tokenizer.depth(modality, batch)
        return torch.where(depth_n > 0, depth_n, torch.full_like(depth_n, self.derived.depths[modality]))


def _genes(vocabularies: dict[str, list[str]], axis: str) -> list[str]:
    """Return the genes of the axis, in the order of the first modality, then of the next ones.

    Raises
    ------
    ValueError
        If there is none.
    """
    union = list(dict.fromkeys(gene for vocabulary in vocabularies.values() for gene in vocabulary))
    shared = set.intersection(*(set(vocabulary) for vocabulary in vocabularies.values()))
    found = "; ".join(f"{named(vocabulary[:2])} of {name}" for name, vocabulary in vocabularies.items())
    remedy = "name features by gene, as omicsmlm.pp.aggregate_methylation does"
    if axis == "intersection" and not shared:
        raise value_error("modalities", "genes that all of them have", found, f'{remedy}, or pass axis="union"')
    if not shared:
        logger.warning("MOJO: the modalities have no gene in common (%s); %s.", found, remedy)
    return [gene for gene in union if gene in shared] if axis == "intersection" else union


def _profile(values: Any) -> list[float]:
    """Return each feature's fraction of all counts."""
    sums_g = np.asarray(values.sum(0), dtype=np.float64).ravel()
    return [float(f"{fraction:.6g}") for fraction in sums_g / max(sums_g.sum(), 1.0)]
