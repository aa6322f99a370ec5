"""Labels from any model's embedding: calibrated, and unknown for observations that are like none that it learned from."""

import logging
from pathlib import Path
from typing import Self

import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm._checks import confounded, named, value_error
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm.data import as_categories, label_names
from omicsmlm.models.base import OmicsModel, QueryModel
from omicsmlm.models.heads import check_model

from ._config import ClassifierConfig
from ._training import LabelTraining

logger = logging.getLogger(__name__)


class Classifier(LabelTraining):
    """Predicts labels from the embedding of a model; made by :meth:`from_model`.

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
    >>> len(classifier.predict(majority_voting="batch"))  # a column of clusters; True clusters the embedding
    200
    """

    @classmethod
    @in_own_surroundings
    def from_model(
        cls,
        model: OmicsModel,
        labels_key: str,
        unlabeled_category: str = "Unknown",
        config: ClassifierConfig | None = None,
    ) -> Self:
        """Make a classifier of the observations of a model's object.

        Parameters
        ----------
        model
            A model, trained, with its object.
        labels_key
            Column of ``obs`` (of the object or of its modalities) with the labels.
        unlabeled_category
            Value of that column that is no label; observations with it, or with a missing value, are not learned from.
            It is also what :meth:`predict` calls an observation that is like no label.
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
        classifier = cls(
            model, labels_key, unlabeled_category, labels, ClassifierConfig() if config is None else config
        )
        classifier._warn_of_confounding(names)
        return classifier

    @classmethod
    @in_own_surroundings
    def load_query_data(cls, query: AnnData | MuData, reference: Self | str | Path) -> Self:
        """Make a classifier of new observations from a trained one: its model maps them, its head stays.

        Parameters
        ----------
        query
            New observations, as for :meth:`OmicsMLM.load_query_data`; they need no labels.
        reference
            A trained classifier, or the directory of a saved one.

        Returns
        -------
        A classifier with the query registered. Before :meth:`adapt` it predicts as the reference would.

        Raises
        ------
        ValueError
            If the classifier is not trained, its model maps no queries, or the query does not fit it.
        """
        source = reference if isinstance(reference, Classifier) else cls.load(reference)
        source.check_trained("load_query_data")
        family = type(source.model)
        if not issubclass(family, QueryModel):
            raise value_error("reference", "a model that maps queries", family.__name__, "pass the query to predict()")
        model = family.load_query_data(query, source.model)
        mapped = cls(model, source.labels_key, source.unlabeled_category, source.labels, source.config)
        mapped.module.head.load_state_dict(source.module.head.state_dict())
        mapped.label_noise, mapped.held_out = source.label_noise, dict(source.held_out)
        mapped._series, mapped.is_trained = dict(source._series), True
        mapped.features, mapped.linear_models = source.features, source.linear_models
        mapped.candidates = source.candidates
        return mapped

    @in_own_surroundings
    def adapt(self) -> None:
        """Align new batches of the query with the reference, as its model's ``train()`` does, but train no decoder.

        Raises
        ------
        ValueError
            If there is no query, or none of its batches is new.
        """
        if not isinstance(self.model, QueryModel) or not self.model.is_query:
            raise value_error("adapt", "a classifier of a query", "one of a reference", "call load_query_data() first")
        self.model.align()

    def _warn_of_confounding(self, names: pd.Series) -> None:
        batches = self._batch_column()
        alone = [] if batches is None else confounded(names, as_categories(batches))
        if alone:
            logger.warning(
                "Classifier: one batch alone holds the labels %s: what tells them apart may be the batch, or may have been "
                "removed with it; compare with a model of a lower batch_strength.",
                named(alone),
            )
