"""Ridge regression that also counts differences within groups, fitted in closed form.

Tensor axes: n observations, f features, t targets.
"""

import torch
from torch import Tensor, nn

from ._group_folds import CrossFit

MAX_DEVIATION = 4.0
"""Standard deviations at which features are clipped, so that no unusual observation is predicted far beyond all others."""


CONSTANT = 100.0
"""Value of the feature that stands for an offset: so large that the penalty hardly shrinks it."""


class GroupRegression(nn.Module):
    r"""Predicts targets linearly from few features.

    Of observations in groups, say the isoforms of genes, it minimises

    .. math:: \sum_i (y_i - w^\top x_i)^2 + \lambda \sum_i (\tilde y_i - w^\top \tilde x_i)^2 + p \lVert w \rVert^2,

    where a tilde takes the mean of the group away: what makes one member of a group differ from the others counts :math:`\lambda`
    times more than by its share. The prediction itself needs no groups.

    Parameters
    ----------
    n_features, n_targets
        Sizes.
    with_offset
        Whether targets may have another mean than 0, as those of some of the observations that they were standardised on.
    """

    def __init__(self, n_features: int, n_targets: int, with_offset: bool = False) -> None:
        super().__init__()
        self.with_offset = with_offset
        self.register_buffer("mean_f", torch.zeros(n_features))
        self.register_buffer("scale_f", torch.ones(n_features))
        self.register_buffer("weight_ft", torch.zeros(n_features + with_offset, n_targets))

    def forward(self, x_nf: Tensor) -> Tensor:
        """Return (n, t)."""
        return self._standardised(x_nf) @ self.get_buffer("weight_ft")

    @torch.no_grad()
    def fit(
        self,
        x_nf: Tensor,
        y_nt: Tensor,
        group_n: Tensor,
        fold_n: Tensor,
        group_weight: float,
        penalties: tuple[float, ...],
    ) -> CrossFit:
        """Choose the penalty by cross-validation, then fit to all observations.

        Parameters
        ----------
        x_nf
            Features.
        y_nt
            Targets, 0 where not measured (they are standardised: 0 is their mean).
        group_n
            (n,) group of each observation.
        fold_n
            (n,) fold of each observation, whole groups: the penalty is the one that predicts each fold best from the others.
        group_weight
            Weight λ of the differences within groups.
        penalties
            Candidates for p.

        Returns
        -------
        R² of the predictions of each fold by the others, without their differences, and these predictions.
        """
        self.get_buffer("mean_f").copy_(x_nf.mean(0))
        scale_f = x_nf.std(0)
        self.get_buffer("scale_f").copy_(torch.where(scale_f > 1e-6, scale_f, torch.inf))
        x_nf = self._standardised(x_nf)
        own = [fold_n == fold for fold in fold_n.unique()]
        sums = [_sums(x_nf[is_own_n], y_nt[is_own_n], group_n[is_own_n], group_weight) for is_own_n in own]
        gram_ff, moment_ft = (torch.stack(parts).sum(0) for parts in zip(*sums, strict=True))
        best = torch.inf, penalties[0], torch.zeros_like(y_nt)
        for penalty in penalties:
            predicted_nt = torch.zeros_like(y_nt)
            for is_own_n, (own_ff, own_ft) in zip(own, sums, strict=True):
                predicted_nt[is_own_n] = x_nf[is_own_n] @ _solved(gram_ff - own_ff, moment_ft - own_ft, penalty)
            error = float(with_differences(y_nt - predicted_nt, group_n, group_weight).square().sum())
            if error < best[0]:
                best = error, penalty, predicted_nt
        _, penalty, predicted_nt = best
        self.get_buffer("weight_ft").copy_(_solved(gram_ff, moment_ft, penalty))
        explained = 1 - (y_nt - predicted_nt).square().sum() / y_nt.square().sum().clamp(min=1e-12)
        return CrossFit(float(explained), predicted_nt, ((penalty,),))

    def _standardised(self, x_nf: Tensor) -> Tensor:
        """Return standardised features, and the constant beside them if there is an offset."""
        x_nf = (x_nf - self.get_buffer("mean_f")) / self.get_buffer("scale_f")
        x_nf = x_nf.clamp(-MAX_DEVIATION, MAX_DEVIATION)
        return torch.nn.functional.pad(x_nf, (0, 1), value=CONSTANT) if self.with_offset else x_nf


def with_differences(x_nf: Tensor, group_n: Tensor, weight: float) -> Tensor:
    """Return (2 n, f): observations, and below them their differences from the mean of their group, times √weight.

    The squares of an error of these are those of the first term and ``weight`` times those of the second.

    Examples
    --------
    >>> with_differences(torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1]), 4.0).flatten().tolist()
    [1.0, 3.0, 7.0, -2.0, 2.0, 0.0]
    """
    return torch.cat([x_nf, weight**0.5 * (x_nf - group_means(x_nf, group_n))])


def group_means(x_nf: Tensor, group_n: Tensor) -> Tensor:
    """Return the mean of the group of each observation, (n, f).

    Examples
    --------
    >>> group_means(torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1])).flatten().tolist()
    [2.0, 2.0, 7.0]
    """
    _, place_n, count_g = group_n.unique(return_inverse=True, return_counts=True)
    mean_gf = x_nf.new_zeros(len(count_g), x_nf.shape[1]).index_add_(0, place_n, x_nf) / count_g[:, None]
    return mean_gf[place_n]


def _sums(x_nf: Tensor, y_nt: Tensor, group_n: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Return the products of features with features, (f, f), and with targets, (f, t), of observations and their differences."""
    if weight:  # otherwise all differences are 0
        x_nf, y_nt = (with_differences(part, group_n, weight) for part in (x_nf, y_nt))
    return (x_nf.T @ x_nf).double(), (x_nf.T @ y_nt).double()


def _solved(gram_ff: Tensor, moment_ft: Tensor, penalty: float) -> Tensor:
    """Return the coefficients of a ridge regression, (f, t)."""
    ridge_ff = penalty * torch.eye(len(gram_ff), dtype=gram_ff.dtype, device=gram_ff.device)
    return torch.linalg.solve(gram_ff + ridge_ff, moment_ft).float()
