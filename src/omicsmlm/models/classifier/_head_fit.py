"""The label head of an encoder that stays as it is: fitted to convergence, then calibrated on held-out observations."""

from typing import NamedTuple

import numpy as np
import torch

from omicsmlm.nn import LabelHead

from ._calibration import calibrate, corrected, scores
from ._config import ClassifierConfig
from ._linear_model import (
    LabelData,
    choose_regularisation,
    fit_logistic,
    fit_novelty,
    fit_scale,
    held_out_logits,
    held_out_novelty,
    scaled,
    set_linear,
)

NOISY = 0.02
"""Estimated fraction of wrong labels from which on those that held-out observations contradict are corrected, and the head
is fitted again: well above what clean labels are estimated to have by chance."""


class HeldOut(NamedTuple):
    """What a head that was fitted without them predicts for observations."""

    logits_nc: np.ndarray
    novelty_n: np.ndarray
    label_n: np.ndarray
    """(n,) int: labels as the user gave them."""


class HeadFit(NamedTuple):
    """What :func:`fit_head` found."""

    label_n: np.ndarray
    """(n,) int: labels that the head learned from, one per copy: corrected, if many are wrong."""
    held_out: HeldOut
    losses: dict[float, float]
    """Held-out loss of each regularisation weight that was tried."""
    regularisation: float
    balance: float
    """Those that the head was fitted with."""


class _Chosen(NamedTuple):
    regularisation: float
    losses: dict[float, float]
    held_out_nc: np.ndarray


def _chosen(data: LabelData, given_n: np.ndarray, n_labels: int, balance: float, seed: int) -> _Chosen:
    """Choose the regularisation weight; return it with the logits of held-out observations."""
    regularisation, losses = choose_regularisation(data, given_n, n_labels, balance, seed)
    return _Chosen(regularisation, losses, held_out_logits(data, n_labels, regularisation, balance, {}))


def fit_head(head: LabelHead, data: LabelData, position_n: np.ndarray, config: ClassifierConfig) -> HeadFit:
    """Fit a head, in place, to an embedding as it is, and predict every fold by a head that was fitted without it.

    Parameters
    ----------
    head
        On the CPU.
    data
        Embedded observations, as :func:`~omicsmlm.models.classifier._modality_subsets.subset_embeddings` returns them.
    position_n
        (n,) int: which observation each of these shows; the first copy of an observation has all of its modalities.
    config
        Hyper-parameters.
    """
    fit_scale(head, data.z_nd)
    data = data._replace(z_nd=scaled(head, data.z_nd))
    given_n, n_labels, balance = data.label_n, len(head.means_cd), config.balance
    chosen = _chosen(data, given_n, n_labels, balance, config.seed)
    if calibrate(chosen.held_out_nc, given_n).noise > NOISY:
        balance = config.balance / 2
        chosen = _chosen(data, given_n, n_labels, balance, config.seed)
        n_whole = int(position_n.max()) + 1
        whole_nc, whole_n = chosen.held_out_nc[:n_whole], given_n[:n_whole]
        right_n = corrected(whole_nc, whole_n, calibrate(whole_nc, whole_n))
        data = data._replace(label_n=right_n[position_n])
        chosen = _chosen(data, given_n, n_labels, balance, config.seed)
    set_linear(head, fit_logistic(data, n_labels, chosen.regularisation, balance))
    fit_novelty(head, data.z_nd, data.label_n)
    held_out = HeldOut(chosen.held_out_nc, held_out_novelty(head, data), given_n)
    return HeadFit(data.label_n, held_out, chosen.losses, chosen.regularisation, balance)


def calibrate_head(
    head: LabelHead, held_out: HeldOut, false_rejection: float, *, is_calibrated: bool = False
) -> tuple[float, dict[str, float]]:
    """Set temperature and threshold of a head from held-out observations.

    Parameters
    ----------
    head
        On the CPU; changed in place.
    held_out
        What is predicted for them.
    false_rejection
        Fraction of them that is to be rejected.
    is_calibrated
        Whether the logits hold as they are, as those of a mean of calibrated predictions; the temperature is then 1.

    Returns
    -------
    tuple
        The estimated fraction of wrong labels, and the scores of the held-out observations.
    """
    logits_nc, novelty_n, label_n = held_out
    found = calibrate(logits_nc, label_n)
    temperature = 1.0 if is_calibrated else found.temperature
    known_n = np.isfinite(logits_nc[np.arange(len(label_n)), label_n])
    head.temperature.fill_(temperature)
    head.threshold.fill_(_threshold(novelty_n[known_n], false_rejection))
    logits, rejected_n = torch.from_numpy(logits_nc), novelty_n > float(head.threshold)
    before, after = (part.softmax(1).numpy() for part in (logits, logits / temperature))
    return found.noise, scores(before, after, rejected_n, label_n)


def _threshold(novelty_n: np.ndarray, false_rejection: float) -> float:
    """Compute the novelty that this fraction of the observations exceeds; infinite if there are none.

    Examples
    --------
    >>> _threshold(np.arange(10.0), 0.2), _threshold(np.arange(10.0), 0.0), _threshold(np.zeros(0), 0.1)
    (8.0, 9.0, inf)
    """
    return float(np.quantile(novelty_n, 1 - false_rejection, method="higher")) if len(novelty_n) else float("inf")
