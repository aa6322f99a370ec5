"""From the latent and the batch back to every modality."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm._draws import Draws


class Decoded(NamedTuple):
    """Parameters of the likelihood of one modality."""

    logits: Tensor
    """(n, s): log fraction (counts, accessibility), log mean (protein), logit (fraction) or mean (real)."""
    log_dispersion: Tensor | None
    """(c, s) per category of the batch, the unknown one last: log inverse dispersion of counts, log precision of real values;
    None where there is none."""
    features: Tensor | None
    """(s,): the features that were decoded; None for all."""
    category: Tensor
    """(n,) int64: which of these categories each observation is of."""


class CovariateEncoding(nn.Module):
    """One-hot columns of the categorical covariates, then the continuous ones.

    An unknown category counts as the average of the known ones, an unknown number as the mean, which is 0.

    Parameters
    ----------
    n_categories
        Categories of each categorical covariate, the batch first.
    n_numbers
        Continuous covariates.
    """

    def __init__(self, n_categories: Sequence[int], n_numbers: int = 0) -> None:
        super().__init__()
        self.n_categories = list(n_categories)
        self.n_numbers = n_numbers

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(self.n_categories) + self.n_numbers

    @property
    def n_batches(self) -> int:
        """Number of columns of the batch."""
        return self.n_categories[0] if self.n_categories else 0

    def forward(self, covariates_nk: Tensor, numbers_nc: Tensor | None = None) -> Tensor:
        """Return (n, width) float32 from (n, k) categories, -1 where unknown, and (n, c) standardised numbers; None for means."""
        columns = [_one_hot(covariates_nk[:, k], size) for k, size in enumerate(self.n_categories)]
        if self.n_numbers:
            zeros_nc = covariates_nk.new_zeros(len(covariates_nk), self.n_numbers, dtype=torch.float32)
            columns.append(zeros_nc if numbers_nc is None else numbers_nc)
        return torch.cat(columns, 1) if columns else covariates_nk.new_zeros(len(covariates_nk), 0, dtype=torch.float32)

    def batch(self, covariates_nk: Tensor) -> Tensor:
        """Return (n,) the category of the batch, the number of batches where it is unknown; 0 where there is no batch."""
        if not self.n_categories:
            return torch.zeros(len(covariates_nk), dtype=torch.int64, device=covariates_nk.device)
        code_n = covariates_nk[:, 0]
        return torch.where(code_n < 0, self.n_categories[0], code_n)


def _one_hot(code_n: Tensor, size: int) -> Tensor:
    known = F.one_hot(code_n.clamp(min=0), size).float()
    return torch.where((code_n >= 0)[:, None], known, torch.full_like(known, 1 / size))


def _with_unknown(table_bg: Tensor) -> Tensor:
    """Return (b + 1, g): after the known categories the unknown one, which counts as their average."""
    return torch.cat([table_bg, table_bg.mean(0, keepdim=True)])


@torch.no_grad()
def _copy_rows(new_bg: Tensor, old_bg: Tensor) -> None:
    new_bg.copy_(old_bg.mean(0))
    new_bg[: len(old_bg)] = old_bg


class FeatureHead(nn.Module):
    """A linear layer to the features, with a bias and a dispersion per batch and feature.

    Parameters
    ----------
    width, n_features, n_batches
        Sizes; ``n_batches`` is 1 where there is no batch.
    dispersed
        Whether the likelihood has a dispersion.
    n_sampled
        Features to decode in a training step, drawn anew each time; 0 for all.
    """

    def __init__(self, width: int, n_features: int, n_batches: int, *, dispersed: bool, n_sampled: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(width, n_features)
        self.bias = nn.Parameter(torch.zeros(n_batches, n_features))
        self.log_dispersion = nn.Parameter(torch.zeros(n_batches, n_features)) if dispersed else None
        self.n_sampled = n_sampled if n_sampled < n_features else 0

    def initialize(self, bias_bg: Tensor) -> None:
        """Initialise with the log means of each batch, (b, g); the latent then explains what departs from them."""
        with torch.no_grad():
            self.bias.copy_(bias_bg)
            self.linear.weight.mul_(0.5)
            self.linear.bias.zero_()

    def load_from(self, other: "FeatureHead") -> None:
        """Copy a head that knows fewer batches; new batches are initialised with the average of its batches."""
        self.linear.load_state_dict(other.linear.state_dict())
        _copy_rows(self.bias, other.bias)
        if self.log_dispersion is not None and other.log_dispersion is not None:
            _copy_rows(self.log_dispersion, other.log_dispersion)

    def forward(self, h_nd: Tensor, category_n: Tensor, draws: Draws | None = None) -> Decoded:
        """Decode all features, or, with draws, a sample of them; batches are categories of :meth:`CovariateEncoding.batch`."""
        chosen, weight_dg, bias_bg = None, self.linear.weight.T, self.bias + self.linear.bias
        dispersion_bg: Tensor | None = self.log_dispersion
        if draws is not None and self.n_sampled:
            chosen = draws.shared(self.bias.shape[1]).topk(self.n_sampled, sorted=False).indices
            weight_dg, bias_bg = self.linear.weight.index_select(0, chosen).T, bias_bg.index_select(1, chosen)
            dispersion_bg = None if dispersion_bg is None else dispersion_bg.index_select(1, chosen)
        bias_ng = F.embedding(category_n, _with_unknown(bias_bg))  # whose gradient is a sum by batch, in order
        dispersion = None if dispersion_bg is None else _with_unknown(dispersion_bg)
        return Decoded(torch.addmm(bias_ng, h_nd, weight_dg), dispersion, chosen, category_n)


class Decoder(nn.Module):
    """[latent, covariates] → Linear, LayerNorm, GELU → one head per modality."""

    def __init__(self, n_latent: int, width: int, design: CovariateEncoding, heads: Mapping[str, FeatureHead]) -> None:
        super().__init__()
        self.n_latent = n_latent
        self.design = design
        self.trunk = nn.Sequential(nn.Linear(n_latent + design.width, width), nn.LayerNorm(width), nn.GELU())
        self.names = list(heads)
        self.heads = nn.ModuleList(heads.values())

    def head(self, name: str) -> FeatureHead:
        """Return the head of a modality."""
        head = self.heads[self.names.index(name)]
        assert isinstance(head, FeatureHead)
        return head

    @torch.no_grad()
    def load_from(self, other: "Decoder") -> None:
        """Copy a decoder that knows fewer batches; new batches are initialised with the average of its batches."""
        n_latent = self.n_latent
        old_dc, new_dc = other.trunk.get_parameter("0.weight"), self.trunk.get_parameter("0.weight").detach().clone()
        n_old, n_new = other.design.n_batches, self.design.n_batches
        batch_dc = old_dc[:, n_latent : n_latent + n_old]
        new_dc[:, :n_latent] = old_dc[:, :n_latent]
        if n_old:
            new_dc[:, n_latent : n_latent + n_new] = batch_dc.mean(1, keepdim=True)
        new_dc[:, n_latent : n_latent + n_old] = batch_dc
        new_dc[:, n_latent + n_new :] = old_dc[:, n_latent + n_old :]
        self.trunk.load_state_dict({**other.trunk.state_dict(), "0.weight": new_dc})
        for name in other.names:
            self.head(name).load_from(other.head(name))

    def adaptable(self, n_known: int, added: Sequence[str]) -> list[tuple[nn.Parameter, Tensor]]:
        """Return the weights of batches from ``n_known`` on and of added heads, each with a mask that is 1 on those."""
        weight_dc = self.trunk.get_parameter("0.weight")
        mask_dc = torch.zeros_like(weight_dc)
        mask_dc[:, self.n_latent + n_known : self.n_latent + self.design.n_batches] = 1
        found = [(weight_dc, mask_dc)]
        for name in self.names:
            head = self.head(name)
            if name in added:
                found += [(weight, torch.ones_like(weight)) for weight in head.parameters()]
                continue
            for table_bg in (head.bias, head.log_dispersion):
                if table_bg is not None:
                    mask_bg = torch.zeros_like(table_bg)
                    mask_bg[n_known:] = 1
                    found.append((table_bg, mask_bg))
        return found

    def forward(
        self, z_nd: Tensor, covariates_nk: Tensor, draws: Draws | None = None, numbers_nc: Tensor | None = None
    ) -> dict[str, Decoded]:
        """Return the output of each head.

        Draws are for heads that decode a sample of their features in a training step; for the covariates see
        :class:`CovariateEncoding`.
        """
        h_nd = self.trunk(torch.cat([z_nd, self.design(covariates_nk, numbers_nc)], 1))
        category_n = self.design.batch(covariates_nk)
        return {name: head(h_nd, category_n, draws) for name, head in zip(self.names, self.heads, strict=True)}
