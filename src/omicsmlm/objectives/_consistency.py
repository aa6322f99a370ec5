r"""Agreement between the partial and the full view of an observation.

The MOJO paper (bioRxiv 10.1101/2025.06.25.661237) fine-tunes with an auxiliary "mutual information" loss and prints no
formula for it. These two terms are ours: the InfoNCE bound on the mutual information of two views (van den Oord et al.
2018), and a Kullback-Leibler divergence between their predictions. In both the full view is the teacher: no gradient
flows into it, so that it need not forget what only one modality knows.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(full_nd: Tensor, partial_nd: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Return the InfoNCE loss: which full view is that of the same observation as a partial view.

    .. math:: -\frac1n \sum_i \log \frac{e^{\cos(p_i, f_i) / τ}}{\sum_j e^{\cos(p_i, f_j) / τ}}

    log n less this is a lower bound of the mutual information of the two views.

    Examples
    --------
    >>> info_nce(torch.eye(2), torch.eye(2), temperature=1.0)  # -log e / (e + 1)
    tensor(0.3133)
    """
    cosine_nn = F.normalize(partial_nd.float(), dim=1) @ F.normalize(full_nd.detach().float(), dim=1).T
    return F.cross_entropy(cosine_nn / temperature, torch.arange(len(cosine_nn), device=cosine_nn.device))


def divergence(full_logits_nc: Tensor, partial_logits_nc: Tensor, counts_n: Tensor | None = None) -> Tensor:
    r"""Return the mean over observations of :math:`\mathrm{KL}(p_\text{full} \,\|\, p_\text{partial})`, in natural logarithms.

    Only observations of which ``counts_n`` is true count; None for all.

    Examples
    --------
    >>> divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 100.0]]))  # log ½ + (0 + 100) / 2
    tensor(49.3069)
    """
    full_nc = F.log_softmax(full_logits_nc.detach().float(), 1)
    partial_nc = F.log_softmax(partial_logits_nc.float(), 1)
    if counts_n is None:
        counts_n = torch.ones(len(full_nc), dtype=torch.bool, device=full_nc.device)
    each_n = F.kl_div(partial_nc, full_nc, reduction="none", log_target=True).sum(1)
    return (each_n * counts_n).sum() / counts_n.sum().clamp(min=1)
