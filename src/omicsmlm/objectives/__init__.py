"""What training minimises."""

from ._agreement import AgreeingViews, AgreementForm, ComparingObjective
from ._batch_alignment import (
    BatchAlignmentLoss,
    ClusterAlignment,
    MutualNeighbours,
    batch_shifts,
    mutual_pairs,
    shifts_of,
)
from ._batch_balance import balance_weights
from ._bounded_counts import (
    Activation,
    CountLoss,
    CountReconstruction,
    bounded_poisson,
    clamped_relu,
    expected_log_counts,
    log_fractions,
    rectified_tanh,
    rectified_tanh_inverse,
)
from ._consistency import divergence, info_nce
from ._hazards import CoxObjective, DiscreteHazards, log_risk
from ._initial_targets import InitialTargets
from ._labels import LabelObjective, SemiSupervised
from ._likelihoods import bernoulli, gaussian, gaussian_kl, multinomial
from ._negative_binomial import negative_binomial
from ._reconstruction import AlignmentLoss, LatentReconstruction, expected_values, negative_log_likelihood
from ._reduction import observation_mean, step_mean
from ._residues import ResidueCrossEntropy
from ._targets import TargetError
from ._token_values import TokenPrediction
from ._tokens import BinCrossEntropy, BinsAndValues

__all__ = [
    "ResidueCrossEntropy",
    "TargetError",
    "Activation",
    "AgreeingViews",
    "AgreementForm",
    "BinCrossEntropy",
    "BinsAndValues",
    "ClusterAlignment",
    "ComparingObjective",
    "CountLoss",
    "CountReconstruction",
    "CoxObjective",
    "DiscreteHazards",
    "LabelObjective",
    "LatentReconstruction",
    "MutualNeighbours",
    "SemiSupervised",
    "AlignmentLoss",
    "BatchAlignmentLoss",
    "InitialTargets",
    "TokenPrediction",
    "balance_weights",
    "batch_shifts",
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
    "log_fractions",
    "multinomial",
    "mutual_pairs",
    "negative_binomial",
    "negative_log_likelihood",
    "observation_mean",
    "rectified_tanh",
    "rectified_tanh_inverse",
    "shifts_of",
    "step_mean",
]
