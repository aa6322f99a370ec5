"""Cross-entropy of hidden letters."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from omicsmlm._types import Batch, Corrupted, Letters

from ._reduction import step_mean


class LetterCrossEntropy:
    """Mean cross-entropy, in nats, of the hidden letters of each kind of sequence; summed over kinds.

    It judges ``outputs.letters[name]``, the (s, a) logits of the hidden letters in their order. Of an ambiguous letter (N, X)
    nothing is asked.

    Parameters
    ----------
    codes
        Per sequence, the code of each of 256 bytes; negative for what is ambiguous.
    """

    def __init__(self, codes: Mapping[str, Tensor]) -> None:
        self.codes = dict(codes)

    def __call__(self, outputs: Any, corrupted: Corrupted, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Judge the letters."""
        assert corrupted.scored is not None
        terms = {}
        for name, logits_sa in outputs.letters.items():
            whole: Letters = corrupted.targets[name]
            byte_s = whole.letters[corrupted.scored[name]].long()
            code_s = self.codes[name].to(byte_s.device)[byte_s]
            terms[name] = F.cross_entropy(logits_sa.float(), code_s.clamp(min=-1), ignore_index=-1, reduction="sum")
            terms[name] = step_mean(terms[name], (code_s >= 0).sum(), batch)
        return terms
