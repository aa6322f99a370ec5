"""Ridge regression that also counts differences within groups, fitted in closed form.

Tensor axes: n observations, f features, t targets.
"""

import torch
from torch import Tensor, nn

MAX_DEVIATION = 4.0
"""Standard deviations at which features are clipped, so that no unusual observation is predicted far beyond all others."""


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
    """

    def __init__(self, n_features: int, n_targets: int) -> None:
        super().__init__()
        self.register_buffer("mean_f", torch.zeros(n_features))
        self.register_buffer("scale_f", torch.ones(n_features))
        self.register_buffer("weight_ft", torch.zeros(n_features, n_targets))

    def forward(self, x_nf: Tensor) -> Tensor:
        """Return (n, t)."""
        return self._standardised(x_nf) @ self.get_buffer("weight_ft")

    @torch.no_grad()
    def fit(
        self,
        x_nf: Tensor,
        y_nt: Tensor,
        group_n: Tensor,
        is_held_n: Tensor,
        group_weight: float,
        penalties: tuple[float, ...],
    ) -> float:
        """Choose the penalty on held-out groups, then fit to all observations.

        Parameters
        ----------
        x_nf
            Features.
        y_nt
            Targets, 0 where not measured (they are standardised: 0 is their mean).
        group_n
            (n,) group of each observation.
        is_held_n
            (n,) bool: observations on which the choice is made, whole groups.
        group_weight
            Weight λ of the differences within groups.
        penalties
            Candidates for p.

        Returns
        -------
        R² of the choice on the held-out observations, without their differences.
        """
        self.get_buffer("mean_f").copy_(x_nf.mean(0))
        scale_f = x_nf.std(0)
        self.get_buffer("scale_f").copy_(torch.where(scale_f > 1e-6, scale_f, torch.inf))
        x_nf = self._standardised(x_nf)
        x_mf, y_mt = (with_differences(part[~is_held_n], group_n[~is_held_n], group_weight) for part in (x_nf, y_nt))
        held_mf, held_mt = (
            with_differences(part[is_held_n], group_n[is_held_n], group_weight) for part in (x_nf, y_nt)
        )
        errors = [float((held_mt - held_mf @ ridge(x_mf, y_mt, p)).square().sum()) for p in penalties]
        penalty = penalties[errors.index(min(errors))]
        held_y_nt = y_nt[is_held_n]
        error = (held_y_nt - x_nf[is_held_n] @ ridge(x_mf, y_mt, penalty)).square().sum()
        x_mf, y_mt = (with_differences(part, group_n, group_weight) for part in (x_nf, y_nt))
        self.get_buffer("weight_ft").copy_(ridge(x_mf, y_mt, penalty))
        return float(1 - error / held_y_nt.square().sum().clamp(min=1e-12))

    def _standardised(self, x_nf: Tensor) -> Tensor:
        return ((x_nf - self.get_buffer("mean_f")) / self.get_buffer("scale_f")).clamp(-MAX_DEVIATION, MAX_DEVIATION)


def with_differences(x_nf: Tensor, group_n: Tensor, weight: float) -> Tensor:
    """Return (2 n, f): observations, and below them their differences from the mean of their group, times √weight.

    The squares of an error of these are those of the first term and ``weight`` times those of the second.

    Examples
    --------
    >>> with_differences(torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1]), 4.0).flatten().tolist()
    [1.0, 3.0, 7.0, -2.0, 2.0, 0.0]
    """
    _, place_n, count_g = group_n.unique(return_inverse=True, return_counts=True)
    mean_gf = x_nf.new_zeros(len(count_g), x_nf.shape[1]).index_add_(0, place_n, x_nf) / count_g[:, None]
    return torch.cat([x_nf, weight**0.5 * (x_nf - mean_gf[place_n])])


def ridge(x_nf: Tensor, y_nt: Tensor, penalty: float) -> Tensor:
    """Return the coefficients of a ridge regression, (f, t)."""
    x_nf, y_nt = x_nf.double(), y_nt.double()
    gram_ff = x_nf.T @ x_nf + penalty * torch.eye(x_nf.shape[1], dtype=x_nf.dtype, device=x_nf.device)
    return torch.linalg.solve(gram_ff, x_nf.T @ y_nt).float()
