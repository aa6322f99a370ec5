"""How well masked tokens are predicted, beside baselines that need no model.

Tensor axes: s masked values, or masked modalities, b value bins, g features, t tokens.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from omicsmlm._types import Kind, Masked, TokenSet, masked_positions, obs_of

from ._module import ScMBERTOutputs


class MaskedValuesOf(NamedTuple):
    """Masked values of one modality in one batch."""

    logits_sb: np.ndarray
    """Predicted logits of the bins."""
    bin_s: np.ndarray
    """True bins."""
    feature_s: np.ndarray
    """Positions of the features in the vocabulary."""


class MaskedModalities(NamedTuple):
    """Tokens of one batch whose modality is masked."""

    predicted_s: np.ndarray
    true_s: np.ndarray
    bin_s: np.ndarray
    """Their value bins as the module sees them."""
    by_cell_s: np.ndarray
    """The modality of which their cell has most visible tokens."""


class TokenReport:
    """Collects predictions and truths over masked batches.

    Parameters
    ----------
    kinds
        Kind of each modality.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = dict(kinds)
        self._values: dict[str, list[MaskedValuesOf]] = defaultdict(list)
        self._modalities: list[MaskedModalities] = []
        self._count_g: dict[str, np.ndarray] = {}

    def add(
        self,
        outputs: ScMBERTOutputs,
        masked: Masked,
        true_bins: Mapping[str, Tensor],
        visible_bins: Mapping[str, Tensor],
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        outputs
            Of the module, for the masked batch.
        masked
            The batch, before and after masking.
        true_bins
            (s,) bins of the masked values, per modality.
        visible_bins
            (t,) bins of all tokens as the module sees them, per modality.
        """
        assert masked.evaluated is not None
        commonest_n = _commonest(masked.inputs)
        for m, (name, part) in enumerate(masked.inputs.items()):
            logits_sb, masked_s = _array(outputs.value_logits[name].float()), masked_positions(part)
            self._values[name].append(MaskedValuesOf(logits_sb, _array(true_bins[name]), _array(part.ids[masked_s])))
            whole = masked.targets[name]
            counts = _array(torch.bincount(whole.ids, minlength=len(whole.measured)))
            self._count_g[name] = self._count_g.get(name, 0) + counts
            asked_t = masked.evaluated[name].identity_masked
            predicted_s = _array(outputs.modality_logits[name][asked_t].argmax(1))
            true_s = np.full(len(predicted_s), m)
            bin_s, by_cell_s = (_array(of_t[asked_t]) for of_t in (visible_bins[name], commonest_n[obs_of(part)]))
            self._modalities.append(MaskedModalities(predicted_s, true_s, bin_s, by_cell_s))

    def table(self) -> pd.DataFrame:
        """Return the table of :meth:`ScMBERT.evaluate_tokens`."""
        rows = {}
        for name, kind in self.kinds.items():
            found = MaskedValuesOf(*(np.concatenate(parts) for parts in zip(*self._values[name], strict=True)))
            if len(found.bin_s):
                rows[f"values: {name}"] = _values_row(found, kind, self._count_g[name])
        found_m = MaskedModalities(*(np.concatenate(parts) for parts in zip(*self._modalities, strict=True)))
        if len(self.kinds) > 1 and len(found_m.true_s):
            rows["modality"] = _modality_row(found_m)
        return pd.DataFrame(rows.values(), index=pd.Index(rows, name="hidden"))


def _values_row(found: MaskedValuesOf, kind: Kind, count_g: np.ndarray) -> dict[str, float]:
    row = _accuracy(found.logits_sb.argmax(1), found.bin_s)
    if kind == "accessibility":
        # Bin 0 is a closed region; all other bins are open ones.
        open_score_s = np.logaddexp.reduce(found.logits_sb[:, 1:], 1) - found.logits_sb[:, 0]
        row["AUROC"] = _auroc(found.bin_s > 0, open_score_s)
        row["AUROC of popularity"] = _auroc(found.bin_s > 0, count_g[found.feature_s])
    return row


def _modality_row(found: MaskedModalities) -> dict[str, float]:
    by_bin = pd.crosstab(found.bin_s, found.true_s).to_numpy().max(1).sum() / len(found.true_s)
    by_cell = (found.by_cell_s == found.true_s).mean()
    return _accuracy(found.predicted_s, found.true_s) | {"by bin": float(by_bin), "by cell": float(by_cell)}


def _commonest(inputs: Mapping[str, TokenSet]) -> Tensor:
    """Return the modality, (n,) int64, of which each observation has most tokens with a visible feature and value."""
    counts = []
    for part in inputs.values():
        is_visible_t = (part.ids >= 0) & ~part.values.isnan()
        none_n = torch.zeros_like(part.present, dtype=torch.int64)
        counts.append(none_n.index_add_(0, obs_of(part), is_visible_t.long()))
    return torch.stack(counts, 1).argmax(1)


def _accuracy(predicted_s: np.ndarray, true_s: np.ndarray) -> dict[str, float]:
    majority = np.bincount(true_s).max() / len(true_s)
    return {"n": len(true_s), "accuracy": float((predicted_s == true_s).mean()), "majority": float(majority)}


def _auroc(is_open_s: np.ndarray, score_s: np.ndarray) -> float:
    """Return the area under the ROC curve; NaN where all regions are open, or all closed."""
    return float(roc_auc_score(is_open_s, score_s)) if 0 < is_open_s.sum() < len(is_open_s) else float("nan")


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
