"""From packed rows to what a family's encoder takes."""

from ._selection import common_features, variable_features
from ._sets import FeatureSets, rows_of

__all__ = ["FeatureSets", "common_features", "rows_of", "variable_features"]
