"""Plain logistic regressions on principal components of the features, beside the head of the embedding."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from omicsmlm.nn import ComponentLogits, LabelHead

from ._calibration import calibrate
from ._head_fit import HeadFit
from ._linear_ensemble import SubsetData
from ._linear_model import LabelData, choose_regularisation, fit_logistic, held_out_logits

N_COMPONENTS = 50
"""Principal components of each modality: as many as the plain baseline of every table."""
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
        fitted = PCA(min(N_COMPONENTS, *part.shape), random_state=seed).fit(part)
        deviation_k = np.sqrt(fitted.explained_variance_)
        kept_k = deviation_k > LEAST_DEVIATION * max(deviation_k[0], 1e-12)
        block_gk = np.zeros((x_ng.shape[1], int(kept_k.sum())))
        block_gk[span] = fitted.components_[kept_k].T / deviation_k[kept_k]
        blocks.append(block_gk)
    return np.hstack(blocks)


def fit_component_models(
    head: LabelHead, fitted: HeadFit, data: SubsetData, folds: Folds, directions_gk: np.ndarray, seed: int
) -> ComponentFit:
    """Fit the regressions, and choose the candidate with the highest mean of accuracy and macro F1 on held-out folds.

    Both scores count, since the rare labels that a balanced model finds cost it accuracy. Where candidates are level, the
    embedding predicts.

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
    seed
        Seed of the sample by which regularisations are chosen.
    """
    n_modalities = int(data.subset_n.max()).bit_length()
    n_labels, d = head.linear.weight.shape
    logits = ComponentLogits(n_modalities, n_labels, data.x_ng.shape[1], d, directions_gk.shape[1])
    whole_m = data.subset_n == logits.whole
    logits.direction_gk = torch.from_numpy(directions_gk).float()
    logits.centre_k = torch.from_numpy(data.x_ng[whole_m].mean(0) @ directions_gk).float()
    logits.embedding_cd, logits.embedding_c = head.linear.weight.detach().clone(), head.linear.bias.detach().clone()
    given_n, component_nk = (
        data.label_n[whole_m],
        logits.components(torch.from_numpy(data.x_ng[whole_m])).double().numpy(),
    )
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
    table = _compared(chosen_by, given_n)
    best = int(np.flatnonzero(table["chosen"])[0])
    logits.chosen_candidate.fill_(best)
    for k, logits_nc in enumerate(calibrated):
        label_n = given_n if k else data.label_n
        logits.sharpness_3[k] = 1 / calibrate(logits_nc, label_n).temperature
    held_out_nc = calibrated[0] * float(logits.sharpness_3[0])
    if best:
        held_out_nc[whole_m] = calibrated[best] * float(logits.sharpness_3[best])
    return ComponentFit(logits, held_out_nc, table)


def _again(data: LabelData, fitted: HeadFit, folds: Folds, n_labels: int) -> np.ndarray:
    """Compute the head's (m, c) logits of observations held out by the folds of the choice."""
    if (folds.choice_m == folds.calibration_m).all():
        return fitted.held_out.logits_nc
    return held_out_logits(data, n_labels, fitted.regularisation, fitted.balance, {})


def _compared(logits: list[np.ndarray], label_n: np.ndarray) -> pd.DataFrame:
    """Score candidates on held-out observations; the first of the best is chosen."""
    from sklearn.metrics import accuracy_score, f1_score

    called = [logits_nc.argmax(1) for logits_nc in logits]
    table = pd.DataFrame(
        {
            "accuracy": [accuracy_score(label_n, called_n) for called_n in called],
            "macro F1": [f1_score(label_n, called_n, average="macro", zero_division=0) for called_n in called],
        },
        index=pd.Index(ComponentLogits.names, name="candidate"),
    )
    table["score"] = (table["accuracy"] + table["macro F1"]) / 2
    return table.assign(chosen=table.index == table["score"].idxmax(), n=len(label_n))
