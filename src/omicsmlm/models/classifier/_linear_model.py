"""Logistic regression on a fixed embedding, fitted to convergence, and its predictions for held-out observations."""

import copy
from typing import NamedTuple

import numpy as np
import torch

from omicsmlm.models.heads import is_past_minimum
from omicsmlm.nn import LabelHead

from ._calibration import calibrate

REGULARISATIONS = tuple(float(weight) for weight in 10.0 ** np.arange(0.0, -5.5, -0.5))
"""Weights of the penalty ‖w‖²/2 beside the mean loss of an observation, tried from the strongest on."""
CHOOSING_OBSERVATIONS = 20_000
"""Observations from which the regularisation is chosen; a random sample where there are more."""
LEAST_VARIANCE = 1e-6
"""Added to the variance of every direction, so that a covariance can be inverted; that of the whole embedding is 1 on
average, and what is smaller than this is rounding in float32."""
FEWEST_BATCHES = 3
"""Batches from which on whole ones are held out."""
FAR = 1e6
"""Coordinate of the mean of a label without observations, in standard deviations of the embedding: near to none."""


class LabelData(NamedTuple):
    """Embedded observations with labels; one may be there several times, with different modalities visible."""

    z_nd: np.ndarray
    label_n: np.ndarray
    """(n,) int: code of the label."""
    fold_n: np.ndarray
    """(n,) int: fold that it is held out with; the same for all copies of an observation."""

    def only(self, chosen_n: np.ndarray) -> "LabelData":
        """Return some observations."""
        return LabelData(*(part[chosen_n] for part in self))


class LinearWeights(NamedTuple):
    """Weights of a linear layer; a label without observations has the bias -inf."""

    weight_cd: np.ndarray
    bias_c: np.ndarray

    def logits(self, z_nd: np.ndarray) -> np.ndarray:
        """Compute (n, c) logits."""
        return z_nd @ self.weight_cd.T + self.bias_c


def label_folds(label_n: np.ndarray, batch_n: np.ndarray | None, n_folds: int, seed: int) -> np.ndarray:
    """Divide observations into those that are held out together.

    Parameters
    ----------
    label_n, batch_n
        (n,) codes of the labels and of the batches; None for one batch.
    n_folds
        Largest number of folds.
    seed
        Seed of the folds.

    Returns
    -------
    numpy.ndarray
        (n,) int. With three batches or more whole batches are held out, as a new batch would be. Two are too few: each
        head would learn from half of the observations, and be another than the one that is calibrated. Then observations
        are held out, stratified by label.
    """
    rng = np.random.default_rng(seed)
    if batch_n is not None and len(np.unique(batch_n)) >= FEWEST_BATCHES:
        batches, batch_n = np.unique(batch_n, return_inverse=True)
        return (rng.permutation(len(batches)) % n_folds)[batch_n]
    fold_n = np.empty(len(label_n), dtype=np.int64)
    start = 0
    for label in np.unique(label_n):
        indices = rng.permutation(np.flatnonzero(label_n == label))
        fold_n[indices] = (start + np.arange(len(indices))) % n_folds
        start += len(indices)  # so that rare labels do not all fall into the first fold
    return fold_n


def label_weights(label_n: np.ndarray, n_labels: int, balance: float) -> np.ndarray:
    """Compute the weight of an observation of each label, (c,): its frequency to the power of minus ``balance``.

    Their mean over the observations is 1, so that the balance of labels leaves that of loss and penalty as it is.

    Examples
    --------
    >>> label_weights(np.array([0, 0, 0, 1]), 2, 1.0).round(2).tolist()
    [0.67, 2.0]
    """
    n_c = np.bincount(label_n, minlength=n_labels).clip(min=1)
    weight_c = n_c**-balance
    return weight_c / (weight_c[label_n].mean() if len(label_n) else 1.0)


def fit_logistic(
    data: LabelData, n_labels: int, regularisation: float, balance: float, start: LinearWeights | None = None
) -> LinearWeights:
    r"""Fit multinomial logistic regression with weighted labels.

    .. math:: \min_{W, b}\; -\tfrac1n \sum_i \omega_{y_i} \log \operatorname{softmax}_{y_i}(W z_i + b)
              + \tfrac{\lambda}{2} \|W\|^2

    Parameters
    ----------
    data
        Observations, in the scale of the head.
    n_labels
        c; labels without observations get no probability.
    regularisation
        λ, the weight of the penalty beside the mean loss of an observation.
    balance
        0: every observation counts alike; 1: every label does.
    start
        Weights near by.
    """
    from sklearn.linear_model import LogisticRegression

    known, code_n = np.unique(data.label_n, return_inverse=True)
    fitted = LinearWeights(np.zeros((n_labels, data.z_nd.shape[1])), np.full(n_labels, -np.inf))
    if len(known) == 1:
        fitted.bias_c[known] = 0.0
        return fitted
    weight_c = label_weights(code_n, len(known), balance)
    # Of two labels sklearn fits the difference of their weights, whose penalty is twice that of the two.
    penalty = regularisation * len(code_n) * (0.5 if len(known) == 2 else 1.0)
    regression = LogisticRegression(C=1 / penalty, warm_start=True, max_iter=1000)
    if start is not None and len(known) > 2:
        regression.coef_, regression.intercept_ = start.weight_cd[known], start.bias_c[known]
    regression.fit(data.z_nd, code_n, sample_weight=weight_c[code_n])
    weight_cd, bias_c = regression.coef_, regression.intercept_
    if len(known) == 2:
        weight_cd, bias_c = np.vstack([-weight_cd, weight_cd]) / 2, np.concatenate([-bias_c, bias_c]) / 2
    fitted.weight_cd[known], fitted.bias_c[known] = weight_cd, bias_c
    return fitted


