"""What is done to data before any model sees them."""

from omicsmlm.pp._links import link_peaks
from omicsmlm.pp._methylation import aggregate_methylation
from omicsmlm.pp._normal_scores import normal_scores
from omicsmlm.pp._recovery import recover_counts
from omicsmlm.pp._regions import map_regions
from omicsmlm.pp._sequences import extract_sequences
from omicsmlm.pp._tpm import log_tpm

__all__ = [
    "aggregate_methylation",
    "extract_sequences",
    "link_peaks",
    "log_tpm",
    "map_regions",
    "normal_scores",
    "recover_counts",
]
