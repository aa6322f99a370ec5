"""What training minimises."""

from ._labels import LabelObjective
from ._likelihoods import bernoulli, gaussian, gaussian_kl, multinomial, negative_binomial
from ._pulls import ClusterAlignment, MutualNeighbours, Pull, aligned, mutual_pairs
from ._reconstruction import LatentReconstruction, expected_values, negative_log_likelihood

__all__ = [
    "ClusterAlignment",
    "LabelObjective",
    "LatentReconstruction",
    "MutualNeighbours",
    "Pull",
    "aligned",
    "bernoulli",
    "expected_values",
    "gaussian",
    "gaussian_kl",
    "multinomial",
    "mutual_pairs",
    "negative_binomial",
    "negative_log_likelihood",
]
