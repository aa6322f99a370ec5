"""From packed rows to what a family's encoder takes."""

from ._bins import AxisBins, Scale, fit_scale, row_depth
from ._log_counts import Library, LogCounts, expected_shares
from ._sample_values import sample_values
from ._selection import common_features, variable_features
from ._sequences import TARGETS, Crop, CroppedSequences, cropped
from ._sets import FeatureSets
from ._token_sets import TokenSets

__all__ = [
    "TARGETS",
    "Crop",
    "CroppedSequences",
    "cropped",
    "AxisBins",
    "FeatureSets",
    "Library",
    "LogCounts",
    "Scale",
    "TokenSets",
    "common_features",
    "expected_shares",
    "fit_scale",
    "row_depth",
    "sample_values",
    "variable_features",
]