def held_out_logits(
    data: LabelData, n_labels: int, regularisation: float, balance: float, fits: dict[int, LinearWeights]
) -> np.ndarray:
    """Compute the (n, c) logits of each observation by a model fitted without its fold.

    Parameters
    ----------
    data, n_labels, regularisation, balance
        As in :func:`fit_logistic`.
    fits
        By fold, the models fitted without it: where the fits start, if they are there, and filled with the new ones.
    """
    logits_nc = np.zeros((len(data.label_n), n_labels))
    for fold in np.unique(data.fold_n):
        out_n = data.fold_n == fold
        if out_n.all():
            continue
        fits[fold] = fit_logistic(data.only(~out_n), n_labels, regularisation, balance, fits.get(fold))
        logits_nc[out_n] = fits[fold].logits(data.z_nd[out_n])
    return logits_nc


def choose_regularisation(
    data: LabelData, given_n: np.ndarray, n_labels: int, balance: float, seed: int
) -> tuple[float, dict[float, float]]:
    """Weaken the regularisation for as long as the calibrated loss of held-out observations falls.

    Parameters
    ----------
    data
        Observations with the labels to learn from.
    given_n
        (n,) int: the labels that the loss is taken over, as the user gave them.
    n_labels, balance
        As in :func:`fit_logistic`.
    seed
        Seed of the sample, where there are too many observations.

    Returns
    -------
    tuple
        The regularisation weight, and the held-out loss of each that was tried.
    """
    if len(given_n) > CHOOSING_OBSERVATIONS:
        sample_n = np.sort(np.random.default_rng(seed).permutation(len(given_n))[:CHOOSING_OBSERVATIONS])
        data, given_n = data.only(sample_n), given_n[sample_n]
    losses: dict[float, float] = {}
    fits: dict[int, LinearWeights] = {}
    for regularisation in REGULARISATIONS:
        logits_nc = held_out_logits(data, n_labels, regularisation, balance, fits)
        losses[regularisation] = calibrate(logits_nc, given_n).loss
        if is_past_minimum(list(losses.values())):
            break
    return min(losses, key=lambda regularisation: losses[regularisation]), losses


def fit_scale(head: LabelHead, z_nd: np.ndarray) -> None:
    """Set the centre and the one scale of an embedding."""
    head.centre_d.copy_(torch.from_numpy(z_nd.mean(0)))
    head.scale.fill_(float(np.sqrt(z_nd.var(0).mean())) or 1.0)


def scaled(head: LabelHead, z_nd: np.ndarray) -> np.ndarray:
    """Compute an embedding in the scale of the head, (n, d) float64."""
    return head.scaled(torch.from_numpy(z_nd)).double().numpy()


def set_linear(head: LabelHead, weights: LinearWeights) -> None:
    """Set the linear layer, in place; a network beside it adds nothing from here on, until it is trained."""
    head.clear_hidden()
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(weights.weight_cd))
        head.linear.bias.copy_(torch.from_numpy(weights.bias_c))


def fit_novelty(head: LabelHead, x_nd: np.ndarray, label_n: np.ndarray) -> None:
    """Set means and covariances (shrunk: Ledoit and Wolf 2004) from observations in the scale of the head."""
    from sklearn.covariance import ledoit_wolf

    n_labels = len(head.means_cd)
    n_c = np.bincount(label_n, minlength=n_labels)
    means_cd = np.full((n_labels, x_nd.shape[1]), FAR)
    for label in np.flatnonzero(n_c):
        means_cd[label] = x_nd[label_n == label].mean(0)
    head.means_cd.copy_(torch.from_numpy(means_cd))
    for whitening_dd, deviation_nd in ((head.within_dd, x_nd - means_cd[label_n]), (head.overall_dd, x_nd)):
        covariance_dd = ledoit_wolf(deviation_nd, assume_centered=True)[0] + LEAST_VARIANCE * np.eye(x_nd.shape[1])
        whitening_dd.copy_(torch.from_numpy(np.linalg.cholesky(np.linalg.inv(covariance_dd))))


def held_out_novelty(head: LabelHead, data: LabelData) -> np.ndarray:
    """Compute the (n,) novelty of each observation to a head that was fitted without its fold."""
    without_fold = copy.deepcopy(head).double()
    without_fold.centre_d.zero_()  # the data are in the scale of the head already
    without_fold.scale.fill_(1.0)
    novelty_n = np.zeros(len(data.label_n))
    for fold in np.unique(data.fold_n):
        out_n = data.fold_n == fold
        if not out_n.all():
            fit_novelty(without_fold, data.z_nd[~out_n], data.label_n[~out_n])
            novelty_n[out_n] = without_fold.novelty(torch.from_numpy(data.z_nd[out_n])).numpy()
    return novelty_n
