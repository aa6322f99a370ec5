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
            (n,) fold of each observation: width and penalty are those that predict each fold best from the others.
        rates, penalties
            Candidates for gamma, and for the ridge.
        generator
            Draws the landmarks among the observations.

        Returns
        -------
        R² of the predictions of each fold by the others, with the same landmarks, and these predictions.
        """
        landmark_mk = self.get_buffer("landmark_mk")
        chosen = torch.randperm(len(x_nk), generator=generator)[: len(landmark_mk)]
        center_mk = x_nk[chosen]
        distance_mm, distance_nm = (_squared_distances(x, center_mk) for x in (center_mk, x_nk))
        scale = distance_mm[distance_mm > 0].median() if (distance_mm > 0).any() else distance_mm.new_ones(())
        best = torch.inf, rates[0], penalties[0], torch.zeros_like(y_nt)
        for rate in rates:
            span_nr, _ = _spanned(distance_mm, distance_nm, rate / scale)
            for penalty, predicted_nt in zip(penalties, _held_out(span_nr, y_nt, fold_n, penalties), strict=True):
                error = float((y_nt - predicted_nt).square().sum())
                if error < best[0]:
                    best = error, rate, penalty, predicted_nt
        error, rate, penalty, predicted_nt = best
        span_nr, into_mr = _spanned(distance_mm, distance_nm, rate / scale)
        landmark_mk.zero_()[: len(center_mk)] = center_mk
        self.get_buffer("weight_mt").zero_()[: len(center_mk)] = into_mr @ _ridge(span_nr, y_nt, penalty)
        self.get_buffer("rate").copy_(rate / scale)
        explained = 1 - error / float(y_nt.square().sum().clamp(min=1e-12))
        return CrossFit(explained, predicted_nt, ((rate,), (penalty,)))


def _squared_distances(x_nk: Tensor, y_mk: Tensor) -> Tensor:
    squares_nm = x_nk.square().sum(1)[:, None] + y_mk.square().sum(1) - 2 * x_nk @ y_mk.T
    return squares_nm.clamp(min=0)


def _spanned(distance_mm: Tensor, distance_nm: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Return observations in an orthonormal basis of what the landmarks span, (n, r), and the way there, (m, r)."""
    value_m, vector_mm = torch.linalg.eigh(torch.exp(-rate * distance_mm).double())
    kept = value_m > 1e-6 * value_m[-1]
    into_mr = (vector_mm[:, kept] / value_m[kept].sqrt()).to(distance_mm.dtype)
    return torch.exp(-rate * distance_nm) @ into_mr, into_mr


def _ridge(x_nr: Tensor, y_nt: Tensor, penalty: float) -> Tensor:
    """Return the coefficients of a ridge regression, (r, t)."""
    return _solved((x_nr.T @ x_nr).double(), (x_nr.T @ y_nt).double(), penalty).to(x_nr.dtype)


def _solved(gram_rr: Tensor, moment_rt: Tensor, penalty: float) -> Tensor:
    """Return the w where (G + penalty) w = m, (r, t) float64."""
    ridge_rr = gram_rr + penalty * torch.eye(len(gram_rr), dtype=gram_rr.dtype, device=gram_rr.device)
    return torch.cholesky_solve(moment_rt, torch.linalg.cholesky(ridge_rr))


def _held_out(x_nr: Tensor, y_nt: Tensor, fold_n: Tensor, penalties: tuple[float, ...]) -> list[Tensor]:
    """Return predictions of the observations of each fold by a ridge regression of all others, (n, t) for each penalty."""
    own = [fold_n == fold for fold in fold_n.unique()]
    sums = [_sums(x_nr[is_own_n], y_nt[is_own_n]) for is_own_n in own]
    gram_rr, moment_rt = (torch.stack(parts).sum(0) for parts in zip(*sums, strict=True))
    found = [torch.zeros_like(y_nt) for _ in penalties]
    for is_own_n, (own_rr, own_rt) in zip(own, sums, strict=True):
        for predicted_nt, penalty in zip(found, penalties, strict=True):
            weight_rt = _solved(gram_rr - own_rr, moment_rt - own_rt, penalty).to(x_nr.dtype)
            predicted_nt[is_own_n] = x_nr[is_own_n] @ weight_rt
    return found


def _sums(x_nr: Tensor, y_nt: Tensor) -> tuple[Tensor, Tensor]:
    """Return the products of features with features, (r, r), and with targets, (r, t), float64."""
    return (x_nr.T @ x_nr).double(), (x_nr.T @ y_nt).double()
