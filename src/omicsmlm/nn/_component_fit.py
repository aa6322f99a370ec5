"""The components of an observation, fitted to whatever features are visible of it."""

import torch
from torch import Tensor, nn


class ComponentFit(nn.Module):
    r"""Posterior mean of an observation's components u in a factor analysis, given any subset of its features.

    With z the centred values of the features that are visible, W their loadings and Ψ the variances of their noise,

    .. math:: z = W u + \varepsilon, \quad u \sim N(0, I), \quad \varepsilon \sim N(0, \Psi), \qquad
        \hat u = (W^\top \Psi^{-1} W + I)^{-1}\, W^\top \Psi^{-1} z :

    a ridge regression of the values on the loadings, for each observation on what is visible of it. Few features move it
    little from zero; the more are visible, the nearer it comes to the components of the whole observation, whichever features
    these are.

    Parameters
    ----------
    n_features
        Features in the vocabulary.
    n_components
        k.
    """

    mean_g: Tensor
    strength_k: Tensor
    key_g: Tensor

    def __init__(self, n_features: int, n_components: int) -> None:
        super().__init__()
        self.register_buffer("mean_g", torch.zeros(n_features))
        self.register_buffer("strength_k", torch.ones(n_components))
        generator = torch.Generator().manual_seed(0)
        key_g = torch.randint(-(1 << 62), 1 << 62, (n_features,), generator=generator)
        self.register_buffer("key_g", key_g, persistent=False)
        self.log_noise_g = nn.Parameter(torch.zeros(n_features))

    @torch.no_grad()
    def initialize(self, mean_g: Tensor, strength_k: Tensor, noise_g: Tensor) -> None:
        """Set mean, loadings and noise to those of a factor analysis.

        Parameters
        ----------
        mean_g
            Mean of each feature, subtracted from its values.
        strength_k
            Root mean square of the loadings W of each component, which the table given to :meth:`forward` has at 1.
        noise_g
            Ψ, above 0.
        """
        self.mean_g.copy_(mean_g)
        self.strength_k.copy_(strength_k)
        self.log_noise_g.copy_(noise_g.log())

    def excess_k(self) -> Tensor:
        r"""Return how far each component stands out of the weakest, which is taken for noise, (k,) from 0 to 1.

        Of the variance :math:`s_k^2` that a component explains, the fraction that is not the weakest one's,
        :math:`1 - s_{\min}^2 / s_k^2`; what is explained less well than that cannot be distinguished from noise.
        """
        return 1 - (self.strength_k.min() / self.strength_k).square()

    def forward(self, values_ng: Tensor, visible_ng: Tensor, table_gk: Tensor, most: int | None = None) -> Tensor:
        """Return the components, (n, k) float32.

        Parameters
        ----------
        values_ng
            Values.
        visible_ng
            Which of them are visible; nothing of an observation gives zeros.
        table_gk
            Loadings, in units of their strength.
        most
            Largest number of visible features of an observation, where it is known and observations differ in what is visible:
            each is then fitted by itself. None where many have the same visible features, whose matrix is then built once.
        """
        with torch.autocast(values_ng.device.type, enabled=False):
            precision_g = (-self.log_noise_g.float() / 2).exp()
            loading_gk = table_gk.float() * self.strength_k * precision_g[:, None]
            z_ng = (values_ng.float() - self.mean_g) * precision_g * visible_ng
            prior_kk = torch.eye(len(self.strength_k), device=z_ng.device)
            if most is None:
                first_p, pattern_n = _patterns(visible_ng, self.key_g)
                visible_pg = visible_ng[first_p]
                longest = int(visible_pg.sum(1).max()) if len(visible_pg) else 0
                gram_nkk = (_grams(loading_gk, visible_pg, longest) + prior_kk)[pattern_n]
            else:
                gram_nkk = _grams(loading_gk, visible_ng, most) + prior_kk
            return torch.linalg.solve_ex(
                gram_nkk, z_ng @ loading_gk
            ).result  # never singular: there is nothing to check


def _grams(loading_gk: Tensor, visible_pg: Tensor, longest: int) -> Tensor:
    """Return (p, k, k) sums of the outer products of the loadings of the visible features, of which there are at most ``longest``."""
    id_pl = visible_pg.byte().topk(longest, dim=1).indices
    own_plk = loading_gk[id_pl] * visible_pg.gather(1, id_pl)[:, :, None]
    return own_plk.transpose(1, 2) @ own_plk


def _patterns(visible_ng: Tensor, key_g: Tensor) -> tuple[Tensor, Tensor]:
    """Return an observation of each distinct set of visible features, (p,), and the set of each observation, (n,).

    Sets are compared by sums of random 63-bit integers, one per feature: even among a million sets, two have the same sum
    with a probability of 10⁻⁷.
    """
    sum_n = torch.where(visible_ng, key_g, 0).sum(1)
    distinct_p, pattern_n = sum_n.unique(return_inverse=True)
    first_p = torch.zeros_like(distinct_p).index_copy_(0, pattern_n, torch.arange(len(sum_n), device=sum_n.device))
    return first_p, pattern_n
