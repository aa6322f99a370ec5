"""The sum of an observation's tokens: the initial state of its first token."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._types import Kind, TokenSet, obs_of

from ._linear_initialization import Component
from ._scaling import LEAST_DEVIATION, ScaledTokens
from ._set_encoder import PrecisionWeighting, with_added

UNUSED_SIZE = 0.1
"""Initial size of the dimensions of a feature's embedding that no component takes."""


class TokenSummary(nn.Module):
    r"""Sums weight × feature embedding over the tokens of each modality, and combines the modalities' sums.

    For counts, with the level :math:`a_b` of a token's bin and the mean level :math:`\bar a_g` of its feature,

    .. math:: s_{nd} = \frac{1}{\pi_n} \sum_{t \in n} a_{b_t}\, r_{g_t} E_{g_t d} - \sum_{g\ \text{measured}} \bar a_g\, r_g
    E_{gd}.

    It equals the sum of centred values over all measured features, zeros among them, though only the tokens are
    looked at; :math:`\pi_n` is the fraction of tokens that were kept, so that dropping some does not shift it. Open regions
    weigh :math:`\log(1 + n / n_\text{open})`, normalised to length 1 over the observation, and are not centred. A masked value
    counts as the usual one (counts) or not at all (regions), a masked feature not at all.

    The embeddings E are those of the tokens themselves; they are initialised as loadings of principal components, brought to
    size 1 by the fixed rate r. Features that have no loadings are tokens, but not in the sum.

    Parameters
    ----------
    kinds
        Kind of each modality.
    n_features
        Features in the vocabulary of each modality.
    width
        d.
    """

    def __init__(self, kinds: Mapping[str, Kind], n_features: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.kinds = dict(kinds)
        self.width = width
        self.tables = nn.ParameterList([torch.randn(g, width) for g in n_features.values()])
        self.combination = PrecisionWeighting(list(kinds), width)
        for m, g in enumerate(n_features.values()):
            self.register_buffer(f"rate_{m}", torch.zeros(g))
            self.register_buffer(f"mean_{m}", torch.zeros(g))
            self.register_buffer(f"rarity_{m}", torch.zeros(g))
            self.register_buffer(f"usual_{m}", torch.ones(()))

    def table(self, name: str) -> Tensor:
        """Return the embeddings of a modality's features, (g, d)."""
        return self.tables[self._place(name)]

    def forward(
        self,
        parts: Mapping[str, TokenSet],
        levels: Mapping[str, Tensor],
        obs: Mapping[str, Tensor],
        added: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return (n, d) from the tokens of each modality.

        Parameters
        ----------
        parts, levels, obs
            Tokens, the (t,) levels of their bins, and their (t,) observations.
        added
            (n, c) per modality, what is added to the first c dimensions of its sum (:class:`CrossFitting`); None for nothing.
        """
        weights = {name: self._weight(name, part, levels[name], obs[name]) for name, part in parts.items()}
        sums = {name: self._sum(name, part, weights[name]) for name, part in parts.items()}
        return self.combination(
            with_added(sums, added), {name: self.relative_depth(name, part, obs[name]) for name, part in parts.items()}
        )

    def commonness(self, name: str) -> Tensor:
        """Return the fraction of the observations that the model was initialised with that have each feature of a modality, (g,)."""
        return 1 / torch.expm1(self.get_buffer(f"rarity_{self._place(name)}"))

    def relative_depth(self, name: str, part: TokenSet, obs_t: Tensor) -> Tensor:
        """Return how much is visible of each observation, (n,), relative to the usual observation, at most twice that."""
        return (self._amount(name, part, obs_t) / self.get_buffer(f"usual_{self._place(name)}")).clamp(max=2)

    def _amount(self, name: str, part: TokenSet, obs_t: Tensor) -> Tensor:
        visible_t = part.values.nan_to_num(0.0)
        if self.kinds[name] == "accessibility":
            visible_t = (visible_t > 0).float()
        return visible_t.new_zeros(len(part.present)).index_add_(0, obs_t, visible_t) * part.present

    def _weight(self, name: str, part: TokenSet, level_t: Tensor, obs_t: Tensor) -> Tensor:
        known_t = part.ids >= 0
        if self.kinds[name] != "accessibility":
            return torch.where(known_t, level_t, 0.0) / part.fraction.clamp(min=1e-6)[obs_t]
        rarity_t = self.get_buffer(f"rarity_{self._place(name)}")[part.ids.clamp(min=0)]
        rarity_t = torch.where(known_t & (part.values > 0), rarity_t, 0.0)
        squares_n = rarity_t.new_zeros(len(part.present)).index_add_(0, obs_t, rarity_t.square())
        return rarity_t / squares_n.sqrt().clamp(min=1e-6)[obs_t]

    def _sum(self, name: str, part: TokenSet, weight_t: Tensor) -> Tensor:
        m, ids = self._place(name), part.ids.clamp(min=0)
        rate_g, mean_g = self.get_buffer(f"rate_{m}"), self.get_buffer(f"mean_{m}")
        summed_nd = F.embedding_bag(
            ids,
            self.tables[m],
            part.offsets,
            mode="sum",
            per_sample_weights=(weight_t * rate_g[ids]).to(self.tables[m].dtype),
            include_last_offset=True,
        )
        return summed_nd - (mean_g * rate_g * part.measured) @ self.tables[m]

    def scaled(self, name: str, part: TokenSet, level_t: Tensor, obs_t: Tensor, chosen: Tensor) -> ScaledTokens:
        """Return what is summed over chosen features, before the rates.

        Parameters
        ----------
        name
            The modality.
        part, level_t, obs_t
            Its tokens, the (t,) levels of their bins, and their (t,) observations.
        chosen
            (c,) positions in the vocabulary.
        """
        mean_g = self.get_buffer(f"mean_{self._place(name)}")
        column_g = torch.full_like(mean_g, -1, dtype=torch.int64)
        column_g[chosen] = torch.arange(len(chosen), device=chosen.device)
        column_t = column_g[part.ids.clamp(min=0)]
        weight_t = torch.where(column_t >= 0, self._weight(name, part, level_t, obs_t), 0.0)
        panel_n = torch.zeros(len(part.present), dtype=torch.int64, device=chosen.device)
        zero_sg = -(mean_g * part.measured)[chosen][None]
        return ScaledTokens(
            column_t.clamp(min=0),
            weight_t,
            part.offsets,
            zero_sg,
            panel_n,
            torch.ones_like(panel_n, dtype=zero_sg.dtype),
        )

    def rates(self, name: str, chosen: Tensor) -> np.ndarray:
        """Return what the weights of chosen features are multiplied with, (c,)."""
        rates_g: np.ndarray = self.get_buffer(f"rate_{self._place(name)}")[chosen].numpy()
        return rates_g

    @torch.no_grad()
    def fit(
        self, name: str, parts: Sequence[TokenSet], levels: Sequence[Tensor], chosen: Tensor
    ) -> np.ndarray | sparse.csr_matrix:
        """Set a modality's statistics from observations that have it; return scaled values of chosen features.

        Parameters
        ----------
        name
            The modality.
        parts
            Observations, nothing masked.
        levels
            Level of each token's bin, (t,) per part.
        chosen
            (g,) positions in the vocabulary.

        Returns
        -------
        numpy.ndarray or scipy.sparse.csr_matrix
            (n, g) standardised levels of counts, or normalised open regions.
        """
        m, n_features = self._place(name), len(self.tables[self._place(name)])
        obs = [obs_of(part) for part in parts]
        amounts = [self._amount(name, part, obs_t)[part.present] for part, obs_t in zip(parts, obs, strict=True)]
        self.get_buffer(f"usual_{m}").copy_(torch.cat(amounts).median().clamp(min=1))
        n_open_g = sum(torch.bincount(part.ids, minlength=n_features) for part in parts)
        n = sum(len(amount) for amount in amounts)
        self.get_buffer(f"rarity_{m}").copy_(torch.log1p(n / n_open_g.clamp(min=1)))  # type: ignore[union-attr]
        weights = [self._weight(name, *found) for found in zip(parts, levels, obs, strict=True)]
        values = sparse.vstack(
            [_matrix(part, weight_t, n_features) for part, weight_t in zip(parts, weights, strict=True)], format="csr"
        )[:, chosen.numpy()]
        if self.kinds[name] == "accessibility":
            self.get_buffer(f"rate_{m}")[chosen] = 1.0
            return values
        x_ng = values.toarray()
        mean_g, deviation_g = x_ng.mean(0), x_ng.std(0)
        largest_g = np.abs(x_ng).max(0, initial=0)
        is_constant_g = (deviation_g <= LEAST_DEVIATION * largest_g) & (largest_g > 0)
        deviation_g = np.where(is_constant_g, np.float32(1), deviation_g + 1e-4)
        self.get_buffer(f"mean_{m}")[chosen] = torch.from_numpy(mean_g)
        self.get_buffer(f"rate_{m}")[chosen] = torch.from_numpy(1 / deviation_g).to(torch.float32)
        return (x_ng - mean_g) / deviation_g

    @torch.no_grad()
    def initialize(self, components: Mapping[str, Component], chosen: Mapping[str, Tensor]) -> None:
        """Initialise the embeddings of the chosen features with their loadings on all components."""
        for m, name in enumerate(self.kinds):
            weights_gd = torch.zeros(len(chosen[name]), self.width)
            last = 0
            for component in components.values():
                last = max(last, component.first + len(component.strength_k))
                if name in component.estimates:
                    estimates = component.estimates[name]
                    self.combination.initialize(name, estimates, component.first)
                    columns = slice(component.first, component.first + estimates.weights_gk.shape[1])
                    weights_gd[:, columns] = torch.from_numpy(estimates.weights_gk)
            self.set_loadings(m, chosen[name], weights_gd, last)

    def set_loadings(self, m: int, chosen: Tensor, weights_gd: Tensor, n_components: int) -> None:
        """Split loadings, (g, d), into embeddings of size 1 and rates."""
        size_g = weights_gd[:, :n_components].square().mean(1).sqrt().clamp(min=1e-9)
        table_gd = UNUSED_SIZE * torch.randn(len(chosen), self.width)
        table_gd[:, :n_components] = weights_gd[:, :n_components] / size_g[:, None]
        self.tables[m][chosen] = table_gd
        self.get_buffer(f"rate_{m}")[chosen] *= size_g

    def _place(self, name: str) -> int:
        return list(self.kinds).index(name)


def _matrix(part: TokenSet, weight_t: Tensor, n_features: int) -> sparse.csr_matrix:
    """Return the observations that have the modality as a matrix over the vocabulary."""
    shape = (len(part.present), n_features)
    return sparse.csr_matrix((weight_t.numpy(), part.ids.numpy(), part.offsets.numpy()), shape=shape)[
        part.present.numpy()
    ]
