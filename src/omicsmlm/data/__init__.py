"""Data room: from the user's AnnData or MuData to packed minibatches."""

from ._columns import COLUMN_SEPARATOR, as_categories, category_codes, find_column
from ._fields import CovariatesField, ModalityField
from ._labels import LabelsField, label_codes, label_names
from ._loader import ObservationLoader, ObservationSampler, observation_loader
from ._manager import ADDED_SUFFIX, OmicsManager
from ._matrix import Matrix
from ._numbers import NumbersField
from ._sample import batch_codes, sample_observations, stored_values
from ._sequences import SequenceField, SequenceKind, VectorField

__all__ = [
    "ADDED_SUFFIX",
    "COLUMN_SEPARATOR",
    "CovariatesField",
    "LabelsField",
    "Matrix",
    "ModalityField",
    "NumbersField",
    "OmicsManager",
    "ObservationLoader",
    "ObservationSampler",
    "SequenceField",
    "SequenceKind",
    "VectorField",
    "as_categories",
    "batch_codes",
    "category_codes",
    "find_column",
    "label_codes",
    "label_names",
    "observation_loader",
    "sample_observations",
    "stored_values",
]
