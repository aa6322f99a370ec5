"""How well hidden tokens are predicted, beside answers that need no model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from omicsmlm._types import Kind, Masked

from ._module import Outputs


class Report:
    """Collects guesses and truths over batches.

    Parameters
    ----------
    kinds
        Kind of each modality.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = dict(kinds)
        self.logits: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
        self.bins: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
        self.ids: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
        self.count_g: dict[str, np.ndarray] = {}
        self.modality: list[np.ndarray] = []
        self.guessed_modality: list[np.ndarray] = []
        self.shown_bin: list[np.ndarray] = []

    def add(
        self,
        outputs: Outputs,
        masked: Masked,
        masked_bins: Mapping[str, Tensor],
        shown_bins: Mapping[str, Tensor],
    ) -> None:
        """Take what a module says of a masked batch, the true bins of hidden values, and the bins of all tokens."""
        assert masked.evaluated is not None
        for m, (name, part) in enumerate(masked.inputs.items()):
            self.logits[name].append(outputs.value_logits[name].float().cpu().numpy())
            self.bins[name].append(masked_bins[name].cpu().numpy())
            self.ids[name].append(part.ids[part.values.isnan()].cpu().numpy())
            whole = masked.targets[name]
            counts = torch.bincount(whole.ids, minlength=len(whole.measured)).cpu().numpy()
            self.count_g[name] = self.count_g.get(name, 0) + counts
            guessed = outputs.modality_logits[name][masked.evaluated[name].identity_masked].argmax(1).cpu().numpy()
            self.guessed_modality.append(guessed)
            self.modality.append(np.full(len(guessed), m))
            self.shown_bin.append(shown_bins[name][masked.evaluated[name].identity_masked].cpu().numpy())


def evaluated(report: Report) -> pd.DataFrame:
    """Give the table of :meth:`ScMBERT.judge_tokens`."""
    indices = {}
    for name, kind in report.kinds.items():
        logits_sb, bin_s = np.concatenate(report.logits[name]), np.concatenate(report.bins[name])
        if len(bin_s) == 0:
            continue
        row = _accuracy(logits_sb.argmax(1), bin_s)
        if kind == "accessibility":
            open_score = np.logaddexp.reduce(logits_sb[:, 1:], 1) - logits_sb[:, 0]
            row["AUROC"] = _auroc(bin_s > 0, open_score)
            row["AUROC of popularity"] = _auroc(bin_s > 0, report.count_g[name][np.concatenate(report.ids[name])])
        indices[f"values: {name}"] = row
    if len(report.kinds) > 1 and any(len(part) for part in report.modality):
        truth_s, bin_s = np.concatenate(report.modality), np.concatenate(report.shown_bin)
        by_bin = pd.crosstab(bin_s, truth_s).to_numpy().max(1).sum() / len(truth_s)
        indices["modality"] = _accuracy(np.concatenate(report.guessed_modality), truth_s) | {"by bin": float(by_bin)}
    return pd.DataFrame(indices.values(), index=pd.Index(indices, name="hidden"))


def _accuracy(guess_s: np.ndarray, truth_s: np.ndarray) -> dict[str, float]:
    commonest = np.bincount(truth_s).max() / len(truth_s)
    return {"n": len(truth_s), "accuracy": float((guess_s == truth_s).mean()), "majority": float(commonest)}


def _auroc(is_open_s: np.ndarray, score_s: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(is_open_s, score_s)) if 0 < is_open_s.sum() < len(is_open_s) else float("nan")
