"""Data room: from the user's AnnData or MuData to packed minibatches."""

from ._columns import COLUMN_SEPARATOR, as_categories, category_codes, find_column, find_numbers, has_column
from ._covariates import CovariatesField
from ._labels import LabelsField, label_codes, label_names
from ._layers import counts_layers
from ._loader import ObservationLoader, ObservationSampler, observation_loader
from ._manager import ADDED_SUFFIX, OmicsManager
from ._matrix import Matrix
from ._modality import ModalityField
from ._numbers import NumbersField
from ._objects import check_is_object
from ._sample import batch_codes, name_digests, sample_observations, stored_values
from ._sequences import SequenceField, SequenceKind, VectorField, holds_coding_sequences
from ._translation import are_coding, translated

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
    "are_coding",
    "as_categories",
    "batch_codes",
    "category_codes",
    "check_is_object",
    "counts_layers",
    "find_column",
    "find_numbers",
    "has_column",
    "label_codes",
    "label_names",
    "holds_coding_sequences",
    "name_digests",
    "observation_loader",
    "sample_observations",
    "stored_values",
    "translated",
]
