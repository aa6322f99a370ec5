"""The label head of a fixed embedding, solved exactly, and judged on rows that it has not seen."""

import copy
from typing import NamedTuple

import numpy as np
import torch

from omicsmlm.nn import LabelHead

from ._calibration import calibrate

STRENGTHS = tuple(float(strength) for strength in 10.0 ** np.arange(0.0, -5.5, -0.5))
"""Weights of the penalty ‖w‖²/2 beside the mean loss of a row, tried from the strongest on."""
CHOOSING_ROWS = 20_000
"""Rows from which the strength is chosen and the calibration is fitted; a random sample where there are more."""
FLOOR = 1e-6
"""Variance that every direction has at least; that of the whole embedding is 1 on average."""


class Labelled(NamedTuple):
    """Embedded rows with labels; a row may be there several times, as each of its modalities shows it."""

    z_nd: np.ndarray
    label_n: np.ndarray
    """(n,) int: code of the label."""
    fold_n: np.ndarray
    """(n,) int: with which rows it is held out; the same for all copies of a row."""

    def only(self, chosen_n: np.ndarray) -> "Labelled":
        """Take some rows."""
        return Labelled(*(part[chosen_n] for part in self))


class Linear(NamedTuple):
    """Weights of the linear layer; a label without rows has the bias -inf."""

    weight_cd: np.ndarray
    bias_c: np.ndarray


def folds(label_n: np.ndarray, batch_n: np.ndarray | None, n_folds: int, seed: int) -> np.ndarray:
    """Divide rows into those that are held out together.

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
        (n,) int. With three batches or more whole batches are held out, as a new batch would be. Two are too few: half
        of what there is to learn from would be gone, and another head be calibrated. Then rows are, label by label.
    """
    rng = np.random.default_rng(seed)
    if batch_n is not None and len(np.unique(batch_n)) >= 3:
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
    """Give the weight of a row of each label, (c,): its frequency to the power of minus ``balance``.

    Examples
    --------
    >>> label_weights(np.array([0, 0, 0, 1]), 2, 1.0).round(2).tolist()
    [0.67, 2.0]
    """
    n_c = np.bincount(label_n, minlength=n_labels).clip(min=1)
    weight_c = n_c**-balance
    return weight_c / (weight_c[label_n].mean() if len(label_n) else 1.0)


def solve(indices: Labelled, n_labels: int, strength: float, balance: float, start: Linear | None = None) -> Linear:
    """Solve multinomial logistic regression with weighted labels.

    Parameters
    ----------
    indices
        Rows, in the scale of the head.
    n_labels
        c; labels without rows get no probability.
    strength
        Weight of ‖w‖²/2 beside the mean loss of a row.
    balance
        0: every row counts alike; 1: every label does.
    start
        A solution near by.
    """
    from sklearn.linear_model import LogisticRegression

    known, code_n = np.unique(indices.label_n, return_inverse=True)
    solution = Linear(np.zeros((n_labels, indices.z_nd.shape[1])), np.full(n_labels, -np.inf))
    if len(known) == 1:
        solution.bias_c[known] = 0.0
        return solution
    weight_c = label_weights(code_n, len(known), balance)
    # Of two labels sklearn gives the difference of their weights, whose penalty is twice that of the two.
    penalty = strength * len(code_n) * (0.5 if len(known) == 2 else 1.0)
    regression = LogisticRegression(C=1 / penalty, warm_start=True, max_iter=1000)
    if start is not None and len(known) > 2:
        regression.coef_, regression.intercept_ = start.weight_cd[known], start.bias_c[known]
    regression.fit(indices.z_nd, code_n, sample_weight=weight_c[code_n])
    weight_cd, bias_c = regression.coef_, regression.intercept_
    if len(known) == 2:
        weight_cd, bias_c = np.vstack([-weight_cd, weight_cd]) / 2, np.concatenate([-bias_c, bias_c]) / 2
    solution.weight_cd[known], solution.bias_c[known] = weight_cd, bias_c
    return solution


