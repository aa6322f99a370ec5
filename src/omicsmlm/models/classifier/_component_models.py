"""Plain logistic regressions on components of the features, beside the head of the embedding, and the mean of the two."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from omicsmlm.nn import ComponentLogits, LabelHead, mean_probability

from ._calibration import LOWEST_LOGIT, calibrate
from ._config import ClassifierConfig
from ._head_fit import HeadFit
from ._linear_ensemble import SubsetData
from ._linear_model import LabelData, choose_regularisation, fit_logistic, held_out_logits

N_COMPONENTS = 50
"""Principal components of a modality: as many as the plain baseline of every table."""
NARROW = 200
"""Features of a modality, such as a panel of proteins, up to which these themselves stand for components, each standardised."""
STANDARD_ERRORS = 2.0
"""Standard errors by which a candidate must beat the mean of embedding and regression: by chance the best of three does in
one case of twenty."""
N_RESAMPLES = 200
"""Samples of the observations by which the standard error of a difference of scores is estimated."""
LEAST_DEVIATION = 1e-3
"""Of the largest standard deviation of a modality's components: below it is rounding, as the features are float32."""


class ComponentFit(NamedTuple):
    """What :func:`fit_component_models` found."""

    logits: ComponentLogits
    held_out_nc: np.ndarray
    """(m, c) calibrated logits of each observation and copy by the candidate that predicts it, fitted without its fold."""
    table: pd.DataFrame
    """Accuracy and macro F1 of each candidate on held-out observations, their mean, and which was chosen."""


class Folds(NamedTuple):
    """What observations are held out with, (m,) int each."""

    calibration_m: np.ndarray
    """Those of the head."""
    choice_m: np.ndarray
    """Whole batches, where there are two or more."""


def batch_folds(fold_n: np.ndarray, batch_n: np.ndarray | None) -> np.ndarray:
    """Return the folds by which candidates are compared: the batches, where there are just two; else those of the head.

    With three batches or more the head's own folds are of whole batches already.

    Examples
    --------
    >>> batch_folds(np.array([0, 1, 2]), np.array([1, 0, 1])).tolist(), batch_folds(np.array([0, 1]), None).tolist()
    ([1, 0, 1], [0, 1])
    """
    return batch_n if batch_n is not None and len(np.unique(batch_n)) == 2 else fold_n


def principal_directions(x_ng: np.ndarray, spans: dict[str, slice], seed: int) -> np.ndarray:
    """Compute the leading principal directions of each modality, (g, k) float64, by which components have sd 1.

    Features of a narrow modality are components themselves.

    Parameters
    ----------
    x_ng
        Scaled features.
    spans
        Columns of each modality.
    seed
        Seed of the randomised decomposition of large matrices.
    """
    from sklearn.decomposition import PCA

    blocks = []
    for span in spans.values():
        part = x_ng[:, span]
        if part.shape[1] <= NARROW:
            direction_gk, deviation_k = np.eye(part.shape[1]), part.std(0, ddof=1)
        else:
            fitted = PCA(min(N_COMPONENTS, *part.shape), random_state=seed).fit(part)
            direction_gk, deviation_k = fitted.components_.T, np.sqrt(fitted.explained_variance_)
        kept_k = deviation_k > LEAST_DEVIATION * max(deviation_k.max(), 1e-12)
        block_gk = np.zeros((x_ng.shape[1], int(kept_k.sum())))
        block_gk[span] = direction_gk[:, kept_k] / deviation_k[kept_k]
        blocks.append(block_gk)
    return np.hstack(blocks)


def fit_component_models(
    head: LabelHead,
    fitted: HeadFit,
    data: SubsetData,
    folds: Folds,
    directions_gk: np.ndarray,
    config: ClassifierConfig,
) -> ComponentFit:
    """Fit the regressions, and choose a candidate by the mean of accuracy and macro F1 on held-out folds.

    Both scores count, since the rare labels that a balanced model finds cost it accuracy. The mean of embedding and balanced
    regression, divided by the labels' frequencies to a power, predicts unless another candidate is better by more than two
    standard errors of the paired difference.

    Parameters
    ----------
    head
        Fitted; on the CPU.
    fitted
        How it was fitted.
    data
        Observations whole and in copies that have one modality, with the labels as the user gave them.
    folds
        Of these.
    directions_gk
        Principal directions of features.
    config
        Hyper-parameters: ``frequency_power``, and the seed of the sample by which regularisations are chosen.
    """
    logits, n_labels, seed = _prepared(head, data, directions_gk), len(head.linear.weight), config.seed
    whole_m = data.subset_n == logits.whole
    given_n, x_ng = data.label_n[whole_m], torch.from_numpy(data.x_ng[whole_m])
    logits.discount_c = torch.from_numpy(discounts(given_n, n_labels, config.frequency_power)).float()
    component_nk = logits.components(x_ng).double().numpy()
    learned = LabelData(component_nk, fitted.label_n[whole_m], folds.calibration_m[whole_m])
    embedded = LabelData(data.z_nd, fitted.label_n, folds.choice_m)
    calibrated, chosen_by = [fitted.held_out.logits_nc], [_again(embedded, fitted, folds, n_labels)[whole_m]]
    for k, balance in enumerate((1.0, 0.0)):
        regularisation, _ = choose_regularisation(learned, given_n, n_labels, balance, seed)
        weights = fit_logistic(learned, n_labels, regularisation, balance)
        logits.weight_2ck[k], logits.bias_2c[k] = torch.from_numpy(weights.weight_cd), torch.from_numpy(weights.bias_c)
        calibrated.append(held_out_logits(learned, n_labels, regularisation, balance, {}))
        grouped = learned._replace(fold_n=folds.choice_m[whole_m])
        same = (grouped.fold_n == learned.fold_n).all()
        chosen_by.append(calibrated[-1] if same else held_out_logits(grouped, n_labels, regularisation, balance, {}))
    for k, logits_nc in enumerate(calibrated):
        sharpness = 1 / calibrate(logits_nc, given_n if k else data.label_n).temperature
        logits.sharpness_3[k] = sharpness
        calibrated[k], chosen_by[k] = logits_nc * sharpness, chosen_by[k] * sharpness
    table = _compared([*chosen_by, _mean(chosen_by[0], chosen_by[1], logits.discount_c)], given_n, seed)
    best = int(np.flatnonzero(table["chosen"])[0])
    logits.chosen_candidate.fill_(best)
    held_out_nc = calibrated[0].copy()
    mean_nc = _mean(held_out_nc[whole_m], calibrated[1], logits.discount_c)
    held_out_nc[whole_m] = [held_out_nc[whole_m], *calibrated[1:], mean_nc][best]
    return ComponentFit(logits, held_out_nc, table)


