"""MOJO: masked modelling of bulk RNA-seq and DNA methylation on one axis of genes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch

from omicsmlm._draws import Draws
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch, Grid, Kind, Masking, Objective, Parts
from omicsmlm.masking import MaskBins, WithModalitySubsets
from omicsmlm.models.base import FineTunedModel, FormerFields
from omicsmlm.objectives import BinCrossEntropy, BinsAndValues
from omicsmlm.tokenizers import AxisBins
from omicsmlm.training import Optimisation

from ._axis import on_axis
from ._config import FORMER_CONFIG, N_WARMUP_STEPS, TEMPERATURE, WEIGHT_DECAY, MOJOConfig
from ._derived import MOJODerived, derived_from
from ._gene_embedding import checked_gene_embedding, copy_gene_embedding
from ._imputation import BinImputingModel
from ._initialization import fit_heads, initialize, initialize_row, set_values
from ._module import MOJOModule
from ._published import OMICS, Published, load_published, published_derived, read_published

logger = logging.getLogger(__name__)

READOUT_SAMPLES = 10_000
"""Most samples that the readout of the embedding is fitted to; a random choice where there are more."""
STEPS_FRACTION = 3 / 14
"""Of the steps of other families, so 150 for a few thousand samples: the state starts at components, and more steps fit noise."""
MAX_STATE_ELEMENTS = 2**26
"""Elements of a convolution's (n, l, d) output up to which observations are embedded together: 0.25 GiB in float32."""


