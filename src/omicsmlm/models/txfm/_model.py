"""TxFM: a masked autoencoder of RNA counts (Kenyon-Dean et al. 2026)."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from omicsmlm._checks import check_choice, check_switch, named, value_error
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch, Grid, Parts
from omicsmlm.data import stored_values
from omicsmlm.masking import MaskAllBut
from omicsmlm.models.base import FineTunedModel, FormerFields, ImputingModel
from omicsmlm.objectives import CountReconstruction, expected_log_counts, rectified_tanh_inverse
from omicsmlm.tokenizers import LogCounts, expected_fractions
from omicsmlm.training import Optimisation

from ._config import BETAS, EPSILON, FORMER_CONFIG, TxFMConfig, TxFMDerived
from ._initialization import gene_components, initialize
from ._module import TxFMModule

COMPONENT_CELLS = 3000
"""Cells that the components are taken from, as many of each data set where it has them; drawn at random where there are more."""
MIN_LOGIT = 0.1
"""Initial logit of genes that are hardly ever detected: below 0 no gradient would reach them."""
MAX_FRACTION = 0.99
"""Largest initial value of a gene, as a fraction of log(1 + L): at 1 the inverse of tanh is infinite."""
MIN_GENE_FRACTION = 1e-8
"""Least initial fraction of all counts of a gene, for a finite logarithm: one count in 10⁸, fewer than data sets here can show."""
NO_STEP_LIMIT = 2**62
"""Limit of the warm-up in steps, beyond any training: what remains is :class:`Optimisation`'s tenth of the steps, the paper's."""
N_PROCESSED = {"encoder": 32, "decoder": 256}
"""Principal components of the embeddings of genes after the paper's post-processing."""


