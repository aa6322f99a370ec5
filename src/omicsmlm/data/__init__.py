"""Data room: from the user's AnnData or MuData to packed minibatches."""

from ._columns import COLUMN_SEPARATOR, as_categories, category_codes, find_column
from ._fields import CovariatesField, ModalityField
from ._layers import counts_layers
from ._loader import ObservationLoader, ObservationSampler, observation_loader
from ._manager import ADDED_SUFFIX, OmicsManager
from ._matrix import Matrix
from ._sample import batch_codes, sample_observations, stored_values
from ._sequences import SequenceField, SequenceKind, VectorField, holds_coding_sequences
from ._translation import are_coding, translated

__all__ = [
    "ADDED_SUFFIX",
    "COLUMN_SEPARATOR",
    "CovariatesField",
    "Matrix",
    "ModalityField",
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
    "counts_layers",
    "find_column",
    "holds_coding_sequences",
    "observation_loader",
    "sample_observations",
    "stored_values",
    "translated",
]
