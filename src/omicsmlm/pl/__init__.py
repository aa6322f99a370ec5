"""Figures of embeddings, benchmarks, predictions and training; each function returns a figure and shows nothing."""

from omicsmlm.pl._attributions import attributions
from omicsmlm.pl._confusion import confusion
from omicsmlm.pl._dropout import dropout_table
from omicsmlm.pl._embedding import embedding
from omicsmlm.pl._history import history
from omicsmlm.pl._marker_dots import marker_dots
from omicsmlm.pl._missing_modalities import missing_modalities
from omicsmlm.pl._reliability import reliability
from omicsmlm.pl._report import remarks, report
from omicsmlm.pl._survival import survival
from omicsmlm.pl._table import benchmark_table
from omicsmlm.pl._umap import umap, umap_coordinates

__all__ = [
    "attributions",
    "benchmark_table",
    "confusion",
    "dropout_table",
    "embedding",
    "history",
    "marker_dots",
    "missing_modalities",
    "reliability",
    "remarks",
    "report",
    "survival",
    "umap",
    "umap_coordinates",
]
