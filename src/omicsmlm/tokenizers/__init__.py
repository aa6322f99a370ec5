"""From packed rows to what a family's encoder takes."""

from ._bins import AxisBins, Scale, fit_scale, row_depth
from ._selection import common_features, variable_features
from ._sets import FeatureSets
from ._token_sets import TokenSets

__all__ = [
    "AxisBins",
    "FeatureSets",
    "Scale",
    "TokenSets",
    "common_features",
    "fit_scale",
    "row_depth",
    "variable_features",
]
