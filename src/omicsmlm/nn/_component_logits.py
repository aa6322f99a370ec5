"""Logits of an embedding, of logistic regressions on components of the features, and of their mean; one of these is chosen."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class ComponentLogits(nn.Module):
    """Logits by each candidate, and by the one that was chosen for observations with all modalities.

    Regressions on components are fitted to observations with all modalities; those that lack some are predicted from their
    embedding. Each regression is sharpened or softened so that its logits hold as they are. The mean is that of the
    probabilities by the embedding and by the balanced regression, which is not sharpened again: where the two disagree, as on
    observations unlike those that they learned from, it is less sure than either. It is divided by ``discount_c``, so that
    rare labels can be given more than their share.

    Parameters
    ----------
    n_modalities
        Number of modalities.
    n_labels, n_features, n_latent, n_components
        c, g, d and k.
    """

    names = ("embedding", "components, balanced", "components", "mean")
    """Candidates: the label head, regressions in which every label counts alike, or every observation, and the mean of the
    first two."""

    direction_gk: Tensor
    centre_k: Tensor
    weight_2ck: Tensor
    bias_2c: Tensor
    embedding_cd: Tensor
    embedding_c: Tensor
    sharpness_3: Tensor
    discount_c: Tensor
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
        self.register_buffer("sharpness_3", torch.ones(3))
        self.register_buffer("discount_c", torch.ones(n_labels))
        self.register_buffer("chosen_candidate", torch.zeros((), dtype=torch.int64))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights; those saved before the mean was divided by anything are without ``discount_c``, which is 1 then."""
        former = {"discount_c": torch.ones_like(self.discount_c)}
        return super().load_state_dict(former | dict(state_dict), strict, assign)

    def components(self, x_ng: Tensor) -> Tensor:
        """Compute (n, k) components of features, each of mean 0 and standard deviation 1 where they were fitted."""
        return x_ng @ self.direction_gk - self.centre_k

    def forward(self, x_ng: Tensor, pattern_n: Tensor, z_nd: Tensor) -> Tensor:
        """Return (n, 4, c) logits by each of ``names`` from features, codes of modality subsets and scaled embeddings."""
        component_nk = self.components(x_ng)
        logits = [z_nd @ self.embedding_cd.T + self.embedding_c]
        logits += [
            component_nk @ weight_ck.T + bias_c for weight_ck, bias_c in zip(self.weight_2ck, self.bias_2c, strict=True)
        ]
        logits_n3c = torch.stack(logits, 1) * self.sharpness_3[:, None]
        mean_nc = mean_probability(logits_n3c[:, 0], logits_n3c[:, 1], self.discount_c)
        logits_n4c = torch.cat([logits_n3c, mean_nc[:, None]], 1)
        return torch.where((pattern_n == self.whole)[:, None, None], logits_n4c, logits_n3c[:, :1])

    def chosen(self, x_ng: Tensor, pattern_n: Tensor, z_nd: Tensor) -> Tensor:
        """Return (n, c) logits by the chosen candidate."""
        return self(x_ng, pattern_n, z_nd)[:, int(self.chosen_candidate)]


def mean_probability(first_nc: Tensor, second_nc: Tensor, discount_c: Tensor) -> Tensor:
    r"""Return the logarithm, (n, c), of the mean of two predictions divided by a discount of each label, and normalised.

    .. math:: p_c \propto \tfrac12 (\operatorname{softmax}_c a + \operatorname{softmax}_c b) / \delta_c

    Parameters
    ----------
    first_nc, second_nc
        Logits a and b.
    discount_c
        δ, above 0; 1 for each label leaves the mean as it is.

    Examples
    --------
    >>> first, second = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.3, 0.7]]).log()
    >>> [round(p, 3) for p in mean_probability(first, second, torch.ones(2)).exp()[0].tolist()]
    [0.6, 0.4]
    >>> [round(p, 3) for p in mean_probability(first, second, torch.tensor([3.0, 1.0])).exp()[0].tolist()]
    [0.333, 0.667]
    """
    mean_nc = torch.logaddexp(first_nc.log_softmax(1), second_nc.log_softmax(1)) - math.log(2)
    return (mean_nc - discount_c.log()).log_softmax(1)
