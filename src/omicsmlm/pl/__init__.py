"""Pictures: UMAP, benchmark table, training curves. Each returns a figure and shows nothing."""

from omicsmlm.pl._history import history
from omicsmlm.pl._table import benchmark_table
from omicsmlm.pl._umap import umap

__all__ = ["benchmark_table", "history", "umap"]
