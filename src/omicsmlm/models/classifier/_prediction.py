"""What a trained head says of rows: labels, probabilities, how new they are, and how right it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor, nn

from omicsmlm._checks import named, value_error
from omicsmlm._types import Batch
from omicsmlm.data import as_categories, find_column
from omicsmlm.models.base import OmicsModel, state_under
from omicsmlm.models.heads import ObservationFeatures
from omicsmlm.nn import CANDIDATES, LabelHead, SubsetLogits

from ._calibration import scores
from ._module import Labeller


class Answering(ABC):
    """Abstract: a head on the encoder of a model, and the questions that it answers.

    Parameters
    ----------
    model
        A model that is the classifier's own.
    labels_key, unlabeled_category
        See :meth:`Classifier.from_model`.
    labels
        Names of the labels, in the order of their codes.
    """

    def __init__(self, model: OmicsModel, labels_key: str, unlabeled_category: str, labels: list[str]) -> None:
        self.model = model
        self.labels_key = labels_key
        self.unlabeled_category = unlabeled_category
        self.labels = labels
        self.module = Labeller(model.module, LabelHead(model.module.n_latent, len(labels))).eval()
        self.features: ObservationFeatures | None = None
        self.anchor: SubsetLogits | None = None
        self.candidates: pd.DataFrame | None = None
        self.is_trained = False
        self.held_out: dict[str, float] = {}

    @abstractmethod
    def train(self) -> None:
        """Fit the head."""

    def predict(
        self,
        data: AnnData | MuData | None = None,
        soft: bool = False,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.Series | pd.DataFrame:
        """Label rows.

        Parameters
        ----------
        data
            The object; None for the registered one. Features are matched by name, modalities may be absent.
        soft
            Whether to give probabilities.
        indices
            Row numbers, or one boolean per row; None for all rows.
        batch_size
            Rows to look at at once; None for 1,024.

        Returns
        -------
        pandas.Series or pandas.DataFrame
            (n_obs,) labels, ``unlabeled_category`` for a row that is like no label; or (n_obs, n_labels) calibrated
            probabilities of the known labels, which sum to 1 in every row, however new it looks.
        """
        table, rejected = self._evaluated(data, indices, batch_size)
        if soft:
            return table
        best = pd.Series(table.columns.to_numpy()[table.to_numpy().argmax(1)], index=table.index, name=self.labels_key)
        return best.where(~rejected, self.unlabeled_category)

    def novelty(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.Series:
        """Say how far rows are from all labels: the relative Mahalanobis distance; above ``threshold`` is unknown.

        Parameters
        ----------
        data, indices, batch_size
            As in :meth:`predict`.
        """
        values, names = self._of_rows(
            data, indices, batch_size, 1, lambda batch: self.module.head.novelty(self.model.embed_batch(batch))[:, None]
        )
        return pd.Series(values[:, 0], index=names, name="novelty")

    @property
    def threshold(self) -> float:
        """Novelty from which on a row is unknown: that of the share ``false_rejection`` of held-out rows."""
        return float(self.module.head.threshold)

    def evaluate(self, data: AnnData | MuData | None = None, labels_key: str | None = None) -> dict[str, float]:
        """Score the labels.

        Parameters
        ----------
        data
            Object with the true labels. None for the scores that held-out rows gave in training: those of the very rows
            that the classifier learned from would flatter it.
        labels_key
            Column of the true labels; None for that of training.

        Returns
        -------
        dict
            Of the best known label, whether rejected or not: ``accuracy``, ``balanced accuracy``, ``macro F1``, ``ECE``
            and ``ECE uncalibrated`` (expected calibration error in 15 bins); then ``share rejected`` and
            ``accuracy of kept``. If there are rows whose label the classifier does not know, these are left out of the
            former, and ``unknown: share rejected`` and ``unknown: AUROC`` (of the novelty) come with it.

        Raises
        ------
        ValueError
            If no row has a label that the classifier knows.
        """
        self._check_trained("evaluate")
        if data is None:
            return dict(self.held_out)
        truth = label_names(data, labels_key or self.labels_key, self.unlabeled_category)
        code_n = truth.map({label: code for code, label in enumerate(self.labels)}).fillna(-1).to_numpy().astype(int)
        if not (code_n >= 0).any():
            remedy = "pass the labels_key that holds such labels"
            raise value_error("evaluate", f"labels among {named(self.labels)}", named(truth.dropna().unique()), remedy)
        n = len(self.labels)

        def both(batch: Batch) -> Tensor:
            logits_nc, novelty_n1 = self._answer(batch)
            calibrated_nc = logits_nc / self.module.head.temperature
            return torch.cat([logits_nc.softmax(1), calibrated_nc.softmax(1), novelty_n1], 1)

        values, _ = self._of_rows(data, None, None, 2 * n + 1, both)
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

    def _evaluated(
        self, data: AnnData | MuData | None, indices: Sequence[int] | np.ndarray | None, batch_size: int | None
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Give the probabilities of rows, and which of them are rejected."""

        def both(batch: Batch) -> Tensor:
            logits_nc, novelty_n1 = self._answer(batch)
            return torch.cat([(logits_nc / self.module.head.temperature).softmax(1), novelty_n1], 1)

        values, names = self._of_rows(data, indices, batch_size, len(self.labels) + 1, both)
        return pd.DataFrame(values[:, :-1], index=names, columns=self.labels), values[:, -1] > self.threshold

    def _of_rows(
        self,
        data: AnnData | MuData | None,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
        width: int,
        compute: Callable[[Batch], Tensor],
    ) -> tuple[np.ndarray, pd.Index]:
        self._check_trained("predict")
        for part in (self.module, self.features, self.anchor):
            if part is not None:
                part.to(self.model.device).eval()
        return self.model.map_observations(data, indices, batch_size, width, compute)

    def _answer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Give the (n, c) logits of rows, by the anchor if there is one, and their (n, 1) novelty."""
        head, z_nd = self.module.head, self.model.embed_batch(batch)
        if self.features is None or self.anchor is None:
            return head(z_nd), head.novelty(z_nd)[:, None]
        logits_nc = self.anchor.chosen(self.features(batch), self.features.patterns(batch), head.scaled(z_nd))
        return logits_nc, head.novelty(z_nd)[:, None]

    def predict_candidates(
        self,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> dict[str, pd.DataFrame]:
        """Give the probabilities by each exact linear model, and by what adds the embedding to one of them.

        Parameters
        ----------
        data, indices, batch_size
            As in :meth:`predict`.

        Returns
        -------
        dict of pandas.DataFrame
            (n_obs, n_labels) by ``specialist``, the model of the modalities that the row has; ``modality dropout``, one
            model for all sets of modalities; ``mean`` of the two; and ``residual``. :meth:`predict` takes, for each set
            of modalities, the one that :attr:`candidates` calls chosen.

        Raises
        ------
        ValueError
            If the classifier has no anchor.
        """
        self._check_trained("predict_candidates")
        features, anchor, head = self.features, self.anchor, self.module.head
        if features is None or anchor is None:
            remedy = "make it with ClassifierConfig(anchor=True)"
            raise value_error("predict_candidates", "a classifier with an anchor", "one without", remedy)

        def each(batch: Batch) -> Tensor:
            z_nd = head.scaled(self.model.embed_batch(batch))
            logits_n4c = anchor(features(batch), features.patterns(batch), z_nd)
            return (logits_n4c / head.temperature).softmax(2).flatten(1)

        values, names = self._of_rows(data, indices, batch_size, len(CANDIDATES) * len(self.labels), each)
        parts = np.split(values, len(CANDIDATES), axis=1)
        return {
            name: pd.DataFrame(part, index=names, columns=self.labels)
            for name, part in zip(CANDIDATES, parts, strict=True)
        }

    def _state(self) -> dict[str, Tensor]:
        """Give all weights but those of the model."""
        state = dict(self.module.head.state_dict())
        for name, part in (("features.", self.features), ("anchor.", self.anchor)):
            state |= {} if part is None else part.state_dict(prefix=name)
        return state

    def _anchor_choice(self) -> dict[str, Any] | None:
        """Give what it takes to make the anchor again, and how its candidates did."""
        if self.features is None or self.anchor is None or self.candidates is None:
            return None
        table = self.candidates.reset_index().to_dict(orient="list")
        return {"features": self.features.sizes, "n_views": len(self.anchor.special_vc), "candidates": table}

    def _restore(self, weights: dict[str, Tensor], anchor: dict[str, Any] | None) -> None:
        """Take the weights of :meth:`_state`."""
        parts: list[tuple[str, nn.Module]] = []
        if anchor is not None:
            self.features = ObservationFeatures(**anchor["features"])
            sizes = len(self.labels), self.features.n_features, self.model.module.n_latent
            self.anchor = SubsetLogits(len(self.features.names), anchor["n_views"], *sizes)
            self.candidates = pd.DataFrame(anchor["candidates"]).set_index(["view", "candidate"])
            parts = [("features.", self.features), ("anchor.", self.anchor)]
        for prefix, part in parts:
            part.load_state_dict(state_under(weights, prefix))
        own = {name: value for name, value in weights.items() if not name.startswith(("features.", "anchor."))}
        self.module.head.load_state_dict(own)

    def _check_trained(self, verb: str) -> None:
        if not self.is_trained:
            raise value_error(verb, "a trained classifier", "one that is not", "call train() first")


def label_names(data: AnnData | MuData, key: str, unlabeled_category: str) -> pd.Series:
    """Give the label of each row as text, missing where it has none."""
    names = as_categories(find_column(data, key))
    return names.where(names != unlabeled_category, None)
