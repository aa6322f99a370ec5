"""Cross-entropy of labels, and agreement of those that are predicted from partial and from full views."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cross_entropy

from omicsmlm._types import Batch, Masked

from ._consistency import divergence
from ._reduction import step_mean


class LabelObjective:
    """Weighted cross-entropy between logits and the labels of the observations.

    Parameters
    ----------
    codes_n
        (n_obs,) int64: label of each observation of the object; a batch finds its own by ``batch.indices``.
    weight_c
        (c,) float32: weight of an observation of each label; the mean over a batch is weighted by it.
    agreement
        Weight of the divergence of the labels predicted from partial views from those predicted from full ones; above 0,
        logits are (2 n, c), of the full views and then of the partial ones, and both are compared with the labels.
    """

    def __init__(self, codes_n: Tensor, weight_c: Tensor, agreement: float = 0.0) -> None:
        self.codes_n = codes_n
        self.weight_c = weight_c
        self.agreement = agreement

    def __call__(self, outputs: Tensor, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the cross-entropy, of (n, c) logits, and the divergence, if it has a weight."""
        self.codes_n, self.weight_c = (
            part.to(outputs.device) for part in (self.codes_n, self.weight_c)
        )  # they stay there
        codes_n = self.codes_n[batch.indices]
        if self.agreement:
            codes_n = codes_n.repeat(2)
        total = cross_entropy(outputs.float(), codes_n, self.weight_c, reduction="sum")
        terms = {"labels": step_mean(total, self.weight_c[codes_n].sum(), batch)}
        if self.agreement:
            terms["agreement"] = self.agreement * divergence(*outputs.chunk(2))
        return terms
