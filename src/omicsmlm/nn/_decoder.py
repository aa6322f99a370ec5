"""From the latent and the batch back to every modality."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Decoded(NamedTuple):
    """What a head says of one modality."""

    logits: Tensor
    """(n, s): log share (counts, accessibility), log mean (protein), logit (fraction) or mean (real)."""
    log_dispersion: Tensor | None
    """(n, s): log inverse dispersion of counts, log precision of real values; None where there is none."""
    features: Tensor | None
    """(s,): the features that were decoded; None for all."""


class Design(nn.Module):
    """One-hot columns of the covariates; an unknown category counts as the average of the known ones."""

    def __init__(self, n_categories: Sequence[int]) -> None:
        super().__init__()
        self.n_categories = list(n_categories)

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(self.n_categories)

    def forward(self, covariates_nk: Tensor) -> Tensor:
        """Give (n, width) float32 from (n, k) categories, -1 where unknown."""
        columns = [_one_hot(covariates_nk[:, k], size) for k, size in enumerate(self.n_categories)]
        return torch.cat(columns, 1) if columns else covariates_nk.new_zeros(len(covariates_nk), 0, dtype=torch.float32)

    def batch(self, covariates_nk: Tensor) -> Tensor:
        """Give the columns of the batch alone, (n, n_batches); one column of ones where there is no batch."""
        if not self.n_categories:
            return torch.ones(len(covariates_nk), 1, device=covariates_nk.device)
        return _one_hot(covariates_nk[:, 0], self.n_categories[0])


def _one_hot(code_n: Tensor, size: int) -> Tensor:
    known = F.one_hot(code_n.clamp(min=0), size).float()
    return torch.where((code_n >= 0)[:, None], known, torch.full_like(known, 1 / size))


class Head(nn.Module):
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

    def start(self, bias_bg: Tensor) -> None:
        """Start from the log means of each batch; the latent then explains what departs from them."""
        with torch.no_grad():
            self.bias.copy_(bias_bg)
            self.linear.weight.mul_(0.5)
            self.linear.bias.zero_()

    def forward(self, h_nd: Tensor, batch_nb: Tensor) -> Decoded:
        """Decode."""
        if self.training and self.n_sampled:
            chosen = torch.randperm(self.bias.shape[1], device=h_nd.device)[: self.n_sampled]
            logits_ns = F.linear(h_nd, self.linear.weight[chosen], self.linear.bias[chosen])
            dispersion = None if self.log_dispersion is None else batch_nb @ self.log_dispersion[:, chosen]
            return Decoded(logits_ns + batch_nb @ self.bias[:, chosen], dispersion, chosen)
        dispersion = None if self.log_dispersion is None else batch_nb @ self.log_dispersion
        return Decoded(self.linear(h_nd) + batch_nb @ self.bias, dispersion, None)


class Decoder(nn.Module):
    """[latent, covariates] → Linear, LayerNorm, GELU → one head per modality."""

    def __init__(self, n_latent: int, width: int, design: Design, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.design = design
        self.trunk = nn.Sequential(nn.Linear(n_latent + design.width, width), nn.LayerNorm(width), nn.GELU())
        self.names = list(heads)
        self.heads = nn.ModuleList(heads.values())

    def head(self, name: str) -> Head:
        """Give the head of a modality."""
        head = self.heads[self.names.index(name)]
        assert isinstance(head, Head)
        return head

    def forward(self, z_nd: Tensor, covariates_nk: Tensor) -> dict[str, Decoded]:
        """Give what each head says."""
        h_nd = self.trunk(torch.cat([z_nd, self.design(covariates_nk)], 1))
        batch_nb = self.design.batch(covariates_nk)
        return {name: head(h_nd, batch_nb) for name, head in zip(self.names, self.heads, strict=True)}
