"""Logits of an embedding, and of logistic regressions on principal components of the features, one of which is chosen."""

import torch
from torch import Tensor, nn


class ComponentLogits(nn.Module):
    """Logits by each candidate, and by the one that was chosen for observations with all modalities.

    Regressions on components are fitted to observations with all modalities; those that lack some are predicted from their
    embedding. Each candidate is sharpened or softened so that its logits hold as they are.

    Parameters
    ----------
    n_modalities
        Number of modalities.
    n_labels, n_features, n_latent, n_components
        c, g, d and k.
    """

    names = ("embedding", "components, balanced", "components")
    """Candidates: the label head, and regressions in which every label counts alike, or every observation."""

    direction_gk: Tensor
    centre_k: Tensor
    weight_2ck: Tensor
    bias_2c: Tensor
    embedding_cd: Tensor
    embedding_c: Tensor
    sharpness_3: Tensor
    chosen_candidate: Tensor

    def __init__(self, n_modalities: int, n_labels: int, n_features: int, n_latent: int, n_components: int) -> None:
        super().__init__()
        self.whole = 2**n_modalities - 1  # the code of the subset of all modalities
        shapes = {
            "direction_gk": (n_features, n_components),
            "centre_k": (n_components,),
            "weight_2ck": (2, n_labels, n_components),
            "bias_2c": (2, n_labels),
            "embedding_cd": (n_labels, n_latent),
            "embedding_c": (n_labels,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("sharpness_3", torch.ones(len(self.names)))
        self.register_buffer("chosen_candidate", torch.zeros((), dtype=torch.int64))

    def components(self, x_ng: Tensor) -> Tensor:
        """Compute (n, k) components of features, each of mean 0 and standard deviation 1 where they were fitted."""
        return x_ng @ self.direction_gk - self.centre_k

    def forward(self, x_ng: Tensor, pattern_n: Tensor, z_nd: Tensor) -> Tensor:
        """Return (n, 3, c) logits by each of ``names`` from features, codes of modality subsets and scaled embeddings."""
        component_nk = self.components(x_ng)
        logits = [z_nd @ self.embedding_cd.T + self.embedding_c]
        logits += [
            component_nk @ weight_ck.T + bias_c for weight_ck, bias_c in zip(self.weight_2ck, self.bias_2c, strict=True)
        ]
        logits_n3c = torch.stack(logits, 1) * self.sharpness_3[:, None]
        return torch.where((pattern_n == self.whole)[:, None, None], logits_n3c, logits_n3c[:, :1])

    def chosen(self, x_ng: Tensor, pattern_n: Tensor, z_nd: Tensor) -> Tensor:
        """Return (n, c) logits by the chosen candidate."""
        return self(x_ng, pattern_n, z_nd)[:, int(self.chosen_candidate)]
