"""Cross-entropy of masked residues."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omicsmlm._types import Batch, Masked, Sequences

from ._reduction import step_mean


class ResidueCrossEntropy:
    """Mean cross-entropy, in nats, of the masked residues of each kind of sequence; summed over kinds.

    It evaluates ``outputs.residues[name]``, the (t, a) logits of all residues, where they are masked. Ambiguous residues
    (N, X) are left out.

    Parameters
    ----------
    codes
        Per sequence, the code of each of 256 bytes; negative for what is ambiguous.
    """

    def __init__(self, codes: Mapping[str, Tensor]) -> None:
        self.codes = dict(codes)

    def __call__(self, outputs: Any, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return a term per kind of sequence."""
        assert masked.evaluated is not None
        terms = {}
        for name, logits_ta in outputs.residues.items():
            whole: Sequences = masked.targets[name]
            n_residues = len(logits_ta)  # residues of no sequence, behind the last one, have been left out
            byte_t = whole.residues[:n_residues].long()
            self.codes[name] = self.codes[name].to(byte_t.device)  # once: it stays there
            code_t = torch.where(masked.evaluated[name][:n_residues], self.codes[name][byte_t].clamp(min=-1), -1)
            terms[name] = F.cross_entropy(logits_ta.float(), code_t, ignore_index=-1, reduction="sum")
            terms[name] = step_mean(terms[name], (code_t >= 0).sum(), batch)
        return terms
