"""Risks by linear Cox models: of covariates alone, of each stratum by itself, and of all together."""

import torch
from torch import Tensor, nn


class LinearRisks(nn.Module):
    """Linear scores of covariates alone, and two of features and covariates.

    Parameters
    ----------
    n_inputs
        f: features, then covariates.
    n_strata
        s.
    n_covariates
        k: how many of the inputs are covariates.
    """

    covariate_k: Tensor
    has_covariates: Tensor
    own_sf: Tensor
    pooled_f: Tensor
    has_own_s: Tensor
    has_pooled: Tensor

    def __init__(self, n_inputs: int, n_strata: int, n_covariates: int) -> None:
        super().__init__()
        self.register_buffer("covariate_k", torch.zeros(n_covariates))
        self.register_buffer("has_covariates", torch.zeros((), dtype=torch.bool))
        self.register_buffer("own_sf", torch.zeros(n_strata, n_inputs))
        self.register_buffer("pooled_f", torch.zeros(n_inputs))
        self.register_buffer("has_own_s", torch.zeros(n_strata, dtype=torch.bool))
        self.register_buffer("has_pooled", torch.zeros((), dtype=torch.bool))

    def forward(self, input_nf: Tensor, stratum_n: Tensor) -> Tensor:
        """Return (n, 3): the scores of covariates alone, of the own stratum, and of all; NaN where there is none."""
        covariate_nk = input_nf[:, input_nf.shape[1] - len(self.covariate_k) :]
        covariate_n = (covariate_nk @ self.covariate_k).masked_fill(~self.has_covariates, torch.nan)
        own_ns = (input_nf @ self.own_sf.T).masked_fill(~self.has_own_s, torch.nan)
        none_n1 = torch.full_like(own_ns[:, :1], torch.nan)
        own_n = torch.cat([none_n1, own_ns], 1).gather(1, stratum_n[:, None] + 1)[:, 0]  # code -1 is no stratum
        pooled_n = (input_nf @ self.pooled_f).masked_fill(~self.has_pooled, torch.nan)
        return torch.stack([covariate_n, own_n, pooled_n], 1)
