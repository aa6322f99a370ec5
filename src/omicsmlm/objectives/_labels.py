"""Cross-entropy of labels."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cross_entropy

from omicsmlm._types import Batch, Masked

from ._reduction import step_mean


class LabelObjective:
    """Weighted cross-entropy between logits and the labels of the observations.

    Parameters
    ----------
    codes_n
        (n_obs,) int64: label of each observation of the object; a batch finds its own by ``batch.indices``.
    weight_c
        (c,) float32: weight of an observation of each label; the mean over a batch is weighted by it.
    """

    def __init__(self, codes_n: Tensor, weight_c: Tensor) -> None:
        self.codes_n = codes_n
        self.weight_c = weight_c

    def __call__(self, outputs: Tensor, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return the one term, of (n, c) logits."""
        self.codes_n, self.weight_c = (
            part.to(outputs.device) for part in (self.codes_n, self.weight_c)
        )  # they stay there
        codes_n = self.codes_n[batch.indices]
        total = cross_entropy(outputs.float(), codes_n, self.weight_c, reduction="sum")
        return {"labels": step_mean(total, self.weight_c[codes_n].sum(), batch)}
