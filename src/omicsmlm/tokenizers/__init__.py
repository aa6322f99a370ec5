"""Tokenizers: from packed batches to the input of a family's encoder."""

from ._bins import AxisBins, Scale, fit_feature_scales, fit_scale, log_per_million, observation_depth
from ._feature_grids import FeatureGrids
from ._log_counts import Library, LogCounts, expected_fractions
from ._sample_values import sample_values
from ._selection import common_features, variable_features
from ._sequences import TARGETS, TruncatedSequences, Truncation, truncated
from ._token_sets import TokenSets

__all__ = [
    "TARGETS",
    "Truncation",
    "TruncatedSequences",
    "truncated",
    "AxisBins",
    "FeatureGrids",
    "Library",
    "LogCounts",
    "Scale",
    "TokenSets",
    "common_features",
    "expected_fractions",
    "fit_feature_scales",
    "fit_scale",
    "log_per_million",
    "observation_depth",
    "sample_values",
    "variable_features",
]