def held_out_logits(
    indices: Labelled, n_labels: int, strength: float, balance: float, starts: dict[int, Linear]
) -> np.ndarray:
    """Give each row the logits of a head that was solved without its fold, (n, c); fills ``starts`` with the heads."""
    logits_nc = np.zeros((len(indices.label_n), n_labels))
    for fold in np.unique(indices.fold_n):
        out_n = indices.fold_n == fold
        if out_n.all():
            continue
        starts[fold] = solve(indices.only(~out_n), n_labels, strength, balance, starts.get(fold))
        logits_nc[out_n] = indices.z_nd[out_n] @ starts[fold].weight_cd.T + starts[fold].bias_c
    return logits_nc


def choose_strength(
    indices: Labelled, given_n: np.ndarray, n_labels: int, balance: float, seed: int
) -> tuple[float, dict[float, float]]:
    """Weaken the penalty for as long as held-out rows, calibrated, gain by it.

    Parameters
    ----------
    indices
        Rows with the labels to learn from.
    given_n
        (n,) int: the labels to be judged by, as the user gave them.
    n_labels, balance
        As in :func:`solve`.
    seed
        Seed of the sample, where there are too many rows.

    Returns
    -------
    tuple
        The strength, and the held-out loss of each that was tried.
    """
    if len(given_n) > CHOOSING_ROWS:
        sample_n = np.sort(np.random.default_rng(seed).permutation(len(given_n))[:CHOOSING_ROWS])
        indices, given_n = indices.only(sample_n), given_n[sample_n]
    losses: dict[float, float] = {}
    starts: dict[int, Linear] = {}
    for strength in STRENGTHS:
        logits_nc = held_out_logits(indices, n_labels, strength, balance, starts)
        losses[strength] = calibrate(logits_nc, given_n).loss
        if len(losses) > 3 and min(list(losses.values())[-2:]) > min(losses.values()):
            break
    return min(losses, key=lambda strength: losses[strength]), losses


def fit_scale(head: LabelHead, z_nd: np.ndarray) -> None:
    """Set the centre and the one scale of an embedding."""
    head.centre_d.copy_(torch.from_numpy(z_nd.mean(0)))
    head.scale.fill_(float(np.sqrt(z_nd.var(0).mean())) or 1.0)


def fit_linear(head: LabelHead, solution: Linear) -> None:
    """Set the linear layer."""
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(solution.weight_cd))
        head.linear.bias.copy_(torch.from_numpy(solution.bias_c))


def fit_novelty(head: LabelHead, x_nd: np.ndarray, label_n: np.ndarray) -> None:
    """Set means and covariances (shrunk: Ledoit and Wolf 2004) from rows in the scale of the head."""
    from sklearn.covariance import ledoit_wolf

    n_labels = len(head.means_cd)
    n_c = np.bincount(label_n, minlength=n_labels)
    means_cd = np.full((n_labels, x_nd.shape[1]), 1e6)  # a label without rows is near to none
    for label in np.flatnonzero(n_c):
        means_cd[label] = x_nd[label_n == label].mean(0)
    head.means_cd.copy_(torch.from_numpy(means_cd))
    for whitening_dd, deviation_nd in ((head.within_dd, x_nd - means_cd[label_n]), (head.overall_dd, x_nd)):
        covariance_dd = ledoit_wolf(deviation_nd, assume_centered=True)[0] + FLOOR * np.eye(x_nd.shape[1])
        whitening_dd.copy_(torch.from_numpy(np.linalg.cholesky(np.linalg.inv(covariance_dd))))


def held_out_novelty(head: LabelHead, indices: Labelled) -> np.ndarray:
    """Give each row its novelty to a head that was fitted without its fold, (n,)."""
    judge = copy.deepcopy(head).double()
    judge.centre_d.zero_()
    judge.scale.fill_(1.0)
    novelty_n = np.zeros(len(indices.label_n))
    for fold in np.unique(indices.fold_n):
        out_n = indices.fold_n == fold
        if not out_n.all():
            fit_novelty(judge, indices.z_nd[~out_n], indices.label_n[~out_n])
            novelty_n[out_n] = judge.novelty(torch.from_numpy(indices.z_nd[out_n])).numpy()
    return novelty_n
