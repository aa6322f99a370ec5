"""How a classifier is trained: its head, linear models beside it, or its encoder; and how it is calibrated."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from omicsmlm._surroundings import in_own_surroundings
from omicsmlm.data import category_codes, find_column, label_codes, label_names
from omicsmlm.models.base import Stages
from omicsmlm.models.heads import ObservationFeatures, TrainerSettings
from omicsmlm.nn import ComponentLogits

from ._component_models import Folds, batch_folds, fit_component_models, principal_directions
from ._derived import CANDIDATE_INDEX
from ._fine_tuning import Split, fine_tune, training_mask, tuned_predictions
from ._head_fit import HeadFit, HeldOut, calibrate_head, fit_head
from ._linear_ensemble import FEWEST_OBSERVATIONS, SubsetData, fit_linear_ensemble
from ._linear_model import LabelData, held_out_novelty, label_folds, scaled
from ._modality_subsets import subset_embeddings, subset_features
from ._prediction import LabelPredictor

logger = logging.getLogger(__name__)


class LabelTraining(LabelPredictor):
    """Abstract: a classifier that is trained; its parts are those of :class:`ClassifierState`."""

    @in_own_surroundings
    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        batch_size: int = 128,
        progress_bar: bool = True,
        **trainer_options: Any,
    ) -> None:
        """Fit the head, fine-tune if the config says so, and calibrate on held-out observations.

        The head learns from each observation whole and with each of its modalities alone, so that it can predict
        observations that lack some. Its regularisation is chosen on held-out observations.

        Parameters
        ----------
        max_epochs, accelerator, devices, batch_size, progress_bar, **trainer_options
            Of fine-tuning, as in :meth:`OmicsModel.train`; a frozen encoder needs none of them.

        Raises
        ------
        ValueError
            If the classifier was loaded without an object, or no label has enough observations to hold some out.
        """
        settings = TrainerSettings(max_epochs, batch_size, accelerator, devices, progress_bar, trainer_options)
        names = label_names(self._registered(), self.labels_key, self.unlabeled_category)
        code_n = label_codes(names, self.labels)
        indices = np.flatnonzero(code_n >= 0)
        with self._as_it_was_unless_trained():
            self._fit(indices, code_n, settings)
        self.is_trained = True
        logger.info(
            "Classifier: %d labels from %d observations%s; held out: %s.",
            len(self.labels),
            len(indices),
            self._predicted_by(),
            ", ".join(f"{name} {value:.3f}" for name, value in self.held_out.items()),
        )

    def _fit(self, indices: np.ndarray, code_n: np.ndarray, settings: TrainerSettings) -> None:
        """Fit head and linear models, or fine-tune, on the observations that have labels."""
        self.module.head.cpu()
        fold_n = label_folds(code_n[indices], self._batches(indices), self.config.n_folds, self.config.seed)
        self.features, self.linear_models, self.candidates = None, None, None
        if self.config.tuning != "frozen":
            self._fine_tune(indices, code_n, fold_n, settings)
            return
        kinds = [state["kind"] for state in self.model.adata_manager.modalities.values()]
        has_linear = self.config.has_linear_models(kinds, len(indices))
        has_components = bool(kinds) and not has_linear and self.config.has_component_models(len(indices))
        n_stages = 1 + (has_linear or has_components)
        with Stages("Classifier", n_stages, enabled=settings.progress_bar, redraws=True) as stages:
            stages("head on the embedding")
            fitted = self._fit_head(indices, code_n, fold_n)
            if has_linear:
                stages("linear models of the features")
                self._fit_linear_models(indices, code_n, fold_n)
            elif has_components:
                stages("regressions on components")
                self._fit_component_models(indices, code_n, fold_n, fitted)

    def _predicted_by(self) -> str:
        """Say which candidate predicts, and what the embedding alone would have given, if regressions stand beside it."""
        if self.candidates is None or not isinstance(self.linear_models, ComponentLogits):
            return ""
        table = self.candidates.droplevel(0)
        chosen, embedding = table.index[table["chosen"]][0], table.loc["embedding"]
        return (
            f" by {chosen} (accuracy {table.loc[chosen, 'accuracy']:.3f}, macro F1 {table.loc[chosen, 'macro F1']:.3f}; "
            f"the embedding alone {embedding['accuracy']:.3f}, {embedding['macro F1']:.3f})"
        )

    def _fit_head(self, indices: np.ndarray, code_n: np.ndarray, fold_n: np.ndarray) -> HeadFit:
        """Fit the head to the embedding as it is."""
        z_nd, position_n = subset_embeddings(self.model, indices)
        data = LabelData(z_nd, code_n[indices][position_n], fold_n[position_n])
        fitted = fit_head(self.module.head, data, position_n, self.config)
        self._series = {"strength": list(fitted.losses), "held_out_loss": list(fitted.losses.values())}
        self._calibrate(fitted.held_out)
        return fitted

    def _fit_component_models(
        self, indices: np.ndarray, code_n: np.ndarray, fold_n: np.ndarray, fitted: HeadFit
    ) -> None:
        """Fit regressions on components beside the head, choose among them, and calibrate on held-out observations."""
        features = ObservationFeatures.of(self.model, indices)
        x_ng, subset_n = subset_features(features, self.model, indices)
        z_nd, position_n = subset_embeddings(self.model, indices)
        n_labels_whole = len(np.unique(code_n[indices][subset_n[: len(indices)] == 2 ** len(features.names) - 1]))
        if n_labels_whole < len(self.labels):
            return  # regressions on observations with all modalities would not know every label
        choice_n = batch_folds(fold_n, self._batches(indices))
        labelled = LabelData(scaled(self.module.head, z_nd), code_n[indices][position_n], fold_n[position_n])
        whole_ng = x_ng[subset_n == 2 ** len(features.names) - 1]
        directions_gk = principal_directions(whole_ng, features.spans, self.config.seed)
        data, folds = SubsetData(x_ng, subset_n, *labelled), Folds(labelled.fold_n, choice_n[position_n])
        found = fit_component_models(self.module.head, fitted, data, folds, directions_gk, self.config)
        self.features, self.linear_models = features, found.logits
        view = " + ".join(features.names)
        self.candidates = pd.concat({view: found.table}, names=CANDIDATE_INDEX)
        is_mean = bool(found.table["chosen"].iloc[-1])  # of calibrated predictions, which is not sharpened again
        self._calibrate(fitted.held_out._replace(logits_nc=found.held_out_nc), is_calibrated=is_mean)

    def _fit_linear_models(self, indices: np.ndarray, code_n: np.ndarray, fold_n: np.ndarray) -> None:
        """Fit linear models of the features beside the head, and calibrate on what they predict fold by fold."""
        features = ObservationFeatures.of(self.model, indices)
        z_nd, position_n = subset_embeddings(self.model, indices)
        x_ng, subset_n = subset_features(features, self.model, indices)
        if np.bincount(subset_n).max() < FEWEST_OBSERVATIONS:  # too few to choose by: the head predicts alone
            return
        self.features = features
        labelled = LabelData(scaled(self.module.head, z_nd), code_n[indices][position_n], fold_n[position_n])
        fitted = fit_linear_ensemble(SubsetData(x_ng, subset_n, *labelled), len(self.features.names), len(self.labels))
        self.linear_models = fitted.logits
        names = fitted.table["subset"].map(self.features.subset_name)
        table = fitted.table.drop(columns="subset").assign(**{CANDIDATE_INDEX[0]: names})
        self.candidates = table.set_index(CANDIDATE_INDEX)
        novelty_n = held_out_novelty(self.module.head, labelled)
        self._calibrate(HeldOut(fitted.held_out_nc, novelty_n, labelled.label_n))

    def _fine_tune(
        self, indices: np.ndarray, code_n: np.ndarray, fold_n: np.ndarray, settings: TrainerSettings
    ) -> None:
        """Fit the head to the observations that are not held out, and train the encoder with it."""
        trained_n = training_mask(code_n[indices], self.config.held_out, self.config.seed)
        split, label_n = Split(indices[trained_n], indices[~trained_n]), code_n.copy()
        with Stages("Classifier", 1, enabled=settings.progress_bar, redraws=True) as stages:
            stages("head on the embedding")
            fitted = self._fit_head(split.train, code_n, fold_n[trained_n])
        label_n[split.train] = fitted.label_n[: len(split.train)]  # the first copy of each observation
        self._series |= fine_tune(self.model, self.module, split, label_n, self.config, settings)
        self.model.finish_training(indices)
        self._calibrate(tuned_predictions(self.model, self.module, split, label_n))

    def _calibrate(self, held_out: HeldOut, *, is_calibrated: bool = False) -> None:
        """Set temperature and threshold from held-out observations, and keep how good these predictions were."""
        rate = self.config.false_rejection
        found = calibrate_head(self.module.head, held_out, rate, is_calibrated=is_calibrated)
        self.label_noise, self.held_out = found

    def _batch_column(self) -> pd.Series | None:
        """Return the batch of each observation of the object, if the model has batches."""
        key = next(iter(self.model.adata_manager.covariates), None)
        return None if key is None else find_column(self._registered(), key)

    def _batches(self, indices: np.ndarray) -> np.ndarray | None:
        """Return codes of the batches of observations, if the model has batches."""
        batches = self._batch_column()
        return None if batches is None else category_codes(batches.iloc[indices])[0]
