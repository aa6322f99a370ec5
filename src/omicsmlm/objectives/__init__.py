"""What training minimises."""

from ._likelihoods import bernoulli, gaussian, gaussian_kl, multinomial, negative_binomial
from ._reconstruction import LatentReconstruction, negative_log_likelihood

__all__ = [
    "LatentReconstruction",
    "bernoulli",
    "gaussian",
    "gaussian_kl",
    "multinomial",
    "negative_binomial",
    "negative_log_likelihood",
]
