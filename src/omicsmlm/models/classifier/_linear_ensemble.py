"""Logistic regressions on the features of observations that may lack modalities, and the choice among them by subset."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import optimize, special

from omicsmlm.models.heads import is_past_minimum
from omicsmlm.nn import CANDIDATES, SubsetLogits, mean_logits

from ._calibration import LOWEST_LOGIT, SMALLEST, calibrate
from ._linear_model import LabelData, LinearWeights, fit_logistic, held_out_logits

INVERSE_REGULARISATIONS = tuple(float(c) for c in 10.0 ** np.arange(-4, 1.5, 0.5))
"""C of logistic regression on standardised features, tried from the strongest regularisation on."""
RESIDUAL_REGULARISATIONS = (30.0, 10.0, 3.0, 1.0, 0.3)
"""Weights of the penalty on what the embedding adds, tried from the strongest on."""
FEWEST_OBSERVATIONS = 20
"""Observations that a modality subset must have to get a model of its own: four in each of five folds."""
STANDARD_ERRORS = 2.0
"""Standard errors by which the best of three other candidates must beat the model of the subset: by chance it does in one
case of twenty."""
LEAST_EIGENVALUE = 1e-9
"""Of the largest: directions below it are rounding, as the features are float32."""


class SubsetData(NamedTuple):
    """Observations with labels, each with all of its modalities and with each of them alone."""

    x_ng: np.ndarray
    """Scaled features, 0 for those of other modalities."""
    subset_n: np.ndarray
    """(n,) int: code of the visible modalities."""
    z_nd: np.ndarray
    """Scaled embeddings."""
    label_n: np.ndarray
    fold_n: np.ndarray


class LinearEnsembleFit(NamedTuple):
    """What :func:`fit_linear_ensemble` found."""

    logits: SubsetLogits
    held_out_nc: np.ndarray
    """(n, c) logits of each observation by the candidate chosen for its subset, fitted without its fold."""
    table: pd.DataFrame
    """Held-out accuracy and loss of each candidate in each subset, its gain over the model of the subset alone, and which
    was chosen."""


class _RotatedData(NamedTuple):
    """The same observations in the space that they span, where the penalty is the same and the problem small."""

    direction_gk: np.ndarray
    data: LabelData

    @classmethod
    def of(cls, data: SubsetData, chosen_n: np.ndarray) -> "_RotatedData":
        x_ng = data.x_ng[chosen_n].astype(np.float64)
        square = x_ng @ x_ng.T if len(x_ng) <= x_ng.shape[1] else x_ng.T @ x_ng
        value_k, vector_sk = np.linalg.eigh(square)
        kept_k = value_k > LEAST_EIGENVALUE * value_k[-1]
        value_k, vector_sk = value_k[kept_k], vector_sk[:, kept_k]
        direction_gk = x_ng.T @ vector_sk / np.sqrt(value_k) if len(x_ng) <= x_ng.shape[1] else vector_sk
        return cls(direction_gk, LabelData(x_ng @ direction_gk, data.label_n[chosen_n], data.fold_n[chosen_n]))


class _LinearModel(NamedTuple):
    """Logistic regression on all observations and on all but each fold, and what the latter predict for that fold."""

    whole: LinearWeights
    rotated: _RotatedData
    regularisation: float
    held_out_nc: np.ndarray
    without: dict[int, LinearWeights]

    @classmethod
    def of(cls, data: SubsetData, chosen_n: np.ndarray, n_labels: int) -> "_LinearModel":
        rotated = _RotatedData.of(data, chosen_n)
        regularisation = _chosen_regularisation(rotated.data, n_labels)
        without: dict[int, LinearWeights] = {}
        held_out_nc = held_out_logits(rotated.data, n_labels, regularisation, 0.0, without)
        whole = fit_logistic(rotated.data, n_labels, regularisation, 0.0)
        return cls(whole, rotated, regularisation, held_out_nc, without)

    def in_features(self) -> tuple[torch.Tensor, torch.Tensor]:
        weight_cg = self.whole.weight_cd @ self.rotated.direction_gk.T
        return torch.from_numpy(weight_cg).float(), torch.from_numpy(self.whole.bias_c).float()

    def without_two(self, fold: int, n_labels: int) -> np.ndarray:
        """Compute logits, (n, c), of observations outside of a fold by a model fitted without the fold and their own."""
        data, logits_nc = self.rotated.data, np.zeros_like(self.held_out_nc)
        for other in np.unique(data.fold_n):
            if other == fold:
                continue
            out_n = data.fold_n == other
            kept = data.only((data.fold_n != fold) & ~out_n)
            fitted = fit_logistic(kept, n_labels, self.regularisation, 0.0, self.without[int(fold)])
            logits_nc[out_n] = fitted.logits(data.z_nd[out_n])
        return logits_nc


def _chosen_regularisation(data: LabelData, n_labels: int) -> float:
    """Weaken the regularisation for as long as the log loss of held-out observations falls."""
    # Of two labels sklearn's C is that of the difference of their weights.
    weight = (2.0 if len(np.unique(data.label_n)) == 2 else 1.0) / len(data.label_n)
    at = np.arange(len(data.label_n)), data.label_n
    fits: dict[int, LinearWeights] = {}
    losses: dict[float, float] = {}
    for inverse in INVERSE_REGULARISATIONS:
        logits_nc = held_out_logits(data, n_labels, weight / inverse, 0.0, fits)
        known_n = np.isfinite(logits_nc[at])  # a label may have no observations outside of a fold
        loss_n = -special.log_softmax(logits_nc, axis=1)[at][known_n]
        losses[weight / inverse] = loss_n.mean() if len(loss_n) else np.inf
        if is_past_minimum(list(losses.values())):
            break
    return min(losses, key=lambda regularisation: losses[regularisation])


def fit_linear_ensemble(data: SubsetData, n_modalities: int, n_labels: int) -> LinearEnsembleFit:
    """Fit all candidates, and choose among them for each modality subset by the loss of held-out observations.

    The model of the subset alone is chosen unless another beats it by more than two standard errors of the paired
    difference: without evidence the plainest model predicts.

    Parameters
    ----------
    data
        Observations; copies of one share its fold.
    n_modalities
        Number of modalities.
    n_labels
        c.
    """
    subsets = [
        int(code)
        for code, n in zip(*np.unique(data.subset_n, return_counts=True), strict=True)
        if n >= FEWEST_OBSERVATIONS
    ]
    ensemble = SubsetLogits(n_modalities, len(subsets), n_labels, data.x_ng.shape[1], data.z_nd.shape[1])
    everything = np.ones(len(data.label_n), dtype=bool)
    shared = _LinearModel.of(data, everything, n_labels)
    own = {code: _LinearModel.of(data, data.subset_n == code, n_labels) for code in subsets if len(subsets) > 1}
    own = own or dict.fromkeys(subsets, shared)  # where there is one subset, both are the same
    ensemble.shared_cg, ensemble.shared_c = shared.in_features()
    held_n4c = np.repeat(shared.held_out_nc[:, None], len(CANDIDATES), axis=1)
    sharpness_n = np.empty(len(data.label_n))
    for k, subset in enumerate([*subsets, None]):
        of_n = everything if subset is None else data.subset_n == subset
        ensemble.sharpness_v2[k, 1] = 1 / calibrate(shared.held_out_nc[of_n], data.label_n[of_n]).temperature
        if subset is None:
            sharpness_n[~np.isin(data.subset_n, subsets)] = ensemble.sharpness_v2[k, 1]
            continue
        sharpness_n[of_n] = ensemble.sharpness_v2[k, 1]
        ensemble.view_p[subset] = k
        ensemble.special_vcg[k], ensemble.special_vc[k] = own[subset].in_features()
        logits_nc = own[subset].held_out_nc
        ensemble.sharpness_v2[k, 0] = 1 / calibrate(logits_nc, data.label_n[of_n]).temperature
        held_n4c[of_n, 0] = logits_nc * float(ensemble.sharpness_v2[k, 0])
    held_n4c[:, 1] *= sharpness_n[:, None]
    held_n4c[:, 2] = mean_logits(*(torch.from_numpy(held_n4c[:, k]) for k in (0, 1))).numpy()
    held_n4c[:, 3] = _add_residual(ensemble, data, shared, sharpness_n)
    return _choose(ensemble, data, held_n4c, subsets)


def _choose(
    ensemble: SubsetLogits, data: SubsetData, held_n4c: np.ndarray, subsets: Sequence[int]
) -> LinearEnsembleFit:
    """Choose the candidate of each subset, in place; return what it predicts for held-out observations."""
    rows, chosen_n = [], np.full(len(data.label_n), CANDIDATES.index("modality dropout"))
    for k, subset in enumerate(subsets):
        of_n = data.subset_n == subset
        loss_4n = np.stack([_losses(held_n4c[of_n, j], data.label_n[of_n]) for j in range(len(CANDIDATES))])
        gain_4n = loss_4n[0] - loss_4n
        losses, best, error_4 = loss_4n.mean(1), _better(loss_4n), gain_4n.std(1, ddof=1) / np.sqrt(of_n.sum())
        ensemble.chosen_v[k], chosen_n[of_n] = best, best
        for j, name in enumerate(CANDIDATES):
            right = (held_n4c[of_n, j].argmax(1) == data.label_n[of_n]).mean()
            gained = {"loss": losses[j], "gain": gain_4n[j].mean(), "error of gain": error_4[j]}
            row = {"subset": subset, "candidate": name, "accuracy": right, **gained}
            rows.append({**row, "chosen": j == best, "n": int(of_n.sum())})
    return LinearEnsembleFit(ensemble, held_n4c[np.arange(len(chosen_n)), chosen_n], pd.DataFrame(rows))


def _losses(logits_nc: np.ndarray, label_n: np.ndarray) -> np.ndarray:
    """Compute the negative log probability of each observation's label once the logits are calibrated, (n,)."""
    found, n_labels = calibrate(logits_nc, label_n), logits_nc.shape[1]
    logits_nc = np.maximum(logits_nc, LOWEST_LOGIT)
    p_n = special.softmax(logits_nc / found.temperature, axis=1)[np.arange(len(label_n)), label_n]
    return -np.log((1 - found.noise) * p_n + found.noise / n_labels + SMALLEST)


