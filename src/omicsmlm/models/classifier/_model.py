"""Labels from any model's embedding: calibrated, and with an answer for rows that are like nothing seen."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import confounded, named, value_error
from omicsmlm._types import Parts
from omicsmlm.data import find_column, observation_loader
from omicsmlm.models.base import OmicsModel, QueryModel, Saved, read_model, write_model
from omicsmlm.models.heads import LEARNING_RATES, MODEL, Adapted, ObservationFeatures, check_model, copied, load_model
from omicsmlm.objectives import LabelObjective
from omicsmlm.training import FitOptions, Optimisation, fit, sensible_epochs

from ._calibration import calibrate, corrected, scores
from ._config import ClassifierConfig
from ._linear_ensemble import Shown, fit_anchor
from ._linear_model import (
    Labelled,
    choose_strength,
    fit_linear,
    fit_novelty,
    fit_scale,
    folds,
    held_out_logits,
    held_out_novelty,
    label_weights,
    solve,
)
from ._modality_subsets import embedded_views, shown_views
from ._prediction import Answering, label_names

logger = logging.getLogger(__name__)

NOISY = 0.02
"""Share of wrong labels from which on those that held-out rows contradict are corrected and the head is solved anew."""


class Classifier(Answering):
    """Reads labels off the embedding of a model; made by :meth:`from_model`.

    Parameters
    ----------
    model
        A model of any family. The classifier works on a copy: the model is never changed, nor does a later change of
        the model change the classifier.
    labels_key, unlabeled_category
        See :meth:`from_model`.
    labels
        Names of the labels.
    config
        Hyper-parameters.

    Examples
    --------
    >>> import omicsmlm
    >>> mdata = omicsmlm.datasets.simulate_multiome(200, 50, 80)
    >>> model = omicsmlm.OmicsMLM(mdata, batch_key="batch")
    >>> classifier = omicsmlm.Classifier.from_model(model, "cell_type")
    >>> classifier.train()
    >>> len(classifier.predict())
    200
    """

    def __init__(
        self, model: OmicsModel, labels_key: str, unlabeled_category: str, labels: list[str], config: ClassifierConfig
    ) -> None:
        super().__init__(copied(model), labels_key, unlabeled_category, labels)
        self.config = config
        self.label_noise = 0.0
        self._series: dict[str, list[float]] = {}

    @classmethod
    def from_model(
        cls,
        model: OmicsModel,
        labels_key: str,
        unlabeled_category: str = "Unknown",
        config: ClassifierConfig | None = None,
    ) -> Self:
        """Make a classifier of the rows of a model's object.

        Parameters
        ----------
        model
            A model, trained, with its object.
        labels_key
            Column of ``obs`` (of the object or of its modalities) with the labels.
        unlabeled_category
            Value of that column that is no label; rows with it, or with a missing value, are not learned from. It is
            also what :meth:`predict` calls a row that is like no label.
        config
            Hyper-parameters; None for the defaults.

        Raises
        ------
        ValueError
            If there is no such column, or fewer than two labels in it.
        """
        check_model(model)
        assert model.adata is not None
        names = label_names(model.adata, labels_key, unlabeled_category)
        labels = sorted(names.dropna().unique())
        if len(labels) < 2:
            remedy = "pass a column with more"
            raise value_error(f"column {labels_key!r}", "at least two labels", named(labels), remedy)
        classifier = cls(model, labels_key, unlabeled_category, labels, config or ClassifierConfig())
        classifier._warn_of_confounding(names)
        return classifier

    @classmethod
    def load_query_data(cls, query: AnnData | MuData, reference: Self | str | Path) -> Self:
        """Make a classifier of new rows from a trained one: its model maps and is adapted to them, its head stays.

        Parameters
        ----------
        query
            New rows, as for :meth:`OmicsMLM.load_query_data`; they need no labels.
        reference
            A trained classifier, or the directory of a saved one.

        Returns
        -------
        A classifier with the query registered. Before :meth:`adapt` it answers as the reference would.

        Raises
        ------
        ValueError
            If the classifier is not trained, its model maps no queries, or the query does not fit it.
        """
        source = reference if isinstance(reference, Classifier) else cls.load(reference)
        source._check_trained("load_query_data")
        family = type(source.model)
        if not issubclass(family, QueryModel):
            raise value_error("reference", "a model that maps queries", family.__name__, "pass the query to predict()")
        model = family.load_query_data(query, source.model)
        mapped = cls(model, source.labels_key, source.unlabeled_category, source.labels, source.config)
        mapped.module.head.load_state_dict(source.module.head.state_dict())
        mapped.label_noise, mapped.held_out = source.label_noise, dict(source.held_out)
        mapped._series, mapped.is_trained = dict(source._series), True
        mapped.features, mapped.anchor, mapped.candidates = source.features, source.anchor, source.candidates
        return mapped

    def adapt(self) -> None:
        """Move new batches of the query onto the reference, as its model's ``train()`` does, without training a decoder.

        Raises
        ------
        ValueError
            If there is no query, or none of its batches is new.
        """
        if not isinstance(self.model, QueryModel) or not self.model.is_query:
            raise value_error("adapt", "a classifier of a query", "one of a reference", "call load_query_data() first")
        self.model.align()

    # ---- training -----------------------------------------------------------------------------------------------

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
        """Fit the head, fine-tune if the config says so, and calibrate on rows that were held out.

        The head learns from each row as a whole and as each of its modalities alone shows it, so that it can read rows
        that lack some. The strength of its penalty is chosen on held-out rows.

        Parameters
        ----------
        max_epochs, accelerator, devices, batch_size, progress_bar, **trainer_options
            Of fine-tuning, as in :meth:`OmicsModel.train`; a frozen encoder needs none of them.
        """
        code_n = self._codes(self._registered())
        indices = np.flatnonzero(code_n >= 0)
        self.module.head.cpu()
        fold_n = folds(code_n[indices], self._batches(indices), self.config.n_folds, self.config.seed)
        self.features, self.anchor, self.candidates = None, None, None
        if self.config.tuning == "frozen":
            self._fit_head(indices, code_n, fold_n)
            if self.config.is_anchored((s["kind"] for s in self.model.adata_manager.modalities.values()), len(indices)):
                self._fit_anchor(indices, code_n, fold_n)
        else:
            kept_n = self._kept(code_n[indices])
            learned_n = code_n.copy()
            learned_n[indices[kept_n]] = self._fit_head(indices[kept_n], code_n, fold_n[kept_n])
            options = FitOptions(
                max_epochs=max_epochs or sensible_epochs(int(kept_n.sum()), batch_size),
                accelerator=accelerator,
                devices=devices,
                patience=self.config.patience,
                progress_bar=progress_bar,
                seed=self.config.seed,
            )
            self._tune(indices[kept_n], indices[~kept_n], learned_n, batch_size, (options, trainer_options))
            self.model.finish_training(indices)
            self._judge_tuned(indices[kept_n], indices[~kept_n], learned_n)
        self.is_trained = True
        logger.info(
            "Classifier: %d labels from %d rows; held out: %s.", len(self.labels), len(indices), self._summary()
        )

    def _fit_head(self, indices: np.ndarray, code_n: np.ndarray, fold_n: np.ndarray) -> np.ndarray:
        """Solve the head on the embedding as it is, and judge it fold by fold; give the labels it learned from."""
        c, head, n_labels = self.config, self.module.head, len(self.labels)
        z_nd, row_n = embedded_views(self.model, indices)
        fit_scale(head, z_nd)
        given_n = code_n[indices][row_n]
        labelled, balance = Labelled(self._scaled(z_nd), given_n, fold_n[row_n]), c.balance
        strength, logits_nc = self._solved(labelled, given_n, balance)
        if calibrate(logits_nc, given_n).noise > NOISY:
            balance = c.balance / 2
            _, logits_nc = self._solved(labelled, given_n, balance)
            whole_nc = logits_nc[: len(indices)]  # the first copy of a row shows all of it
            right_n = corrected(whole_nc, code_n[indices], calibrate(whole_nc, code_n[indices]))
            labelled = labelled._replace(label_n=right_n[row_n])
            strength, logits_nc = self._solved(labelled, given_n, balance)
        fit_linear(head, solve(labelled, n_labels, strength, balance))
        fit_novelty(head, labelled.z_nd, labelled.label_n)
        self._calibrate(logits_nc, held_out_novelty(head, labelled), given_n)
        return labelled.label_n[: len(indices)]

    def _fit_anchor(self, indices: np.ndarray, code_n: np.ndarray, fold_n: np.ndarray) -> None:
        """Solve exact models of the features beside the head, and judge them fold by fold."""
        self.features = ObservationFeatures.of(self.model, indices)
        z_nd, row_n = embedded_views(self.model, indices)
        x_ng, pattern_n = shown_views(self.features, self.model, indices)
        label_n = code_n[indices][row_n]
        shown = Shown(x_ng, pattern_n, self._scaled(z_nd), label_n, fold_n[row_n])
        found = fit_anchor(shown, len(self.features.names), len(self.labels))
        self.anchor = found.logits
        view_r = found.table["pattern"].map(self.features.view_name)
        table = found.table.drop(columns="pattern").assign(view=view_r)
        self.candidates = table.set_index(["view", "candidate"])
        labelled = Labelled(self._scaled(z_nd), label_n, fold_n[row_n])
        self._calibrate(found.held_out_nc, held_out_novelty(self.module.head, labelled), label_n)

    def _solved(self, labelled: Labelled, given_n: np.ndarray, balance: float) -> tuple[float, np.ndarray]:
        """Choose the strength of the penalty; give it with the logits of held-out rows."""
        n_labels = len(self.labels)
        strength, losses = choose_strength(labelled, given_n, n_labels, balance, self.config.seed)
        self._series = {"strength": list(losses), "held_out_loss": list(losses.values())}
        return strength, held_out_logits(labelled, n_labels, strength, balance, {})

    def _tune(
        self,
        indices: np.ndarray,
        held_rows: np.ndarray,
        code_n: np.ndarray,
        batch_size: int,
        how: tuple[FitOptions, dict[str, Any]],
    ) -> None:
        """Train encoder and head together, from the solved head on."""
        c, manager = self.config, self.model.adata_manager
        adapted = None if c.tuning == "full" else Adapted(self.model, c.tuning, c.rank, c.seed)
        weight_c = label_weights(code_n[indices], len(self.labels), c.balance)
        objective = LabelObjective(torch.from_numpy(code_n), torch.from_numpy(weight_c).float())
        masking = self.model.fine_tuning_masking(c.hidden_rates, c.modality_rate)
        parts = Parts(self.model.parts.tokenizer, masking, self.module, objective)
        frozen = [w for w in self.model.module.initial_layer() if c.freeze_initial and w.requires_grad]
        for weight in frozen:
            weight.requires_grad_(False)
        fitted = fit(
            parts,
            Optimisation(learning_rate=c.learning_rate or LEARNING_RATES[c.tuning], weight_decay=c.weight_decay),
            observation_loader(manager, indices, batch_size, seed=c.seed),
            observation_loader(manager, held_rows, self.model.embedding_batch_size),
            *how,
        )
        for weight in frozen:
            weight.requires_grad_(True)
        if adapted is not None:
            adapted.merge()
        self._series |= {name: list(column) for name, column in fitted.losses.items()}

    def _judge_tuned(self, indices: np.ndarray, held_rows: np.ndarray, code_n: np.ndarray) -> None:
        """Calibrate a fine-tuned head on the rows that were held out from it."""
        head = self.module.head.cpu()
        z_nd, row_n = embedded_views(self.model, indices)
        fit_novelty(head, self._scaled(z_nd), code_n[indices][row_n])
        z_nd, row_n = embedded_views(self.model, held_rows)
        with torch.no_grad():
            z = torch.from_numpy(z_nd)
            logits_nc, novelty_n = head(z).double().numpy(), head.novelty(z).double().numpy()
        self._calibrate(logits_nc, novelty_n, code_n[held_rows][row_n])

    def _calibrate(self, logits_nc: np.ndarray, novelty_n: np.ndarray, label_n: np.ndarray) -> None:
        """Set temperature and threshold from held-out rows, and keep how good they were."""
        head, found = self.module.head, calibrate(logits_nc, label_n)
        known_n = np.isfinite(logits_nc[np.arange(len(label_n)), label_n])
        head.temperature.fill_(found.temperature)
        head.threshold.fill_(_threshold(novelty_n[known_n], self.config.false_rejection))
        self.label_noise = found.noise
        logits, rejected_n = torch.from_numpy(logits_nc), novelty_n > float(head.threshold)
        before, after = (part.softmax(1).numpy() for part in (logits, logits / found.temperature))
        self.held_out = scores(before, after, rejected_n, label_n)

    def _summary(self) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in self.held_out.items())

    # ---- saving and loading -------------------------------------------------------------------------------------

    def save(self, dir_path: str | Path, overwrite: bool = False) -> None:
        """Write the classifier, with the model that it reads, to a directory; nothing is pickled.

        Parameters
        ----------
        dir_path
            Directory to make.
        overwrite
            Whether a classifier that is there may be replaced.
        """
        self._check_trained("save")
        choice = {
            "model": type(self.model).__name__,
            "labels": self.labels,
            "labels_key": self.labels_key,
            "unlabeled_category": self.unlabeled_category,
            "label_noise": self.label_noise,
            "held_out": self.held_out,
            "anchor": self._anchor_choice(),
        }
        config = {"class": type(self).__name__, "config": asdict(self.config), "choice": choice}
        saved = Saved(self._state(), config, {}, self._series)
        write_model(dir_path, saved, overwrite=overwrite)
        self.model.save(Path(dir_path) / MODEL, overwrite=overwrite)

    @classmethod
    def load(cls, dir_path: str | Path, adata: AnnData | MuData | None = None) -> Self:
        """Read a classifier and its model from a directory.

        Parameters
        ----------
        dir_path
            Directory that :meth:`save` made.
        adata
            Object to register with it, matched by feature name; None to load it alone.

        Raises
        ------
        ValueError
            If the directory is not a whole, unchanged classifier of this or an older version.
        """
        saved = read_model(dir_path, cls.__name__)
        choice = saved.config["choice"]
        model = load_model(dir_path, choice["model"], adata, "classifier")
        keys = (choice["labels_key"], choice["unlabeled_category"], choice["labels"])
        classifier = cls(model, *keys, ClassifierConfig(**saved.settings))
        classifier._restore(saved.weights, choice.get("anchor"))
        classifier.label_noise, classifier.held_out = choice["label_noise"], choice["held_out"]
        classifier._series, classifier.is_trained = saved.history, True
        return classifier

    @property
    def history(self) -> dict[str, pd.DataFrame]:
        """The held-out loss of each strength of the penalty, and the losses of fine-tuning, epoch by epoch."""
        return {name: pd.DataFrame({name: values}).rename_axis("step") for name, values in self._series.items()}

    # ---- inside -------------------------------------------------------------------------------------------------

    def _registered(self) -> AnnData | MuData:
        if self.model.adata is None:
            raise value_error("train", "a classifier with its object", "one loaded alone", "load it with adata=…")
        return self.model.adata

    def _codes(self, data: AnnData | MuData) -> np.ndarray:
        """Give the label of each row, (n_obs,) int64, -1 where it has none."""
        names = label_names(data, self.labels_key, self.unlabeled_category)
        return pd.Categorical(names, categories=self.labels).codes.astype(np.int64)

    def _batches(self, indices: np.ndarray) -> np.ndarray | None:
        """Give the batch of rows, if the model has one."""
        key = next(iter(self.model.adata_manager.covariates), None)
        return None if key is None else pd.factorize(find_column(self._registered(), key).iloc[indices])[0]

    def _warn_of_confounding(self, names: pd.Series) -> None:
        key = next(iter(self.model.adata_manager.covariates), None)
        alone = [] if key is None else confounded(names, find_column(self._registered(), key))
        if alone:
            logger.warning(
                "Classifier: one batch alone holds the labels %s: what tells them apart may be the batch, or may have been "
                "removed with it; compare with a model of a lower batch_strength.",
                named(alone),
            )

    def _kept(self, label_n: np.ndarray) -> np.ndarray:
        """Choose, label by label, the rows that fine-tuning sees: all but one in ``1 / held_out``, at random."""
        n_parts = max(2, round(1 / self.config.held_out))
        order = pd.Series(np.random.default_rng(self.config.seed).permutation(len(label_n)))
        kept_n = order.groupby(label_n).rank().to_numpy() % n_parts != 0
        if kept_n.all():
            most = f"at most {np.bincount(label_n).max()} rows of a label"
            raise value_error("train", f"a label of at least {n_parts} rows", most, 'pass tuning="frozen"')
        return kept_n

    def _scaled(self, z_nd: np.ndarray) -> np.ndarray:
        return self.module.head.scaled(torch.from_numpy(z_nd)).double().numpy()


def _threshold(novelty_n: np.ndarray, false_rejection: float) -> float:
    """Give the novelty that this share of the rows exceeds."""
    return float(np.quantile(novelty_n, 1 - false_rejection, method="higher")) if len(novelty_n) else float("inf")