class MOJO(BinImputingModel, FineTunedModel[MOJOModule, MOJOConfig, MOJODerived]):
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
    gene_embedding
        Table, (genes, ``gene_width``), of embeddings that the genes start with, say Gene2Vec's; matched by name. Genes that it
        lacks start as without it.

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
    _is_pretraining: bool = False

    def __init__(
        self,
        data: Any,
        config: MOJOConfig | None = None,
        *,
        batch_key: str | Sequence[str] | None = None,
        gene_embedding: pd.DataFrame | None = None,
    ) -> None:
        self._gene_embedding = checked_gene_embedding(gene_embedding, config)
        super().__init__(data, config, batch_key=batch_key)
        del self._gene_embedding

    @classmethod
    @in_own_surroundings
    def from_published(
        cls,
        directory: str | Path,
        data: Any,
        genes: Sequence[str],
        *,
        modalities: Mapping[str, str] | None = None,
        batch_key: str | Sequence[str] | None = None,
    ) -> Self:
        """Return a model with the authors' weights, which they publish under a non-commercial licence (CC BY-NC-SA 4.0).

        Nothing is downloaded. The parameters are published as a pickle, which may run code when it is read, so that this
        function does not read it: write them to ``params.npz`` where you trust them, as its error message says.

        Parameters
        ----------
        directory
            Folder with the authors' ``config.json``, and ``params.npz`` or ``params.safetensors``.
        data
            As for :class:`MOJO`: log10(1 + TPM), see :func:`omicsmlm.pp.log_tpm`, and beta values. Genes that it lacks are
            not visible; those that the weights do not know are left out.
        genes
            Names of the genes of the weights, in their order, as the authors publish them, and as `data` names them.
        modalities
            The authors' name of each modality; None for "rnaseq" of "rna" and "methylation" of "methylation".
        batch_key
            As for :class:`MOJO`.

        Returns
        -------
        MOJO
            It embeds as it is; ``train()`` trains it on.

        Raises
        ------
        ValueError
            If a file, a parameter or its shape is not that of the published network, or no gene is shared.
        """
        published = read_published(directory)
        with cls.leaving_as_it_was(data):
            model = cls(data, published.config, batch_key=batch_key)
            model._become(published, genes, dict(OMICS if modalities is None else modalities))
        return model

    def _become(self, published: Published, genes: Sequence[str], omics: Mapping[str, str]) -> None:
        """Take the genes, scales and weights that were published in the place of those of the object."""
        states = self.adata_manager.modalities
        self.derived = published_derived(published, genes, states, omics)
        self._build()
        load_published(self.module, published, [omics[name] for name in states])
        self.is_trained_ = True

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
        return derived_from(sample, self.adata_manager.modalities, self.config)

    def _assemble(self, derived: MOJODerived) -> Parts:
        c, states = self.config, self.adata_manager.modalities
        kinds: dict[str, Kind] = {name: state["kind"] for name, state in states.items()}
        tokenizer = AxisBins(
            kinds,
            c.n_bins,
            len(derived.genes),
            {name: torch.from_numpy(column_v) for name, column_v in self._columns(derived).items()},
            derived.scales,
            {name: torch.tensor(profile) for name, profile in derived.profiles.items()},
        )
        masking = self._masking()
        module = MOJOModule(list(kinds), len(derived.genes), c)
        bins = BinCrossEntropy(
            c.consistency,
            TEMPERATURE,
            masking.most_evaluated,
            weight=c.bin_weight,
            smoothing=c.smoothing,
            n_bins=c.n_bins,
        )
        objective: Objective = bins if module.row is None else BinsAndValues(bins, module.row.values, c.value_weight)
        of_views: Masking = WithModalitySubsets(masking) if c.consistency else masking
        return Parts(tokenizer=tokenizer, masking=of_views, module=module, objective=objective)

    def _columns(self, derived: MOJODerived) -> dict[str, np.ndarray]:
        """Return the place on the axis of each feature of a modality, (v,), -1 for none."""
        axis, states = pd.Index(derived.genes), self.adata_manager.modalities
        return {name: axis.get_indexer(state["vocabulary"]) for name, state in states.items()}

    def _masking(self) -> MaskBins:
        return MaskBins(self.config.n_bins, self.config.mask_rate, self.config.modality_rate)

    def _initialize(self, sample: Sequence[Batch]) -> None:
        bins, module = self.parts.tokenizer, self.module
        assert isinstance(bins, AxisBins)
        is_plain = self.config.start == "random"
        if is_plain and module.row is None:
            self._start_genes()
            return
        grids = [bins(batch) for batch in sample]
        if module.row is not None:
            n_genes, columns = len(self.derived.genes), self._columns(self.derived)
            set_values(
                module, grids, {n: on_axis(bins.bin_values(n), column_v, n_genes) for n, column_v in columns.items()}
            )
        if not is_plain:
            initialize(module, grids, bins.centres(), self.config.seed)
            if module.row is not None:
                initialize_row(module.row, grids, self.config.seed)
        self._start_genes()
        if not is_plain:
            self._fit_heads(sample[0], grids[0])
        if module.row is not None:
            self._fit_readout(np.concatenate([batch.indices.numpy() for batch in sample]))

    def _start_genes(self) -> None:
        if self._gene_embedding is not None:
            weight_gk = self.module.embedding.features.get_parameter("weight")
            copy_gene_embedding(weight_gk, self.derived.genes, self._gene_embedding)

    def _fit_heads(self, batch: Batch, grids: dict[str, Grid]) -> None:
        """Fit the heads to some masked samples."""
        chosen = np.random.default_rng(self.config.seed).permutation(len(batch.indices))[: self.embedding_batch_size]
        part = {name: Grid(*(tensor[chosen] for tensor in grid)) for name, grid in grids.items()}
        masked = self._masking()(part, Draws(self.config.seed, torch.from_numpy(chosen)))
        with torch.no_grad():
            outputs = self.module(masked.inputs, batch)
        fit_heads(self.module, outputs, masked)

    def _fit_readout(self, indices: np.ndarray) -> None:
        """Fit the readout to the states of some samples, unmasked."""
        row = self.module.row
        assert row is not None
        chosen = np.sort(np.random.default_rng(self.config.seed).permutation(indices)[:READOUT_SAMPLES])
        state_nk, _ = self.map_observations(
            None, chosen, None, row.n_latent, lambda batch: self.module.row_state(self.parts.tokenizer(batch))
        )
        row.fit_readout(torch.from_numpy(state_nk), self.config.whitening)

    def _prepare_training(self, train_indices: np.ndarray) -> None:
        self._is_pretraining = True

    def finish_training(self, train_indices: np.ndarray) -> None:
        """Fit the readout to the samples that were trained on; a head that was tuned with a readout keeps that one."""
        if self.module.row is not None and self._is_pretraining:
            self._fit_readout(train_indices)
        self._is_pretraining = False

    def _sensible_epochs(self, n_obs: int, batch_size: int) -> int:
        return max(1, round(STEPS_FRACTION * super()._sensible_epochs(n_obs, batch_size)))

    # ---- results --------------------------------------------------------------------------------------------------

    @in_own_surroundings
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
