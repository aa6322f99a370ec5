"""What a trained classifier predicts: labels, probabilities, how new an observation is, and how right it is."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from omicsmlm._checks import named, value_error
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch
from omicsmlm.data import find_column, label_codes, label_names

from ._calibration import scores
from ._state import ClassifierState
from ._voting import check_voting, majority_labels, over_clusters


class LabelPredictor(ClassifierState):
    """Abstract: a classifier, and what it predicts; its parts are those of :class:`ClassifierState`."""

    @in_own_surroundings
    def predict(
        self,
        data: AnnData | MuData | None = None,
        soft: bool = False,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        majority_voting: bool | str = False,
        min_prop: float = 0.0,
    ) -> pd.Series | pd.DataFrame:
        """Predict the label of observations.

        Parameters
        ----------
        data
            The object; None for the registered one. Features are matched by name, modalities may be absent.
        soft
            Whether to return probabilities.
        indices
            Positions of the observations, or one boolean per observation; None for all.
        batch_size
            Observations embedded at once; None for 1,024.
        majority_voting
            Whether each cluster takes the label that most of its observations were predicted to have, "unknown" being
            one of these: True for many small clusters of the embedding of these observations, as CellTypist makes them
            (Leiden; needs igraph), or the column of ``obs`` with clusters; an observation in no cluster keeps its label.
        min_prop
            Fraction of a cluster that must have this label, else it is called ``Heterogeneous``; 0 names every cluster.

        Returns
        -------
        pandas.Series or pandas.DataFrame
            (n_obs,) labels, ``unlabeled_category`` for an observation that is like no label; or (n_obs, n_labels)
            calibrated probabilities of the known labels, which sum to 1 in every row, however new it looks.

        Raises
        ------
        ValueError
            If the object does not fit, there is no such column, or probabilities are to be voted on.
        """
        check_voting(majority_voting, min_prop, soft)
        clusters = None
        if isinstance(majority_voting, str):
            clusters = find_column(self.model.manager_for(data).adata, majority_voting)
        table, rejected = self._soft_labels(data, indices, batch_size)
        if soft:
            return table
        best = pd.Series(table.columns.to_numpy()[table.to_numpy().argmax(1)], index=table.index, name=self.labels_key)
        labels = best.where(~rejected, self.unlabeled_category)
        if not majority_voting:
            return labels
        if clusters is None:
            clusters = over_clusters(self.model.get_latent_representation(data, indices, batch_size), self.config.seed)
        elif indices is not None:
            clusters = clusters.iloc[list(indices)]
        return majority_labels(labels, clusters, min_prop)

    @in_own_surroundings
    def novelty(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.Series:
        """Compute how far observations are from all labels: the relative Mahalanobis distance (Ren et al. 2021).

        Parameters
        ----------
        data, indices, batch_size
            As in :meth:`predict`.

        Returns
        -------
        pandas.Series
            (n_obs,) float32; above :attr:`threshold` an observation is called unknown.
        """
        values, names = self._mapped(
            data, indices, batch_size, 1, lambda batch: self.module.head.novelty(self.model.embed_batch(batch))[:, None]
        )
        return pd.Series(values[:, 0], index=names, name="novelty")

    @in_own_surroundings
    def predict_candidates(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> dict[str, pd.DataFrame]:
        """Predict probabilities by each candidate that :meth:`predict` could have taken.

        Parameters
        ----------
        data, indices, batch_size
            As in :meth:`predict`.

        Returns
        -------
        dict of pandas.DataFrame
            (n_obs, n_labels) by each linear model of the features: ``specialist``, the model of the modalities that the
            observation has; ``modality dropout``, one model for all modality subsets; ``mean`` of the logits of the two;
            and ``residual``, the second with a linear function of the embedding added. Or by ``embedding``, regressions
            on ``components, balanced`` and ``components``, and the ``mean`` of the probabilities by the first two.
            :meth:`predict` takes what :attr:`candidates` calls chosen.

        Raises
        ------
        ValueError
            If the classifier has no linear models.
        """
        self.check_trained("predict_candidates")
        features, linear_models, head = self.features, self.linear_models, self.module.head
        if features is None or linear_models is None:
            remedy = "make it with ClassifierConfig(component_models=True)"
            raise value_error("predict_candidates", "a classifier with linear models", "one without", remedy)

        def each(batch: Batch) -> Tensor:
            z_nd = head.scaled(self.model.embed_batch(batch))
            logits_njc = linear_models(features(batch), features.subset_codes(batch), z_nd)
            return (logits_njc / head.temperature).softmax(2).flatten(1)

        values, names = self._mapped(data, indices, batch_size, len(linear_models.names) * len(self.labels), each)
        parts = np.split(values, len(linear_models.names), axis=1)
        return {
            name: pd.DataFrame(part, index=names, columns=self.labels)
            for name, part in zip(linear_models.names, parts, strict=True)
        }

    @in_own_surroundings
    def evaluate(self, data: AnnData | MuData | None = None, labels_key: str | None = None) -> dict[str, float]:
        """Score the predicted labels.

        Parameters
        ----------
        data
            Object with the true labels. None for the scores of held-out observations in training: those of the very
            observations that the classifier learned from would flatter it.
        labels_key
            Column of the true labels; None for that of training.

        Returns
        -------
        dict
            Of the most probable known label, whether rejected or not: ``accuracy``, ``balanced accuracy``, ``macro F1``,
            ``ECE`` and ``ECE uncalibrated`` (expected calibration error in 15 bins); then ``share rejected`` and
            ``accuracy of kept``. Observations whose label the classifier does not know are left out of these; if there
            are any, ``unknown: share rejected`` and ``unknown: AUROC`` (of the novelty) come with them.

        Raises
        ------
        ValueError
            If no observation has a label that the classifier knows.
        """
        self.check_trained("evaluate")
        if data is None:
            return dict(self.held_out)
        key = self.labels_key if labels_key is None else labels_key
        truth = label_names(data, key, self.unlabeled_category)
        code_n = label_codes(truth, self.labels)
        if not (code_n >= 0).any():
            remedy = "pass the labels_key that holds such labels"
            raise value_error("evaluate", f"labels among {named(self.labels)}", named(truth.dropna().unique()), remedy)
        n = len(self.labels)

        def both(batch: Batch) -> Tensor:
            logits_nc, novelty_n1 = self._logits_and_novelty(batch)
            calibrated_nc = logits_nc / self.module.head.temperature
            return torch.cat([logits_nc.softmax(1), calibrated_nc.softmax(1), novelty_n1], 1)

        values, _ = self._mapped(data, None, None, 2 * n + 1, both)
        known_n, novelty_n = code_n >= 0, values[:, -1]
        rejected_n = novelty_n > self.threshold
        found = scores(values[known_n, :n], values[known_n, n:-1], rejected_n[known_n], code_n[known_n])
        other_n = truth.notna().to_numpy() & ~known_n
        if other_n.any():
            from sklearn.metrics import roc_auc_score

            kept_n = known_n | other_n
            found["unknown: share rejected"] = float(rejected_n[other_n].mean())
            found["unknown: AUROC"] = float(roc_auc_score(other_n[kept_n], novelty_n[kept_n]))
        return found

    def _soft_labels(
        self, data: AnnData | MuData | None, indices: Sequence[int] | np.ndarray | None, batch_size: int | None
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Compute the probabilities of observations, and which of these are rejected, (n,) bool."""

        def both(batch: Batch) -> Tensor:
            logits_nc, novelty_n1 = self._logits_and_novelty(batch)
            return torch.cat([(logits_nc / self.module.head.temperature).softmax(1), novelty_n1], 1)

        values, names = self._mapped(data, indices, batch_size, len(self.labels) + 1, both)
        return pd.DataFrame(values[:, :-1], index=names, columns=self.labels), values[:, -1] > self.threshold

    def _mapped(
        self,
        data: AnnData | MuData | None,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
        width: int,
        compute: Callable[[Batch], Tensor],
    ) -> tuple[np.ndarray, pd.Index]:
        """Compute (n, width) of observations, batch by batch; return it with their names."""
        self.check_trained("predict")
        for part in (self.module, self.features, self.linear_models):
            if part is not None:
                part.to(self.model.device).eval()
        return self.model.map_observations(data, indices, batch_size, width, compute)

    def _logits_and_novelty(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute (n, c) logits, of the features if they have linear models, and the (n, 1) novelty of the embedding."""
        head, z_nd = self.module.head, self.model.embed_batch(batch)
        if self.features is None or self.linear_models is None:
            return head(z_nd), head.novelty(z_nd)[:, None]
        subset_n = self.features.subset_codes(batch)
        logits_nc = self.linear_models.chosen(self.features(batch), subset_n, head.scaled(z_nd))
        return logits_nc, head.novelty(z_nd)[:, None]