def _better(loss_kn: np.ndarray) -> int:
    """Return the candidate of the lowest loss, if it is below the first's by ``STANDARD_ERRORS``; else the first.

    Examples
    --------
    >>> _better(np.array([[1.0, 1.2, 1.1], [0.9, 1.0, 1.0]])), _better(np.array([[1.0, 2.0], [0.0, 2.9]]))
    (1, 0)
    """
    best = int(loss_kn.mean(1).argmin())
    gain_n = loss_kn[0] - loss_kn[best]
    return best if gain_n.mean() > STANDARD_ERRORS * gain_n.std(ddof=1) / np.sqrt(len(gain_n)) else 0


def _add_residual(
    ensemble: SubsetLogits, data: SubsetData, shared: _LinearModel, sharpness_n: np.ndarray
) -> np.ndarray:
    """Fit what the embedding adds to the one model of all subsets, in place; return (n, c) held-out logits.

    It learns from the logits of observations held out from the shared model. To evaluate it on a fold, what it learns from
    must not know that fold through the shared model either: these logits are of models fitted without that fold and without
    the observation's own.
    """
    label_n, fold_n, n_labels = data.label_n, data.fold_n, shared.held_out_nc.shape[1]
    offset_nc = np.maximum(shared.held_out_nc, LOWEST_LOGIT) * sharpness_n[:, None]
    inner = {
        fold: np.maximum(shared.without_two(fold, n_labels), LOWEST_LOGIT) * sharpness_n[:, None]
        for fold in np.unique(fold_n)
    }
    best: tuple[float, float, np.ndarray] | None = None
    for regularisation in RESIDUAL_REGULARISATIONS:
        held_nc = np.empty_like(offset_nc)
        for fold, inner_nc in inner.items():
            out_n = fold_n == fold
            weights = fit_residual(inner_nc[~out_n], data.z_nd[~out_n], label_n[~out_n], regularisation)
            held_nc[out_n] = offset_nc[out_n] + data.z_nd[out_n] @ weights.weight_cd.T + weights.bias_c
        loss = calibrate(held_nc, label_n).loss
        if best is None or loss < best[0]:
            best = loss, regularisation, held_nc
    assert best is not None
    weights = fit_residual(offset_nc, data.z_nd, label_n, best[1])
    ensemble.residual_cd = torch.from_numpy(weights.weight_cd).float()
    ensemble.residual_c = torch.from_numpy(weights.bias_c).float()
    return best[2]


