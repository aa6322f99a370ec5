"""Calibration of probabilities: a temperature, a rate of wrong labels, and how far confidence is off."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

N_BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""
BOUNDS = [(-3.0, 3.0), (-9.0, 2.0)]
"""Of the logarithm of the temperature (1/20 to 20), and of the logit of the rate of wrong labels (1e-4 to 0.88): wide
enough for any classifier of use, and within what double precision tells apart."""
STARTS = ([0.0, -4.0], [-0.5, -1.0])
"""Where the fit begins: with few and with many wrong labels, between which the loss can have a saddle."""
LOWEST_LOGIT = -1e4
"""Stands for the logit -inf of a label that a head did not know: its probability is still 0 in double precision at any
temperature of :data:`BOUNDS`, and differences of logits stay finite."""
SMALLEST = 1e-12
"""Added to a probability before its logarithm is taken."""


class Calibration(NamedTuple):
    """What makes calibrated probabilities of logits."""

    temperature: float
    noise: float
    """Fraction of the labels that look as if drawn at random."""
    loss: float
    """Mean negative log probability of the labels."""


def calibrate(logits_nc: np.ndarray, label_n: np.ndarray) -> Calibration:
    r"""Fit a temperature and a rate of wrong labels to held-out observations, by maximum likelihood.

    .. math:: p(\text{label } c) = (1 - \varepsilon) \operatorname{softmax}_c(l / T) + \varepsilon / C

    Observations whose label the head did not know are left out. Without :math:`\varepsilon` a few wrong labels of clear
    observations would soften every probability; with it, they count as wrong labels.

    Parameters
    ----------
    logits_nc
        (n, c) logits; -inf for a label that the head did not know.
    label_n
        (n,) int codes of the labels.

    Returns
    -------
    Calibration
        Temperature 1, noise 0 and an infinite loss if no observation is left.
    """
    known_n = np.isfinite(logits_nc[np.arange(len(label_n)), label_n])
    logits_nc, label_n = np.maximum(logits_nc[known_n], LOWEST_LOGIT), label_n[known_n]
    at = np.arange(len(label_n)), label_n

    def loss(parameters: np.ndarray) -> float:
        p_n = softmax(logits_nc * np.exp(-parameters[0]), axis=1)[at]
        noise = 1 / (1 + np.exp(-parameters[1]))
        return float(-np.log((1 - noise) * p_n + noise / logits_nc.shape[1] + SMALLEST).mean())

    if len(label_n) == 0:
        return Calibration(1.0, 0.0, np.inf)
    ends = [minimize(loss, start, method="L-BFGS-B", bounds=BOUNDS) for start in STARTS]
    best = min(ends, key=lambda end: end.fun)
    return Calibration(float(np.exp(best.x[0])), float(1 / (1 + np.exp(-best.x[1]))), float(best.fun))


def corrected(logits_nc: np.ndarray, label_n: np.ndarray, calibration: Calibration) -> np.ndarray:
    r"""Return the most probable true label of held-out observations, (n,) int, given the label that they carry.

    .. math:: p(c \mid x, \text{label}) \propto \operatorname{softmax}_c(l / T)
              \left((1 - \varepsilon) [c = \text{label}] + \varepsilon / C\right)

    Observations whose label the head did not know keep it, and so do all observations of a label that would have none
    left.
    """
    n_labels, at = logits_nc.shape[1], (np.arange(len(label_n)), label_n)
    posterior_nc = softmax(np.maximum(logits_nc, LOWEST_LOGIT) / calibration.temperature, axis=1)
    kept_n = posterior_nc[at] * (1 - calibration.noise + calibration.noise / n_labels)
    posterior_nc *= calibration.noise / n_labels
    posterior_nc[at] = np.where(np.isfinite(logits_nc[at]), kept_n, 1.0)
    true_n = posterior_nc.argmax(1)
    return np.where(np.isin(label_n, true_n), true_n, label_n)


def calibration_error(probability_nc: np.ndarray, label_n: np.ndarray) -> float:
    """Compute the expected calibration error of the largest probability, as ``omicsmlm.evaluation.reliability`` does.

    Examples
    --------
    >>> round(calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])), 3)
    0.4
    """
    confidence_n = probability_nc.max(1)
    gap_n = (probability_nc.argmax(1) == label_n) - confidence_n
    bin_n = np.minimum((confidence_n * N_BINS).astype(int), N_BINS - 1)
    return float(np.abs(np.bincount(bin_n, gap_n)).sum() / max(len(label_n), 1))


def scores(
    before_nc: np.ndarray, after_nc: np.ndarray, rejected_n: np.ndarray, label_n: np.ndarray
) -> dict[str, float]:
    """Score probabilities, before and after calibration, and what is left when some observations are rejected.

    Parameters
    ----------
    before_nc, after_nc
        (n, c) probabilities.
    rejected_n
        (n,) bool.
    label_n
        (n,) int: true labels.
    """
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    predicted_n = after_nc.argmax(1)
    found = {
        "accuracy": accuracy_score(label_n, predicted_n),
        "balanced accuracy": recall_score(label_n, predicted_n, labels=np.unique(label_n), average="macro"),
        "macro F1": f1_score(label_n, predicted_n, average="macro", zero_division=0),
        "ECE": calibration_error(after_nc, label_n),
        "ECE uncalibrated": calibration_error(before_nc, label_n),
        "share rejected": rejected_n.mean(),
        "accuracy of kept": (predicted_n == label_n)[~rejected_n].mean() if not rejected_n.all() else 0.0,
    }
    return {name: float(value) for name, value in found.items()}
