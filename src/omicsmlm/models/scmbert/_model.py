"""ScMBERT: a BERT of variable input for single-cell RNA and ATAC (Chen et al. 2025)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from torch import Tensor

from omicsmlm._checks import named, value_error
from omicsmlm._draws import Draws
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import SPARSE_KINDS, Batch, Kind, Masking, Parts
from omicsmlm.data import batch_codes, name_digests
from omicsmlm.masking import MaskTokens
from omicsmlm.models.base import (
    ACCESSIBILITY_WEIGHT,
    ADVERSARY_WEIGHT,
    KL_WARMUP,
    MOST_ADVERSARY,
    ComponentModel,
    FormerFields,
)
from omicsmlm.nn import Fitting
from omicsmlm.objectives import ClusterAlignment, LatentReconstruction, TokenPrediction, expected_values
from omicsmlm.tokenizers import FeatureGrids, TokenSets, common_features, sample_values, variable_features

from ._config import (
    FEWEST_EPOCHS,
    FORMER_CONFIG,
    MOST_CELLS_TRAINED_ON,
    TRAINING_FRACTION,
    VALUE_WEIGHT,
    ScMBERTConfig,
    ScMBERTDerived,
)
from ._module import ScMBERTModule
from ._token_report import TokenReport


class ScMBERT(ComponentModel[ScMBERTModule, ScMBERTConfig, ScMBERTDerived]):
    """BERT over the non-zero features of a cell, of RNA and of ATAC, each a token of feature, value bin and modality.

    Masks values and predicts their bins (MVP), masks features and predicts their modality (DMP), and reconstructs the whole
    cell from the state of the cell token. See ``docs/scmbert.md`` for what of this is the paper's.

    Parameters
    ----------
    data
        MuData or AnnData with raw counts of RNA, of open regions, of proteins.
    config
        Hyper-parameters; None for the defaults.
    batch_key
        Column of ``obs`` with the batch, or several; None if there is none or if a ``setup_*`` method has named it.
    links
        Genes and the peaks near them: a table with the columns ``gene`` and ``peak``, and ``weight`` where links are not alike, such
        as :func:`omicsmlm.pp.link_peaks` makes. It brings together cells with RNA and cells with ATAC where few have both, or none.

    Raises
    ------
    ValueError
        If a modality has values that are no counts.

    Examples
    --------
    >>> import omicsmlm
    >>> mdata = omicsmlm.datasets.simulate_multiome(200, 50, 80)
    >>> model = omicsmlm.ScMBERT(mdata, batch_key="batch")
    >>> model.train(max_epochs=1, progress_bar=False)
    >>> mdata.obsm["X_scmbert"].shape
    (200, 80)
    """

    embedding_key: ClassVar[str] = "X_scmbert"
    config_class: ClassVar[type] = ScMBERTConfig
    derived_class: ClassVar[type] = ScMBERTDerived
    former_config: ClassVar[FormerFields] = FORMER_CONFIG

    def __init__(
        self,
        data: Any,
        config: ScMBERTConfig | None = None,
        *,
        batch_key: str | Sequence[str] | None = None,
        links: pd.DataFrame | None = None,
    ) -> None:
        super().__init__(data, config, batch_key=batch_key, links=links)

    # ---- results ----------------------------------------------------------------------------------------------------

    @in_own_surroundings
    def get_feature_embedding(self, modality: str | None = None) -> pd.DataFrame:
        """Return the learned embedding of each feature in its token.

        Parameters
        ----------
        modality
            Whose features; may be left out where the model has one modality.

        Returns
        -------
        pandas.DataFrame
            (n_vars, width) float32, with the names of the features.

        Raises
        ------
        ValueError
            If the modality is not one of the model's.
        """
        name = self._asked_modality(modality)
        table_gd = self.module.summary.table(name).detach().cpu().numpy()
        return pd.DataFrame(table_gd, index=self.adata_manager.modalities[name]["vocabulary"])

    @in_own_surroundings
    def evaluate_tokens(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Evaluate how well masked tokens are predicted, beside baselines that need no model.

        Parameters
        ----------
        data
            The object; None for the registered one. Cells that were not trained on tell more.
        indices
            Positions of cells, or one boolean per cell; None for all.
        batch_size
            Cells at a time; None for 1,024.

        Returns
        -------
        pandas.DataFrame
            Index: ``values: <modality>`` and ``modality``. Columns: ``n`` tokens; ``accuracy``; ``majority``, the accuracy of
            always predicting the commonest class; for open against closed regions ``AUROC``, and ``AUROC of popularity``,
            that of the region's frequency in these cells; for the modality ``by bin``, the accuracy of predicting the
            commonest modality of each value bin, and ``by cell``, that of the modality of which the cell has most visible
            tokens.
        """
        report = TokenReport({name: state["kind"] for name, state in self.adata_manager.modalities.items()})
        objective = self.parts.objective
        assert isinstance(objective, TokenPrediction)
        with torch.inference_mode():
            for batch in self.minibatches(data, indices, batch_size):
                masked = self.parts.masking(self.parts.tokenizer(batch), Draws(self.config.seed, batch.indices))
                outputs = self.module(masked.inputs, batch)
                report.add(outputs, masked, objective.masked_bins(masked), self.module.visible_bins(masked.inputs))
        return report.table()

    # ---- parts ------------------------------------------------------------------------------------------------------

    def fine_tuning_masking(self, rates: tuple[float, float], modality_rate: float) -> Masking:
        """Return a masking that drops tokens and modalities and masks nothing else, for supervised heads."""
        c = self.config
        return MaskTokens(rates, modality_rate, 0.0, 0.0, c.max_training_tokens, {})

    def _prepare_training(self, train_indices: np.ndarray) -> None:
        if self._new_batches() and not self.config.cell_weight and not self.derived.added:
            remedy = "call align() to move the new batches, which is all there is to adapt"
            raise value_error(
                "train", "a reference that reconstructs cells (cell_weight above 0)", "one that does not", remedy
            )
        super()._prepare_training(train_indices)

    def _sensible_epochs(self, n_obs: int, batch_size: int) -> int:
        usual = super()._sensible_epochs(n_obs, batch_size)
        if self.is_query:
            return usual
        return max(1, min(round(TRAINING_FRACTION * usual), max(FEWEST_EPOCHS, MOST_CELLS_TRAINED_ON // n_obs)))

    def _derive(self, sample: Sequence[Batch]) -> ScMBERTDerived:
        states = self.adata_manager.modalities
        for name, state in states.items():
            if state["kind"] not in SPARSE_KINDS:
                remedy = "leave it out, or use OmicsMLM"
                raise value_error(
                    name, f"counts ({named(sorted(SPARSE_KINDS))})", f"values of kind {state['kind']!r}", remedy
                )
        lengths = [torch.stack([t.offsets.diff() for t in batch.tokens.values()]).sum(0).max() for batch in sample]
        longest = max(int(length) for length in lengths)
        is_exact = min(longest, self.config.max_tokens) <= self.config.exact_tokens
        return ScMBERTDerived(**vars(self._component_derived(sample)), is_exact=is_exact)

    def _select_features(
        self, kind: Kind, values: sparse.csr_matrix, groups_n: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        if kind == "accessibility":
            return common_features(values, self.config.n_common), values.getnnz(1)
        selected = variable_features(values, self.config.n_variable, groups_n)
        return selected, np.asarray(values[:, selected].sum(1)).ravel()

    def _assemble(self, derived: ScMBERTDerived) -> Parts:
        c, states = self.config, self.adata_manager.modalities
        kinds: dict[str, Kind] = {name: state["kind"] for name, state in states.items()}
        selected = _selected(derived)
        profiles = {name: torch.tensor(profile) for name, profile in derived.profiles.items()}
        n_categories = [len(categories) for categories in self.adata_manager.covariates.values()]
        n_fixed, n_known = derived.n_fixed_batches, derived.n_known_batches
        module = ScMBERTModule(
            kinds,
            {name: len(state["vocabulary"]) for name, state in states.items()},
            selected,
            n_categories,
            c,
            is_exact=derived.is_exact,
            n_fixed=n_fixed,
            n_reference=derived.n_reference,
            folds=derived.folds,
        )
        module.set_up_moments(derived.matched)
        if n_known is not None:
            module.adapt_only(n_known, derived.added)
        tokenizer = TokenSets(profiles, c.max_tokens, c.seed, FeatureGrids(kinds, selected, profiles))
        cell = self._cell(kinds, n_categories[0] if n_categories else 1, derived)
        return Parts(
            tokenizer=tokenizer,
            masking=MaskTokens(
                c.drop_rates,
                c.modality_rate,
                c.value_rate,
                c.identity_rate,
                c.max_training_tokens,
                {name: module.summary.commonness for name, kind in kinds.items() if kind == "accessibility"},
                identity_in_sight=c.identity_visible,
                value_in_sight=c.identity_value_visible,
            ),
            module=module,
            objective=TokenPrediction(
                module.bins.bins_within,
                VALUE_WEIGHT,
                c.modality_weight,
                tokenizer.grids,
                cell if c.cell_weight else None,
            ),
            memory=cell if c.cell_weight and cell.alignment_losses else None,
        )

    def _cell(self, kinds: dict[str, Kind], n_batches: int, derived: ScMBERTDerived) -> LatentReconstruction:
        """Return the objective of the cell's embedding."""
        c = self.config
        weights = {name: ACCESSIBILITY_WEIGHT if kind == "accessibility" else 1.0 for name, kind in kinds.items()}
        is_aligned = c.alignment_weight > 0 and derived.n_known_batches is None
        whole_cells = self._targets(derived, ClusterAlignment())
        return LatentReconstruction(
            kinds,
            {name: c.cell_weight * weight for name, weight in weights.items()},
            kl_weight=c.kl_weight,
            kl_warmup=KL_WARMUP,
            adversary_weight=min(ADVERSARY_WEIGHT * (n_batches - 1), MOST_ADVERSARY),
            alignment_losses={"alignment": (whole_cells, c.alignment_weight)} if is_aligned else {},
        )

    def _initialize(self, sample: Sequence[Batch]) -> None:
        tokenizer = self.parts.tokenizer
        assert isinstance(tokenizer, TokenSets)
        values = {}
        for name in self.module.kinds:
            self._stage(f"gathering {name}")
            values[name] = sample_values(tokenizer.grids, name, sample)[0]
        sets = [tokenizer(batch) for batch in sample]
        links = self.derived.links.between(self.derived.selected)
        shrinks = self.config.shrunken_estimates
        fitting = Fitting(self.config.seed, batch_codes(sample), links=links, shrinks=shrinks)
        self.module.initialize(sets, values, fitting, name_digests(sample), self.config, self._stage)

    def _initialize_added(self, added: list[str]) -> None:
        tokenizer, sample = self.parts.tokenizer, self._sample()
        assert isinstance(tokenizer, TokenSets)
        sets, grids = [tokenizer(batch) for batch in sample], [tokenizer.grids(batch) for batch in sample]
        chosen = {name: positions for name, positions in _selected(self.derived).items() if name in added}
        self.module.initialize_added(sets, grids, batch_codes(sample), chosen, self.config.seed)

    def _expected(self, batch: Batch, modality: str) -> Tensor:
        tokenizer = self.parts.tokenizer
        assert isinstance(tokenizer, TokenSets)
        head = self.module(tokenizer(batch), batch).decoded[modality]
        grid = tokenizer.grids(batch)[modality]
        return expected_values(self.module.kinds[modality], head, grid, self.derived.depths[modality])


def _selected(derived: ScMBERTDerived) -> dict[str, Tensor]:
    """Return the positions in the vocabulary of the features that are reconstructed, by modality."""
    return {name: torch.tensor(positions) for name, positions in derived.selected.items()}