def fit_residual(offset_nc: np.ndarray, z_nd: np.ndarray, label_n: np.ndarray, regularisation: float) -> LinearWeights:
    r"""Fit multinomial logistic regression beside fixed logits.

    .. math:: \min_{W, b}\; -\tfrac1n \sum_i \log \operatorname{softmax}_{y_i}(o_i + W z_i + b)
              + \tfrac{\lambda}{2} (\|W\|^2 + \|b\|^2)

    The intercept is penalised too: without evidence nothing is added.

    Parameters
    ----------
    offset_nc
        (n, c) logits o, finite.
    z_nd
        (n, d) scaled embeddings.
    label_n
        (n,) int codes of the labels.
    regularisation
        λ.
    """
    n, d = z_nd.shape
    c = offset_nc.shape[1]
    x_nd = np.hstack([z_nd, np.ones((n, 1))]).astype(np.float64)
    is_nc = np.eye(c)[label_n]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight_cd = flat.reshape(c, d + 1)
        log_nc = special.log_softmax(offset_nc + x_nd @ weight_cd.T, axis=1)
        slope_cd = (np.exp(log_nc) - is_nc).T @ x_nd / n + regularisation * weight_cd
        return -(is_nc * log_nc).sum() / n + regularisation / 2 * (weight_cd**2).sum(), slope_cd.ravel()

    found = optimize.minimize(loss, np.zeros(c * (d + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    weight_cd = found.x.reshape(c, d + 1)
    return LinearWeights(weight_cd[:, :d], weight_cd[:, d])
