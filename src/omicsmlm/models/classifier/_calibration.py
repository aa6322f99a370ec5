"""Probabilities that hold: their temperature, the share of wrong labels, and how far they are off."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

N_BINS = 15
"""Bins of the calibration error."""
BOUNDS = [(-3.0, 3.0), (-9.0, 2.0)]
"""Of the logarithm of the temperature, and of the logit of the share of wrong labels."""


class Calibration(NamedTuple):
    """What turns logits into probabilities that hold."""

    temperature: float
    noise: float
    """Share of the labels that look as if drawn at random."""
    loss: float
    """Mean negative log probability of the labels."""


def calibrate(logits_nc: np.ndarray, label_n: np.ndarray) -> Calibration:
    r"""Fit a temperature and a share of wrong labels to held-out rows, by maximum likelihood.

    .. math:: p(\text{label } c) = (1 - \varepsilon) \operatorname{softmax}_c(l / T) + \varepsilon / C

    Rows whose label the head did not know are left out. Without :math:`\varepsilon` a few wrong labels that contradict
    a clear row would make every probability timid. With it, they are known for what they are.
    """
    known_n = np.isfinite(logits_nc[np.arange(len(label_n)), label_n])
    logits_nc, label_n = np.maximum(logits_nc[known_n], -1e4), label_n[known_n]
    at = np.arange(len(label_n)), label_n

    def loss(parameters: np.ndarray) -> float:
        p_n = softmax(logits_nc * np.exp(-parameters[0]), axis=1)[at]
        noise = 1 / (1 + np.exp(-parameters[1]))
        return float(-np.log((1 - noise) * p_n + noise / logits_nc.shape[1] + 1e-12).mean())

    if len(label_n) == 0:
        return Calibration(1.0, 0.0, np.inf)
    # from two starts: with few and with many wrong labels, between which the loss can have a saddle
    starts = [minimize(loss, start, method="L-BFGS-B", bounds=BOUNDS) for start in ([0.0, -4.0], [-0.5, -1.0])]
    found = min(starts, key=lambda end: end.fun)
    return Calibration(float(np.exp(found.x[0])), float(1 / (1 + np.exp(-found.x[1]))), float(found.fun))


def corrected(logits_nc: np.ndarray, label_n: np.ndarray, calibration: Calibration) -> np.ndarray:
    r"""Give the most probable true label of held-out rows, (n,) int, given what they are called.

    .. math:: p(c \mid x, \text{label}) \propto \operatorname{softmax}_c(l / T)
              \left((1 - \varepsilon) [c = \text{label}] + \varepsilon / C\right)

    Rows whose label the head did not know keep it, and so do all rows of a label that would have none left.
    """
    n_labels, at = logits_nc.shape[1], (np.arange(len(label_n)), label_n)
    posterior_nc = softmax(np.maximum(logits_nc, -1e4) / calibration.temperature, axis=1)
    kept_n = posterior_nc[at] * (1 - calibration.noise + calibration.noise / n_labels)
    posterior_nc *= calibration.noise / n_labels
    posterior_nc[at] = np.where(np.isfinite(logits_nc[at]), kept_n, 1.0)
    true_n = posterior_nc.argmax(1)
    return np.where(np.isin(label_n, true_n), true_n, label_n)


def calibration_error(probability_nc: np.ndarray, label_n: np.ndarray) -> float:
    """Give the expected calibration error of the largest probability; as ``omicsmlm.evaluation.reliability`` does."""
    confidence_n = probability_nc.max(1)
    gap_n = (probability_nc.argmax(1) == label_n) - confidence_n
    bin_n = np.minimum((confidence_n * N_BINS).astype(int), N_BINS - 1)
    return float(np.abs(np.bincount(bin_n, gap_n)).sum() / max(len(label_n), 1))


def scores(
    before_nc: np.ndarray, after_nc: np.ndarray, rejected_n: np.ndarray, label_n: np.ndarray
) -> dict[str, float]:
    """Score probabilities, before and after calibration, and what is left when some rows are rejected.

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

    called_n = after_nc.argmax(1)
    found = {
        "accuracy": accuracy_score(label_n, called_n),
        "balanced accuracy": recall_score(label_n, called_n, labels=np.unique(label_n), average="macro"),
        "macro F1": f1_score(label_n, called_n, average="macro", zero_division=0),
        "ECE": calibration_error(after_nc, label_n),
        "ECE uncalibrated": calibration_error(before_nc, label_n),
        "share rejected": rejected_n.mean(),
        "accuracy of kept": (called_n == label_n)[~rejected_n].mean() if not rejected_n.all() else 0.0,
    }
    return {name: float(value) for name, value in found.items()}
