"""What a trained head says of rows: labels, probabilities, how new they are, and how right it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from omicsmlm._checks import mistake, named
from omicsmlm.data import as_categories, find_column
from omicsmlm.nn import LabelHead

from ._base import OmicsModel
from ._calibration import scores
from ._tuning import Labeller


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
        table, rejected = self._judged(data, indices, batch_size)
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
            data, indices, batch_size, 1, lambda z_nd: self.module.head.novelty(z_nd)[:, None]
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
            raise mistake("evaluate", f"labels among {named(self.labels)}", named(truth.dropna().unique()), remedy)
        n = len(self.labels)

        def both(z_nd: Tensor) -> Tensor:
            head = self.module.head
            return torch.cat([head(z_nd).softmax(1), head.probabilities(z_nd), head.novelty(z_nd)[:, None]], 1)

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

    def _judged(
        self, data: AnnData | MuData | None, indices: Sequence[int] | np.ndarray | None, batch_size: int | None
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Give the probabilities of rows, and which of them are rejected."""

        def both(z_nd: Tensor) -> Tensor:
            return torch.cat([self.module.head.probabilities(z_nd), self.module.head.novelty(z_nd)[:, None]], 1)

        values, names = self._of_rows(data, indices, batch_size, len(self.labels) + 1, both)
        return pd.DataFrame(values[:, :-1], index=names, columns=self.labels), values[:, -1] > self.threshold

    def _of_rows(
        self,
        data: AnnData | MuData | None,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
        width: int,
        compute: Callable[[Tensor], Tensor],
    ) -> tuple[np.ndarray, pd.Index]:
        self._check_trained("predict")
        self.module.to(self.model.device).eval()
        return self.model._of_rows(data, indices, batch_size, width, lambda batch: compute(self.model._embed(batch)))

    def _check_trained(self, verb: str) -> None:
        if not self.is_trained:
            raise mistake(verb, "a trained classifier", "one that is not", "call train() first")


def label_names(data: AnnData | MuData, key: str, unlabeled_category: str) -> pd.Series:
    """Give the label of each row as text, missing where it has none."""
    names = as_categories(find_column(data, key))
    return names.where(names != unlabeled_category, None)
