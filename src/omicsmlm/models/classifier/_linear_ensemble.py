"""Exact linear models of labels for rows that may lack modalities, and the choice among them, view by view."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import optimize, special

from omicsmlm.nn import CANDIDATES, SubsetLogits, mean_logits

from ._calibration import calibrate
from ._linear_model import Labelled, Linear, held_out_logits, solve

INVERSE_STRENGTHS = tuple(float(c) for c in 10.0 ** np.arange(-4, 1.5, 0.5))
"""C of logistic regression on standardised features, tried from the strongest penalty on."""
RESIDUAL_STRENGTHS = (30.0, 10.0, 3.0, 1.0, 0.3)
"""Weights of the penalty on what the embedding adds, tried from the strongest on."""
FEWEST_ROWS = 20
"""Rows that a view must have to get a model of its own."""
EVIDENCE = 2.0
"""Standard errors by which the best of three others must beat the specialist: by chance it does in one case of twenty."""


class Shown(NamedTuple):
    """Rows with labels, each as a whole and as each of its modalities alone shows it."""

    x_ng: np.ndarray
    """Scaled features, 0 for those of other modalities."""
    pattern_n: np.ndarray
    """(n,) int: code of the modalities that are shown."""
    z_nd: np.ndarray
    """Scaled embeddings."""
    label_n: np.ndarray
    fold_n: np.ndarray


class Anchored(NamedTuple):
    """What :func:`fit_anchor` finds."""

    logits: SubsetLogits
    held_out_nc: np.ndarray
    """(n, c) logits of each row by what was chosen for its view, solved without its fold."""
    table: pd.DataFrame
    """Held-out accuracy and loss of each candidate in each view, its gain over the specialist, and which was chosen."""


class _Rotated(NamedTuple):
    """The same rows in the space that they span, and the way back: the penalty does not mind."""

    direction_gk: np.ndarray
    indices: Labelled

    @classmethod
    def of(cls, shown: Shown, chosen_n: np.ndarray) -> "_Rotated":
        x_ng = shown.x_ng[chosen_n].astype(np.float64)
        square = x_ng @ x_ng.T if len(x_ng) <= x_ng.shape[1] else x_ng.T @ x_ng
        value_k, vector_sk = np.linalg.eigh(square)
        kept_k = value_k > 1e-9 * value_k[-1]
        value_k, vector_sk = value_k[kept_k], vector_sk[:, kept_k]
        direction_gk = x_ng.T @ vector_sk / np.sqrt(value_k) if len(x_ng) <= x_ng.shape[1] else vector_sk
        return cls(direction_gk, Labelled(x_ng @ direction_gk, shown.label_n[chosen_n], shown.fold_n[chosen_n]))


class _Model(NamedTuple):
    """One linear model: of all rows, of all but each fold, and what the latter say of the rows held out."""

    whole: Linear
    rotated: _Rotated
    strength: float
    held_out_nc: np.ndarray
    without: dict[int, Linear]

    @classmethod
    def of(cls, shown: Shown, chosen_n: np.ndarray, n_labels: int) -> "_Model":
        rotated = _Rotated.of(shown, chosen_n)
        strength = _chosen_strength(rotated.indices, n_labels)
        without: dict[int, Linear] = {}
        held_out_nc = held_out_logits(rotated.indices, n_labels, strength, 0.0, without)
        return cls(solve(rotated.indices, n_labels, strength, 0.0), rotated, strength, held_out_nc, without)

    def in_features(self) -> tuple[torch.Tensor, torch.Tensor]:
        weight_cg = self.whole.weight_cd @ self.rotated.direction_gk.T
        return torch.from_numpy(weight_cg).float(), torch.from_numpy(self.whole.bias_c).float()

    def without_two(self, fold: int, n_labels: int) -> np.ndarray:
        """Give rows outside of a fold their logits by a model that knows neither the fold nor their own, (n, c)."""
        indices, logits_nc = self.rotated.indices, np.zeros_like(self.held_out_nc)
        for other in np.unique(indices.fold_n):
            if other == fold:
                continue
            out_n = indices.fold_n == other
            solution = solve(
                indices.only((indices.fold_n != fold) & ~out_n), n_labels, self.strength, 0.0, self.without[int(fold)]
            )
            logits_nc[out_n] = indices.z_nd[out_n] @ solution.weight_cd.T + solution.bias_c
        return logits_nc


def _chosen_strength(indices: Labelled, n_labels: int) -> float:
    """Weaken the penalty for as long as the log loss of held-out rows falls; stop when it has risen twice."""
    # Of two labels sklearn's C is that of the difference of their weights.
    weight = (2.0 if len(np.unique(indices.label_n)) == 2 else 1.0) / len(indices.label_n)
    at = np.arange(len(indices.label_n)), indices.label_n
    starts: dict[int, Linear] = {}
    losses: dict[float, float] = {}
    for inverse in INVERSE_STRENGTHS:
        logits_nc = held_out_logits(indices, n_labels, weight / inverse, 0.0, starts)
        known_n = np.isfinite(logits_nc[at])  # a label may have no rows outside of a fold
        losses[weight / inverse] = -special.log_softmax(logits_nc, axis=1)[at][known_n].mean()
        if len(losses) > 3 and min(list(losses.values())[-2:]) > min(losses.values()):
            break
    return min(losses, key=lambda strength: losses[strength])


def fit_anchor(shown: Shown, n_modalities: int, n_labels: int) -> Anchored:
    """Solve all candidates, and choose among them for each view by the loss of held-out rows.

    The model of the view alone stands unless another beats it by more than two standard errors of the paired difference:
    without evidence the plainest model answers.

    Parameters
    ----------
    shown
        Rows; copies of a row share its fold.
    n_modalities
        Number of modalities.
    n_labels
        c.
    """
    patterns = [
        int(p) for p, n in zip(*np.unique(shown.pattern_n, return_counts=True), strict=True) if n >= FEWEST_ROWS
    ]
    made = SubsetLogits(n_modalities, len(patterns), n_labels, shown.x_ng.shape[1], shown.z_nd.shape[1])
    everything = np.ones(len(shown.label_n), dtype=bool)
    shared = _Model.of(shown, everything, n_labels)
    special = {p: _Model.of(shown, shown.pattern_n == p, n_labels) for p in patterns if len(patterns) > 1}
    special = special or dict.fromkeys(patterns, shared)  # where there is one view, both are the same
    made.shared_cg, made.shared_c = shared.in_features()
    held_n4c = np.repeat(shared.held_out_nc[:, None], 4, axis=1)
    sharpness_n = np.empty(len(shown.label_n))
    for view, pattern in enumerate([*patterns, None]):
        of_n = everything if pattern is None else shown.pattern_n == pattern
        made.sharpness_v2[view, 1] = 1 / calibrate(shared.held_out_nc[of_n], shown.label_n[of_n]).temperature
        if pattern is None:
            sharpness_n[~np.isin(shown.pattern_n, patterns)] = made.sharpness_v2[view, 1]
            continue
        sharpness_n[of_n] = made.sharpness_v2[view, 1]
        made.view_p[pattern] = view
        made.special_vcg[view], made.special_vc[view] = special[pattern].in_features()
        logits_nc = special[pattern].held_out_nc
        made.sharpness_v2[view, 0] = 1 / calibrate(logits_nc, shown.label_n[of_n]).temperature
        held_n4c[of_n, 0] = logits_nc * float(made.sharpness_v2[view, 0])
    held_n4c[:, 1] *= sharpness_n[:, None]
    held_n4c[:, 2] = mean_logits(*(torch.from_numpy(held_n4c[:, k]) for k in (0, 1))).numpy()
    held_n4c[:, 3] = _fit_residual(made, shown, shared, sharpness_n)
    return _chosen(made, shown, held_n4c, patterns)


def _chosen(made: SubsetLogits, shown: Shown, held_n4c: np.ndarray, patterns: Sequence[int]) -> Anchored:
    """Choose the candidate of each view; give what it says of rows that were held out."""
    indices, chosen_n = [], np.full(len(shown.label_n), CANDIDATES.index("modality dropout"))
    for view, pattern in enumerate(patterns):
        of_n = shown.pattern_n == pattern
        loss_4n = np.stack([_row_losses(held_n4c[of_n, k], shown.label_n[of_n]) for k in range(len(CANDIDATES))])
        gain_4n = loss_4n[0] - loss_4n
        losses, best, error_4 = loss_4n.mean(1), _better(loss_4n), gain_4n.std(1, ddof=1) / np.sqrt(of_n.sum())
        made.chosen_v[view], chosen_n[of_n] = best, best
        for k, name in enumerate(CANDIDATES):
            right = (held_n4c[of_n, k].argmax(1) == shown.label_n[of_n]).mean()
            gained = {"loss": losses[k], "gain": gain_4n[k].mean(), "error of gain": error_4[k]}
            row = {"pattern": pattern, "candidate": name, "accuracy": right, **gained}
            indices.append({**row, "chosen": k == best, "n": int(of_n.sum())})
    return Anchored(made, held_n4c[np.arange(len(chosen_n)), chosen_n], pd.DataFrame(indices))


def _row_losses(logits_nc: np.ndarray, label_n: np.ndarray) -> np.ndarray:
    """Give the negative log probability of each row's label once the logits are calibrated, (n,)."""
    found, n_labels = calibrate(logits_nc, label_n), logits_nc.shape[1]
    p_n = special.softmax(np.maximum(logits_nc, -1e4) / found.temperature, axis=1)[np.arange(len(label_n)), label_n]
    return -np.log((1 - found.noise) * p_n + found.noise / n_labels + 1e-12)