def _prepared(head: LabelHead, data: SubsetData, directions_gk: np.ndarray) -> ComponentLogits:
    """Return candidates with what they take from the features and from the head, whose regressions are still to be fitted."""
    n_labels, d = head.linear.weight.shape
    n_modalities = int(data.subset_n.max()).bit_length()
    logits = ComponentLogits(n_modalities, n_labels, data.x_ng.shape[1], d, directions_gk.shape[1])
    logits.direction_gk = torch.from_numpy(directions_gk).float()
    logits.centre_k = torch.from_numpy(data.x_ng[data.subset_n == logits.whole].mean(0) @ directions_gk).float()
    logits.embedding_cd, logits.embedding_c = head.linear.weight.detach().clone(), head.linear.bias.detach().clone()
    return logits


def discounts(label_n: np.ndarray, n_labels: int, power: float) -> np.ndarray:
    """Compute what the mean is divided by, (c,): the labels' frequencies to a power.

    A label that no whole observation has, only some that lack a modality, counts as one that a single observation has.

    Examples
    --------
    >>> discounts(np.repeat([0, 1], [4, 60]), 2, 0.5).round(3).tolist(), discounts(np.array([0, 1, 1]), 2, 0).tolist()
    ([0.25, 0.968], [1.0, 1.0])
    """
    return (np.maximum(np.bincount(label_n, minlength=n_labels), 1) / len(label_n)) ** power


def _mean(first_nc: np.ndarray, second_nc: np.ndarray, discount_c: torch.Tensor) -> np.ndarray:
    """Compute the logits of the mean of two predictions; a label that one did not know counts as next to impossible there."""
    first, second = (torch.from_numpy(np.maximum(part, LOWEST_LOGIT)) for part in (first_nc, second_nc))
    return mean_probability(first, second, discount_c.double()).numpy()


def _again(data: LabelData, fitted: HeadFit, folds: Folds, n_labels: int) -> np.ndarray:
    """Compute the head's (m, c) logits of observations held out by the folds of the choice."""
    if (folds.choice_m == folds.calibration_m).all():
        return fitted.held_out.logits_nc
    return held_out_logits(data, n_labels, fitted.regularisation, fitted.balance, {})


def _compared(logits: list[np.ndarray], label_n: np.ndarray, seed: int) -> pd.DataFrame:
    """Score candidates on held-out observations; the last is chosen unless another beats it by ``STANDARD_ERRORS``."""
    n_labels = logits[0].shape[1]
    pair_kn = np.stack([label_n * n_labels + logits_nc.argmax(1) for logits_nc in logits])
    found_k2 = np.array([_scores(pair_n, n_labels) for pair_n in pair_kn])
    score_k = found_k2.mean(1)
    rng = np.random.default_rng(seed)
    sample_rn = rng.integers(0, len(label_n), (N_RESAMPLES, len(label_n)))
    drawn_rk = np.array([[sum(_scores(pair_n[at_n], n_labels)) / 2 for pair_n in pair_kn] for at_n in sample_rn])
    gain_k, error_k = score_k - score_k[-1], (drawn_rk - drawn_rk[:, -1:]).std(0)
    best = int(score_k.argmax())
    chosen = best if gain_k[best] > STANDARD_ERRORS * error_k[best] else len(logits) - 1
    table = pd.DataFrame(found_k2, pd.Index(ComponentLogits.names, name="candidate"), ["accuracy", "macro F1"])
    compared = {"score": score_k, "gain": gain_k, "error of gain": error_k}
    return table.assign(**compared, chosen=np.arange(len(logits)) == chosen, n=len(label_n))


def _scores(pair_n: np.ndarray, n_labels: int) -> tuple[float, float]:
    """Compute accuracy and macro F1 from codes of pairs, label · c + predicted label; labels that do not occur do not count.

    Examples
    --------
    >>> [round(score, 3) for score in _scores(np.array([0, 0, 0, 2]), 2)]  # all of four are called 0; one is 1
    [0.75, 0.429]
    """
    count_cc = np.bincount(pair_n, minlength=n_labels**2).reshape(n_labels, n_labels)
    right_c, either_c = np.diag(count_cc), count_cc.sum(0) + count_cc.sum(1)
    occurs_c = either_c > 0
    return float(right_c.sum()) / max(int(count_cc.sum()), 1), float(
        (2 * right_c[occurs_c] / either_c[occurs_c]).mean()
    )
