"""What training minimises."""

from ._bounded_counts import (
    Activation,
    CountLoss,
    CountReconstruction,
    bounded_poisson,
    clamped_relu,
    expected_log_counts,
    log_shares,
    rectified_tanh,
    rectified_tanh_inverse,
)
from ._consistency import divergence, info_nce
from ._hazards import CoxObjective, DiscreteHazards, log_risk
from ._labels import LabelObjective
from ._letters import LetterCrossEntropy
from ._likelihoods import bernoulli, gaussian, gaussian_kl, multinomial, negative_binomial
from ._pulls import ClusterAlignment, MutualNeighbours, Pull, aligned, mutual_pairs
from ._reconstruction import LatentReconstruction, expected_values, negative_log_likelihood
from ._targets import TargetError
from ._token_values import TokenPrediction
from ._tokens import BinCrossEntropy

__all__ = [
    "LetterCrossEntropy",
    "TargetError",
    "Activation",
    "BinCrossEntropy",
    "ClusterAlignment",
    "CountLoss",
    "CountReconstruction",
    "CoxObjective",
    "DiscreteHazards",
    "LabelObjective",
    "LatentReconstruction",
    "MutualNeighbours",
    "Pull",
    "TokenPrediction",
    "aligned",
    "bernoulli",
    "bounded_poisson",
    "clamped_relu",
    "divergence",
    "expected_log_counts",
    "expected_values",
    "gaussian",
    "gaussian_kl",
    "info_nce",
    "log_risk",
    "log_shares",
    "multinomial",
    "mutual_pairs",
    "negative_binomial",
    "negative_log_likelihood",
    "rectified_tanh",
    "rectified_tanh_inverse",
]