def _better(loss_kn: np.ndarray) -> int:
    """Choose the candidate of the lowest loss, if it is below the first's by more than ``EVIDENCE``; else the first.

    Examples
    --------
    >>> _better(np.array([[1.0, 1.2, 1.1], [0.9, 1.0, 1.0]])), _better(np.array([[1.0, 2.0], [0.0, 2.9]]))
    (1, 0)
    """
    best = int(loss_kn.mean(1).argmin())
    gain_n = loss_kn[0] - loss_kn[best]
    return best if gain_n.mean() > EVIDENCE * gain_n.std(ddof=1) / np.sqrt(len(gain_n)) else 0


def _fit_residual(made: SubsetLogits, shown: Shown, shared: _Model, sharpness_n: np.ndarray) -> np.ndarray:
    """Solve what the embedding adds to the one model of all views; give (n, c) logits of rows held out from both.

    What it learns from are logits of rows that were held out. To judge it, its training rows must not know the fold that
    it is judged on through them either: they come from models without that fold and without their own.
    """
    label_n, fold_n, n_labels = shown.label_n, shown.fold_n, shared.held_out_nc.shape[1]
    offset_nc = np.maximum(shared.held_out_nc, -1e4) * sharpness_n[:, None]
    inner = {
        fold: np.maximum(shared.without_two(fold, n_labels), -1e4) * sharpness_n[:, None] for fold in np.unique(fold_n)
    }
    best: tuple[float, float, np.ndarray] | None = None
    for strength in RESIDUAL_STRENGTHS:
        held_nc = np.empty_like(offset_nc)
        for fold, inner_nc in inner.items():
            out_n = fold_n == fold
            weight = residual(inner_nc[~out_n], shown.z_nd[~out_n], label_n[~out_n], strength)
            held_nc[out_n] = offset_nc[out_n] + shown.z_nd[out_n] @ weight.weight_cd.T + weight.bias_c
        loss = calibrate(held_nc, label_n).loss
        if best is None or loss < best[0]:
            best = loss, strength, held_nc
    assert best is not None
    weight = residual(offset_nc, shown.z_nd, label_n, best[1])
    made.residual_cd = torch.from_numpy(weight.weight_cd).float()
    made.residual_c = torch.from_numpy(weight.bias_c).float()
    return best[2]


