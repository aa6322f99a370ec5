"""Logits of exact linear models that know which modalities an observation has, and of what an embedding adds to them."""

import torch
from torch import Tensor, nn

CANDIDATES = ("specialist", "modality dropout", "mean", "residual")
"""What predicts: the model of the modality subset alone; the one model of all subsets; the mean of the two; the second with a
linear function of the embedding added."""


class SubsetLogits(nn.Module):
    """Logits by each candidate, and by the one that was chosen for the observation's modality subset.

    A modality subset is coded as a number whose bit m says whether the observation has modality m. Each linear model
    is sharpened or softened so that its logits hold as they are.

    Parameters
    ----------
    n_modalities
        Number of modalities.
    n_views
        v: subsets with a model of their own; an observation of another one is predicted by the one model of all.
    n_labels, n_features, n_latent
        c, g and d.
    """

    names = CANDIDATES

    view_p: Tensor
    special_vcg: Tensor
    special_vc: Tensor
    shared_cg: Tensor
    shared_c: Tensor
    residual_cd: Tensor
    residual_c: Tensor
    sharpness_v2: Tensor
    chosen_v: Tensor

    def __init__(self, n_modalities: int, n_views: int, n_labels: int, n_features: int, n_latent: int) -> None:
        super().__init__()
        shapes = {
            "special_vcg": (n_views, n_labels, n_features),
            "special_vc": (n_views, n_labels),
            "shared_cg": (n_labels, n_features),
            "shared_c": (n_labels,),
            "residual_cd": (n_labels, n_latent),
            "residual_c": (n_labels,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("view_p", torch.full((2**n_modalities,), n_views))
        self.register_buffer("sharpness_v2", torch.ones(n_views + 1, 2))
        self.register_buffer("chosen_v", torch.full((n_views + 1,), CANDIDATES.index("modality dropout")))

    def forward(self, x_ng: Tensor, pattern_n: Tensor, z_nd: Tensor) -> Tensor:
        """Return (n, 4, c) logits by each of ``CANDIDATES`` from features, codes of subsets and scaled embeddings."""
        view_n = self.view_p[pattern_n]
        shared_nc = x_ng @ self.shared_cg.T + self.shared_c
        special_nc = shared_nc.clone()
        for view, (weight_cg, bias_c) in enumerate(zip(self.special_vcg, self.special_vc, strict=True)):
            own_n = view_n == view
            special_nc[own_n] = x_ng[own_n] @ weight_cg.T + bias_c
        special_nc, shared_nc = (
            logits_nc * self.sharpness_v2[view_n, k, None] for k, logits_nc in enumerate((special_nc, shared_nc))
        )
        residual_nc = shared_nc + z_nd @ self.residual_cd.T + self.residual_c
        return torch.stack([special_nc, shared_nc, mean_logits(special_nc, shared_nc), residual_nc], 1)

    def chosen(self, x_ng: Tensor, pattern_n: Tensor, z_nd: Tensor) -> Tensor:
        """Return (n, c) logits by the candidate of each observation's modality subset."""
        candidate_n = self.chosen_v[self.view_p[pattern_n]]
        return self(x_ng, pattern_n, z_nd)[torch.arange(len(x_ng), device=x_ng.device), candidate_n]


def mean_logits(first_nc: Tensor, second_nc: Tensor) -> Tensor:
    """Return the mean of logits; of a label that the first does not know (−inf), those of the second."""
    return torch.where(first_nc.isfinite(), (first_nc + second_nc) / 2, second_nc)
