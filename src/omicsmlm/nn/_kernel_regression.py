"""Kernel ridge regression on landmarks, fitted in closed form.

Tensor axes: n observations, k features, m landmarks, t targets.
"""

import torch
from torch import Tensor, nn

from ._group_folds import CrossFit


class KernelRegression(nn.Module):
    r"""Predicts targets by a kernel between observations and landmarks.

    .. math:: f(x) = \sum_j w_j \exp(-\gamma \lVert x - c_j \rVert^2 / s)

    with s the median squared distance of landmarks, and w the ridge regression in the space that the landmarks span
    (Nyström; Williams and Seeger 2001). With all training observations as landmarks it is kernel ridge regression itself.

    Parameters
    ----------
    n_features, n_landmarks, n_targets
        Sizes. Unused landmarks have no weight.
    """

    def __init__(self, n_features: int, n_landmarks: int, n_targets: int) -> None:
        super().__init__()
        self.register_buffer("landmark_mk", torch.zeros(n_landmarks, n_features))
        self.register_buffer("weight_mt", torch.zeros(n_landmarks, n_targets))
        self.register_buffer("rate", torch.ones(()))

    def forward(self, x_nk: Tensor) -> Tensor:
        """Return (n, t)."""
        likeness_nm = torch.exp(-self.get_buffer("rate") * _squared_distances(x_nk, self.get_buffer("landmark_mk")))
        return likeness_nm @ self.get_buffer("weight_mt")

    @torch.no_grad()
    def fit(
        self,
        x_nk: Tensor,
        y_nt: Tensor,
        fold_n: Tensor,
        rates: tuple[float, ...],
        penalties: tuple[float, ...],
        generator: torch.Generator,
    ) -> CrossFit:
        """Choose width and penalty on held-out observations, then fit to all of them, and to all but each fold in turn.

        Parameters
        ----------
        x_nk
            Features.
        y_nt
            Targets, 0 where not measured (they are standardised: 0 is their mean).
        fold_n
            (n,) fold of each observation, from 0 on; the choice is made on those of fold 0.
        rates, penalties
            Candidates for gamma, and for the ridge.
        generator
            Draws the landmarks among the observations.

        Returns
        -------
        R² of the choice on fold 0, and predictions of each fold by the others, with the same landmarks, width and penalty.
        """
        is_held_n = fold_n == 0
        landmark_mk = self.get_buffer("landmark_mk")
        chosen = torch.randperm(len(x_nk), generator=generator)[: len(landmark_mk)]
        center_mk = x_nk[chosen]
        distance_mm, distance_nm = (_squared_distances(x, center_mk) for x in (center_mk, x_nk))
        scale = distance_mm[distance_mm > 0].median() if (distance_mm > 0).any() else distance_mm.new_ones(())
        best = -torch.inf, rates[0], penalties[0]
        total = y_nt[is_held_n].square().sum().clamp(min=1e-12)
        for rate in rates:
            span_nr, _ = _spanned(distance_mm, distance_nm, rate / scale)
            weights = _ridge(span_nr[~is_held_n], y_nt[~is_held_n], penalties)
            for penalty, weight_rt in zip(penalties, weights, strict=True):
                error = (y_nt[is_held_n] - span_nr[is_held_n] @ weight_rt).square().sum()
                best = max(best, (float(1 - error / total), rate, penalty))
        explained, rate, penalty = best
        span_nr, into_mr = _spanned(distance_mm, distance_nm, rate / scale)
        (weight_rt,) = _ridge(span_nr, y_nt, (penalty,))
        landmark_mk.zero_()[: len(center_mk)] = center_mk
        self.get_buffer("weight_mt").zero_()[: len(center_mk)] = into_mr @ weight_rt
        self.get_buffer("rate").copy_(rate / scale)
        return CrossFit(explained, _held_out(span_nr, y_nt, fold_n, penalty), ((rate,), (penalty,)))


def _squared_distances(x_nk: Tensor, y_mk: Tensor) -> Tensor:
    squares_nm = x_nk.square().sum(1)[:, None] + y_mk.square().sum(1) - 2 * x_nk @ y_mk.T
    return squares_nm.clamp(min=0)


def _spanned(distance_mm: Tensor, distance_nm: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Return observations in an orthonormal basis of what the landmarks span, (n, r), and the way there, (m, r)."""
    value_m, vector_mm = torch.linalg.eigh(torch.exp(-rate * distance_mm).double())
    kept = value_m > 1e-6 * value_m[-1]
    into_mr = (vector_mm[:, kept] / value_m[kept].sqrt()).to(distance_mm.dtype)
    return torch.exp(-rate * distance_nm) @ into_mr, into_mr


def _ridge(x_nr: Tensor, y_nt: Tensor, penalties: tuple[float, ...]) -> list[Tensor]:
    """Return the coefficients of a ridge regression for several penalties, (r, t) each."""
    value_r, vector_rr = torch.linalg.eigh((x_nr.T @ x_nr).double())
    turned_rt = vector_rr.T @ (x_nr.T @ y_nt).double()
    return [(vector_rr @ (turned_rt / (value_r.clamp(min=0) + p)[:, None])).to(x_nr.dtype) for p in penalties]


def _held_out(x_nr: Tensor, y_nt: Tensor, fold_n: Tensor, penalty: float) -> Tensor:
    """Return predictions of the observations of each fold by a ridge regression of all others, (n, t)."""
    folds = fold_n.unique().tolist()
    own = [(x_nr[fold_n == fold], y_nt[fold_n == fold]) for fold in folds]
    grams, moments = [(x.T @ x).double() for x, _ in own], [(x.T @ y).double() for x, y in own]
    ridge_rr = torch.stack(grams).sum(0) + penalty * torch.eye(x_nr.shape[1], dtype=torch.float64, device=x_nr.device)
    moment_rt, predicted_nt = torch.stack(moments).sum(0), torch.zeros_like(y_nt)
    for fold, (x, _), gram_rr, own_rt in zip(folds, own, grams, moments, strict=True):
        weight_rt = torch.linalg.solve(ridge_rr - gram_rr, moment_rt - own_rt)
        predicted_nt[fold_n == fold] = x @ weight_rt.to(x.dtype)
    return predicted_nt