class TxFM(ImputingModel[TxFMModule, TxFMConfig, TxFMDerived], FineTunedModel[TxFMModule, TxFMConfig, TxFMDerived]):
    """Masked autoencoder of RNA counts: some genes of a cell are visible, zeros among them, and all are reconstructed.

    Each visible gene is a token of the gene's embedding with its log count beside it. A transformer computes from them the
    state of one more token, the cell's embedding, from which a decoder predicts the counts of every gene. See ``docs/txfm.md``.

    Parameters
    ----------
    data
        AnnData of raw RNA counts, or a MuData whose RNA ``setup_mudata(modalities=["rna"])`` has named. An object of several
        data sets (:func:`omicsmlm.datasets.read_many`) says which genes each of them measured: others are neither visible nor
        part of the loss.
    config
        Hyper-parameters; None for defaults that train on a laptop. :meth:`TxFMConfig.B` has the published sizes.
    batch_key
        Column of ``obs`` with the batch; TxFM registers it, and does not use it.

    Raises
    ------
    ValueError
        If the object has other values than counts of one modality.

    Examples
    --------
    >>> import omicsmlm
    >>> adata = omicsmlm.datasets.simulate_rna(100, 60)
    >>> model = omicsmlm.TxFM(adata)
    >>> model.train(max_epochs=1, progress_bar=False)
    >>> adata.obsm["X_txfm"].shape
    (100, 64)
    """

    embedding_key: ClassVar[str] = "X_txfm"
    config_class: ClassVar[type] = TxFMConfig
    derived_class: ClassVar[type] = TxFMDerived
    former_config: ClassVar[FormerFields] = FORMER_CONFIG
    former_derived: ClassVar[FormerFields] = FormerFields(renamed={"shares": "fractions"})

    def __init__(
        self, data: Any, config: TxFMConfig | None = None, *, batch_key: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(data, config, batch_key=batch_key)

    @property
    def optimisation(self) -> Optimisation:
        """Settings of AdamW."""
        c = self.config
        return Optimisation(
            learning_rate=c.learning_rate,
            betas=BETAS,
            epsilon=EPSILON,
            weight_decay=c.weight_decay,
            n_warmup_steps=NO_STEP_LIMIT,
            averaging=c.averaging,
        )

    # ---- parts ------------------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return next(iter(self.adata_manager.modalities))

    @property
    def _counts(self) -> LogCounts:
        assert isinstance(self.parts.tokenizer, LogCounts)
        return self.parts.tokenizer

    def _derive(self, sample: Sequence[Batch]) -> TxFMDerived:
        states = self.adata_manager.modalities
        if [state["kind"] for state in states.values()] != ["counts"]:
            found = named(f"{name} ({state['kind']})" for name, state in states.items())
            remedy = 'name the one that holds RNA: TxFM.setup_mudata(mdata, modalities=["rna"])'
            raise value_error("modalities", "one modality of raw counts", found, remedy)
        counts_ng = stored_values(sample, self._name, len(states[self._name]["vocabulary"]))
        measured, panel_n = self._panels(sample)
        fractions = _rounded(expected_fractions(counts_ng, measured, panel_n))
        if self.config.visible_genes == "uniform":
            return TxFMDerived(fractions=fractions)
        n_cells_g = sum((panel_n == s).sum() * measured_g for s, measured_g in enumerate(measured))
        detected_g = np.asarray((counts_ng > 0).sum(0)).ravel() / np.maximum(n_cells_g, 1)
        return TxFMDerived(fractions=fractions, frequencies=_rounded(detected_g))

    def _panels(self, sample: Sequence[Batch]) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the genes that each data set measured, bool, and the data set of each observation, -1 where it has no RNA."""
        first, name = sample[0], self._name
        if name not in first.panels:
            present_n = torch.cat([batch.present[name] for batch in sample]).numpy()
            return [first.measured[name].numpy()], np.where(present_n, 0, -1)
        panel_n = torch.cat([batch.panels[name].of_obs for batch in sample]).numpy()
        return list(first.panels[name].measured.numpy()), panel_n

    def _assemble(self, derived: TxFMDerived) -> Parts:
        c, name, fraction_g = self.config, self._name, torch.tensor(derived.fractions)
        weights = None if derived.frequencies is None else {name: torch.tensor(derived.frequencies)}
        return Parts(
            tokenizer=LogCounts(name, fraction_g, c.library, c.library_size),
            masking=MaskAllBut(c.n_visible_of, weights),
            module=TxFMModule(name, len(fraction_g), c),
            objective=CountReconstruction(name, c.loss, c.activation, c.library_size),
        )

    def _initialize(self, sample: Sequence[Batch]) -> None:
        c, module = self.config, self.module
        module.decoder.initialize(self._mean_logits(sample))
        if module.fit is None:
            return
        grid, indices = self._component_cells(sample)
        panel_n = self._panels(sample)[1][indices]
        initialize(module, gene_components(grid.values.numpy(), grid.visible.numpy(), panel_n, c.width - 1, c.seed))

    def _component_cells(self, sample: Sequence[Batch]) -> tuple[Grid, np.ndarray]:
        """Draw some cells that have RNA: their grid, and their positions in the sample."""
        panel_n = self._panels(sample)[1]
        most = max(1, COMPONENT_CELLS // max(1, len(np.unique(panel_n[panel_n >= 0]))))
        drawn = np.random.default_rng(self.config.seed).permutation(len(panel_n))
        own = [drawn[panel_n[drawn] == panel][:most] for panel in np.unique(panel_n) if panel >= 0]
        indices = np.sort(np.concatenate(own)) if own else drawn[:0]
        parts, first = [], 0
        for batch in sample:
            chosen = torch.from_numpy(indices[(indices >= first) & (indices < first + len(batch.indices))] - first)
            parts.append([part[chosen] for part in self._counts(batch)[self._name]])
            first += len(batch.indices)
        return Grid(*(torch.cat(part) for part in zip(*parts, strict=True))), indices

    def _mean_logits(self, sample: Sequence[Batch]) -> Tensor:
        """Return the (g,) logits of the mean profile, log(1 + mean count), where a decoder that ignores the cell is best."""
        c = self.config
        sum_g, n_g = torch.zeros(2, len(self.derived.fractions), dtype=torch.float64)
        for batch in sample:
            grid = self._counts(batch)[self._name]
            sum_g += grid.values.double().expm1().sum(0)
            n_g += grid.visible.sum(0)
        mean_g = sum_g / n_g.clamp(min=1)
        if c.activation == "softmax":
            return (mean_g / mean_g.sum().clamp(min=1e-12)).clamp(min=MIN_GENE_FRACTION).log().float()
        value_g = mean_g.log1p().clamp(max=MAX_FRACTION * np.log1p(c.library_size))
        logit_g = rectified_tanh_inverse(value_g, c.library_size) if c.activation == "rectified tanh" else value_g
        return logit_g.clamp(min=MIN_LOGIT).float()

    # ---- results ----------------------------------------------------------------------------------------------------

    @in_own_surroundings
    def get_feature_embedding(
        self,
        modality: str | None = None,
        *,
        which: Literal["encoder", "decoder"] = "decoder",
        processed: bool = False,
    ) -> pd.DataFrame:
        """Return the learned embedding of each gene; genes that vary together have a large cosine, of either sign.

        Parameters
        ----------
        modality
            The one modality; may be left out.
        which
            "encoder": the embedding of the gene in its token; if these started as components, each dimension is scaled by how
            far its component stood out of noise (ours: :meth:`omicsmlm.nn.ComponentFit.excess_k`). "decoder": the weights of
            its logit.
        processed
            Whether to process them as the paper does instead: each dimension standardised over genes, then the leading
            principal components, 32 of the encoder and 256 of the decoder, or as many as there are.

        Returns
        -------
        pandas.DataFrame
            (n_vars, width - 1) float32 of the encoder, (n_vars, width) of the decoder, fewer columns if processed; with the
            names of the genes.

        Raises
        ------
        ValueError
            If the modality is not the model's, or there is no such embedding.
        """
        name = self._asked_modality(modality)
        check_choice("which", which, N_PROCESSED)
        check_switch("processed", processed)
        weight = self.module.tokens.features.weight if which == "encoder" else self.module.decoder.out.weight
        table_gd = weight.detach().cpu().numpy().copy()
        if processed:
            table_gd = _processed(table_gd, N_PROCESSED[which])
        elif which == "encoder" and self.module.fit is not None:
            table_gd *= self.module.fit.excess_k().cpu().numpy()
        return pd.DataFrame(table_gd, index=self.adata_manager.modalities[name]["vocabulary"])

    def _decoded_features(self, modality: str) -> np.ndarray:
        return np.arange(len(self.derived.fractions))

    def _expected(self, batch: Batch, modality: str) -> Tensor:
        c, views = self.config, self._counts(batch)
        logits_ng = self.module.decoder(self.module.encode(views).mean).float()
        everything_ng = torch.ones_like(logits_ng, dtype=torch.bool)
        log_ng = expected_log_counts(c.activation, logits_ng, everything_ng, c.library_size)
        return log_ng.expm1() * (self._counts.depth(batch) / c.library_size)[:, None]


def _rounded(numbers_g: np.ndarray) -> list[float]:
    """Return numbers with the six digits that are saved, so that a loaded model has the same."""
    return [float(f"{number:.6g}") for number in numbers_g]


def _processed(table_gd: np.ndarray, n_components: int) -> np.ndarray:
    """Return the scores of the leading principal components of the standardised columns."""
    x_gd = table_gd.astype(np.float64) - table_gd.mean(0)
    x_gd /= np.maximum(x_gd.std(0), 1e-12)
    turned_gk, strength_k, _ = np.linalg.svd(x_gd, full_matrices=False)
    return (turned_gk * strength_k)[:, :n_components].astype(np.float32)
