"""IsoFormer: expression of a transcript from its DNA, RNA and protein sequences, any of which may be missing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast, final

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor

from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch, Grid, Masking, Parts
from omicsmlm.data import observation_loader
from omicsmlm.masking import DropModalities
from omicsmlm.models.base import FormerFields, announce, read_model
from omicsmlm.objectives import TargetError
from omicsmlm.tokenizers import TARGETS, TruncatedSequences
from omicsmlm.training import Optimisation

from ._config import FORMER_CONFIG, N_WARMUP_STEPS, WEIGHT_DECAY, IsoFormerConfig
from ._derived import ExpertSet, IsoFormerDerived
from ._expert_weights import fit_weights
from ._experts import Chosen, Fitted, fit_regressions, fit_scores, has_architecture
from ._held_out import Predictions, balanced_weight, targets_of
from ._module import IsoFormerModule
from ._predicting import PredictingModel
from ._published import published_widths
from ._statistics import statistics_of

GRADIENT_LIMIT = 5.0
"""Norm to which gradients are clipped: targets are standardised, and a batch of unusual ones then moves the weights no further."""
AVERAGING = 0.98
"""Decay of the moving average of the weights: over the last 50 steps, of the some hundred that training takes."""


@final
class IsoFormer(PredictingModel):
    """Sequence encoders fused by cross-attention (Garau-Luis et al., arXiv 2406.14150).

    An observation is a transcript (or a gene, or a reporter); its sequences are text in ``.obs``, and the variables are the
    targets: log expression in tissues, NaN where not measured. An observation may lack any of its sequences.

    Parameters
    ----------
    data
        AnnData; registered with the columns "dna" or "promoter", "rna", "cds" or "utr", and "protein" that it has, unless
        :meth:`setup_anndata` was called on it. Where the RNA is a coding sequence, an absent protein is translated from it.
    config
        Hyper-parameters; None for encoders from scratch, which need no download.
    batch_key
        Column of ``obs`` with the batch; IsoFormer registers it, and does not use it.

    Examples
    --------
    >>> import numpy as np, pandas as pd, omicsmlm
    >>> from anndata import AnnData
    >>> rng = np.random.default_rng(0)
    >>> dna = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(40)]
    >>> adata = AnnData(
    ...     rng.random((40, 3)).astype("float32"), obs=pd.DataFrame({"dna": dna}, index=map(str, range(40)))
    ... )
    >>> model = omicsmlm.IsoFormer(adata)
    >>> model.train(max_epochs=1, progress_bar=False)
    >>> model.predict().shape
    (40, 3)
    """

    embedding_key: ClassVar[str] = "X_isoformer"
    config_class: ClassVar[type] = IsoFormerConfig
    derived_class: ClassVar[type] = IsoFormerDerived
    former_config: ClassVar[FormerFields] = FORMER_CONFIG
    _fitted: Fitted | None = None
    """What the regressions predict of training observations, from before the training of the network to its end."""

    def __init__(
        self, data: AnnData, config: IsoFormerConfig | None = None, *, batch_key: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(data, config, batch_key=batch_key)

    # ---- parts ----------------------------------------------------------------------------------------------------

    @property
    def optimisation(self) -> Optimisation:
        """Settings of AdamW."""
        c = self.config
        return Optimisation(
            learning_rate=c.learning_rate,
            weight_decay=WEIGHT_DECAY,
            n_warmup_steps=N_WARMUP_STEPS,
            gradient_limit=GRADIENT_LIMIT,
            averaging=AVERAGING,
        )

    @property
    def embedding_batch_size(self) -> int:
        """Default batch size of embedding and validation: 256, since a sequence has thousands of residues."""
        return 256

    def _derive(self, sample: Sequence[Batch]) -> IsoFormerDerived:
        manager = self.adata_manager
        encoders = {name: self.config.encoder(name) for name in manager.sequences}
        is_whole = "rna" in encoders and has_architecture([batch.sequences["rna"] for batch in sample])
        return IsoFormerDerived(
            sequences=list(encoders),
            vectors={name: statistics_of(sample, name, state["width"]) for name, state in manager.vectors.items()},
            targets=statistics_of(sample, TARGETS, len(manager.modalities[TARGETS]["vocabulary"])),
            widths=published_widths(encoders, sample),
            former_states=False,
            experts=ExpertSet(is_whole, True, True, self._differences_count(is_whole)),
        )

    def _assemble(self, derived: IsoFormerDerived) -> Parts:
        c, (mean_t, scale_t) = self.config, derived.targets
        former = derived.former_states
        truncations = {name: c.encoder(name).truncation(name, former=former) for name in derived.sequences}
        statistics = {name: (found.mean, found.scale) for name, found in derived.vectors.items()}
        widths = {name: len(found.mean) for name, found in derived.vectors.items()}
        return Parts(
            tokenizer=TruncatedSequences(truncations, statistics, mean_t, scale_t),
            masking=DropModalities(c.modality_rate, TARGETS),
            module=IsoFormerModule(
                derived.sequences, widths, derived.widths, len(mean_t), c, former_states=former, experts=derived.experts
            ),
            objective=TargetError(TARGETS),
        )

    def _initialize(self, sample: Sequence[Batch]) -> None:
        fit_scores(self.module, [self.parts.tokenizer(batch) for batch in sample])

    # ---- training -------------------------------------------------------------------------------------------------

    def _sensible_epochs(self, n_rows: int, batch_size: int) -> int:
        """Return the epochs that make 400 steps, but 4 to 15: encoders from scratch soon overfit a few thousand sequences."""
        return min(15, max(4, round(400 * batch_size / n_rows)))

    def fine_tuning_masking(self, rates: tuple[float, float], modality_rate: float) -> Masking:
        """Return a masking that drops sequences and vectors, and masks none of their residues or values, for supervised heads."""
        return DropModalities(modality_rate, TARGETS)

    def _prepare_training(self, train_indices: np.ndarray) -> None:
        self.to_device("cpu")  # where regressions are fitted, and where a training leaves the model
        if self.module.kernels:
            self._fitted = self._fit_regressions(train_indices, {})
            listed = ", ".join(f"{fraction:.3f} by {name}" for name, fraction in self._fitted.explained.items())
            announce(f"IsoFormer: held-out variance that the regressions explain: {listed or 'none'}.")

    def _fit_regressions(self, indices: np.ndarray, chosen: Mapping[str, Chosen]) -> Fitted:
        """Fit the experts beside the network to observations, in place."""
        views, group_n = self._views(indices), torch.from_numpy(self._groups()[indices])
        weight = self._group_weight(targets_of(views, TARGETS), group_n)
        return fit_regressions(self.module, views, TARGETS, group_n, weight, self.config.seed, chosen)

    def _group_weight(self, target: Grid, group_n: Tensor) -> float:
        """Return how often differences within groups count."""
        if not self._differences_count(self.derived.experts.architecture):
            return 0.0
        if self.config.group_weight is not None:
            return self.config.group_weight
        return balanced_weight(target, group_n)

    def _differences_count(self, is_whole: bool) -> bool:
        """Return whether differences within groups count; by default only those of whole transcripts, say of a gene, do."""
        weight = self.config.group_weight
        return self._group_key is not None and (is_whole if weight is None else weight > 0)

    @torch.no_grad()
    def finish_training(self, train_indices: np.ndarray) -> None:
        """Fit the weights of the experts: of the regressions on the training set, of the network on the validation set.

        Then nothing is chosen any more, and the regressions are fitted once more, to the observations of both sets. Their rates
        and penalties stay, as the weights are those of predictions that these have shrunk.
        """
        if cast(np.ndarray | None, self.validation_indices) is None:  # of a head's copy that was not trained here
            return
        self.module.reset_weights()
        if not len(self.validation_indices):
            return
        fitted, self._fitted = self._fitted, None
        if fitted is None and self.module.kernels:
            fitted = self._fit_regressions(train_indices, {})
        views = self._views(self.validation_indices)
        predictions = [self.module.expert_predictions(batch) for batch in views]
        predicted_net, set_n = (torch.cat(parts) for parts in zip(*predictions, strict=True))
        group_n = torch.from_numpy(self._groups()[self.validation_indices])
        validation = Predictions(predicted_net, set_n, targets_of(views, TARGETS), group_n)
        generator = torch.Generator().manual_seed(self.config.seed)
        if fitted is None:
            fit_weights(self.module, None, validation, 0.0, generator)
        else:
            weight = self._group_weight(fitted.crossed.target, fitted.crossed.group_n)
            fit_weights(self.module, fitted.crossed, validation, weight, generator)
            self._fit_regressions(np.sort(np.concatenate([train_indices, self.validation_indices])), fitted.chosen)

    def _views(self, indices: np.ndarray) -> list[dict[str, Any]]:
        loader = observation_loader(self.adata_manager, indices, self.embedding_batch_size)
        return [self.parts.tokenizer(batch) for batch in loader]

    # ---- loading --------------------------------------------------------------------------------------------------

    @classmethod
    @in_own_surroundings
    def load(  # type: ignore[override]
        cls, dir_path: str | Path, adata: AnnData | None = None, *, trust_remote_code: bool = False
    ) -> Self:
        """Return a model that is read from a directory.

        Parameters
        ----------
        dir_path
            Directory that :meth:`save` made.
        adata
            Object to register with it, matched by feature name; None to load the model alone.
        trust_remote_code
            Whether code that comes with the weights of its published encoders may run; that one who made a model trusted
            such code is not asked.

        Raises
        ------
        ValueError
            If the directory is not a whole, unchanged model of this class and of this or an older version.
        """
        return cls.from_saved(read_model(dir_path, cls.__name__), adata, trust_remote_code=trust_remote_code)

    @classmethod
    def _trusting(cls, config: IsoFormerConfig, trust_remote_code: bool) -> IsoFormerConfig:
        encoders = config.encoders.items()
        return replace(config, encoders={n: replace(e, trust_remote_code=trust_remote_code) for n, e in encoders})

    # ---- results -----------------------------------------------------------------------------------------------------

    def _describe(self) -> str:
        manager = self.adata_manager
        parts = [
            f"{s['n_present']} with {n} ({s['key']!r}{_translated(s)})"
            for n, s in {**manager.sequences, **manager.vectors}.items()
        ]
        n_targets = len(manager.modalities[TARGETS]["vocabulary"])
        return f"{self.adata.n_obs} observations, {', '.join(parts)}; {n_targets} targets"


def _translated(state: Mapping[str, Any]) -> str:
    """Return how many proteins are translated, for the log."""
    return f", {state['n_translated']} of them translated" if state.get("n_translated") else ""