def residual(offset_nc: np.ndarray, z_nd: np.ndarray, label_n: np.ndarray, strength: float) -> Linear:
    r"""Solve multinomial logistic regression beside fixed logits.

    .. math:: \min_{W, b}\; -\tfrac1n \sum_i \log \operatorname{softmax}_{y_i}(o_i + W z_i + b)
              + \tfrac{\lambda}{2} (\|W\|^2 + \|b\|^2)

    The intercept is penalised too: without evidence nothing is added.
    """
    n, d = z_nd.shape
    c = offset_nc.shape[1]
    x_nd = np.hstack([z_nd, np.ones((n, 1))]).astype(np.float64)
    is_nc = np.eye(c)[label_n]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight_cd = flat.reshape(c, d + 1)
        log_nc = special.log_softmax(offset_nc + x_nd @ weight_cd.T, axis=1)
        slope_cd = (np.exp(log_nc) - is_nc).T @ x_nd / n + strength * weight_cd
        return -(is_nc * log_nc).sum() / n + strength / 2 * (weight_cd**2).sum(), slope_cd.ravel()

    found = optimize.minimize(loss, np.zeros(c * (d + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    weight_cd = found.x.reshape(c, d + 1)
    return Linear(weight_cd[:, :d], weight_cd[:, d])
